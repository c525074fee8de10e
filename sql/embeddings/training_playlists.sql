-- One row per training playlist: its tracks in order.
select
    tracks.playlist_id,
    list(tracks.track_uri order by tracks.position) as track_uris
from sources.playlist_tracks as tracks
inner join catalog.playlist_splits as splits
    on tracks.playlist_id = splits.playlist_id
    and tracks.slice = splits.slice
where splits.split = 'train'
group by tracks.playlist_id
order by tracks.playlist_id
