-- One row per test playlist that seeds are drawn from: its distinct tracks, and the seeds among them.
-- At most $playlists playlists and $seeds tracks of each. What is drawn depends on $seed, the pids and the track ids.
with
held as (
    select distinct
        splits.playlist_id,
        tracks.track_uri as track_id
    from sources.playlist_tracks as tracks
    inner join catalog.playlist_splits as splits
        on tracks.playlist_id = splits.playlist_id
        and tracks.slice = splits.slice
    where splits.split = 'test'
),
drawn as (
    select
        playlist_id,
        list(track_id order by track_id) as track_ids,
        list(track_id order by md5($seed::varchar || '/' || playlist_id::varchar || '/' || track_id), track_id) as draw
    from held
    group by playlist_id
    having count(*) > 1
    qualify
        row_number() over (order by md5($seed::varchar || '/' || playlist_id::varchar), playlist_id) <= $playlists
)
select
    playlist_id,
    track_ids,
    draw[1:$seeds] as seed_ids
from drawn
order by playlist_id
