-- One row per training playlist and distinct track of it: the name that its listener gave the playlist.
select distinct
    tracks.track_uri as track_id,
    tracks.playlist_id,
    playlists.name
from sources.playlist_tracks as tracks
inner join catalog.playlist_splits as splits
    on tracks.playlist_id = splits.playlist_id
    and tracks.slice = splits.slice
inner join sources.playlists as playlists
    on tracks.playlist_id = playlists.playlist_id
    and tracks.slice = playlists.slice
where splits.split = 'train'
order by track_id, tracks.playlist_id
