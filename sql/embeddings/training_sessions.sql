-- One row per training session: its tracks in order.
select
    sessions.session_id,
    list(sessions.track_id order by sessions.position) as track_ids
from catalog.sessions as sessions
inner join catalog.session_splits as splits using (session_id)
where splits.split = 'train'
group by sessions.session_id
order by sessions.session_id
