-- One row per listening session: its side of the split. test: of each listener's sessions the last in time, as many as
-- $test_session_share of them rounded (a half up), but at least 1 where there are 2 or more and the share is not 0.
with
sessions as (
    select
        session_id,
        any_value(listener_id) as listener_id,
        min(played_at) as began_at
    from catalog.sessions
    group by session_id
),
placed as (
    select
        session_id,
        row_number() over (partition by listener_id order by began_at desc, session_id desc) as place_from_last,
        count(*) over (partition by listener_id) as sessions
    from sessions
)
select
    session_id,
    case
        when place_from_last <= greatest(
            round(sessions * $test_session_share), case when sessions >= 2 and $test_session_share > 0 then 1 else 0 end
        ) then 'test'
        else 'train'
    end as split
from placed
order by session_id
