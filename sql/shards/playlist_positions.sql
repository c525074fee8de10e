-- One row per position of a playlist of the corpus, in the slice that counts.
select
    tracks.playlist_id,
    tracks.position,
    tracks.track_uri as track_id
from sources.playlist_tracks as tracks
inner join catalog.playlist_splits as splits
    on tracks.playlist_id = splits.playlist_id
    and tracks.slice = splits.slice
order by tracks.playlist_id, tracks.position
