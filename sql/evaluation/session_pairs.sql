-- One row per ordered pair of tracks that a test session holds: the seed, and the target that it should lead to.
-- At most $session_pairs pairs of a session and $pairs in all; of a pair in several sessions one counts.
-- What is drawn depends on $seed and the ids.
with
held as (
    select distinct
        sessions.session_id,
        sessions.listener_id,
        sessions.track_id
    from catalog.sessions as sessions
    inner join catalog.session_splits as splits using (session_id)
    where splits.split = 'test'
),
drawn as (
    select
        seeds.listener_id,
        seeds.session_id,
        seeds.track_id as seed_id,
        targets.track_id as target_id,
        md5(concat_ws('/', $seed::varchar, seeds.session_id, seeds.track_id, targets.track_id)) as draw
    from held as seeds
    inner join held as targets
        on seeds.session_id = targets.session_id
        and seeds.track_id <> targets.track_id
    qualify
        row_number() over (partition by seeds.session_id order by draw, seed_id, target_id) <= $session_pairs
),
distinct_pairs as (
    select *
    from drawn
    qualify row_number() over (partition by seed_id, target_id order by draw, session_id) = 1
)
select
    listener_id,
    session_id,
    seed_id,
    target_id
from distinct_pairs
qualify row_number() over (order by draw, session_id, seed_id, target_id) <= $pairs
order by session_id, seed_id, target_id
