-- One row per track of the catalog: its positions in training playlists and its plays in training sessions.
with
plays as (
    select
        sessions.track_id,
        count(*) as plays
    from catalog.sessions as sessions
    inner join catalog.session_splits as splits using (session_id)
    where splits.split = 'train'
    group by sessions.track_id
)
select
    tracks.track_id,
    tracks.train_appearances + coalesce(plays.plays, 0) as popularity
from catalog.tracks as tracks
left join plays using (track_id)
order by tracks.track_id
