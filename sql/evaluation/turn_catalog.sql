-- One row per track of the catalog, in the order of its rows in cases: what its text says, and how popular it is.
select
    tracks.track_id,
    tracks.shard,
    tracks.title,
    tracks.artist,
    tracks.album,
    tags.tags,
    tracks.release_year,
    tracks.is_warm,
    tracks.train_appearances
from catalog.tracks as tracks
left join content.tags as tags using (track_id)
order by
    tracks.shard,
    tracks.track_id
