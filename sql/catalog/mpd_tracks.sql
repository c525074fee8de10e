-- One row per distinct track of the slices: as the first slice that holds it describes it (by the number its name
-- starts at, then by the name), but with the artist's URI of the first that states one; and how often the training
-- playlists hold it.
with
numbered as (
    select *, try_cast(regexp_extract(slice, '^mpd\.slice\.(\d+)-', 1) as ubigint) as slice_number
    from sources.slice_tracks
),
described as (
    select * replace (
        first_value(artist_uri ignore nulls)
            over (by_slice rows between unbounded preceding and unbounded following) as artist_uri
    )
    from numbered
    window by_slice as (partition by track_uri order by slice_number nulls first, slice)
    qualify row_number() over by_slice = 1
),
trained as (
    select tracks.track_uri, count(*) as appearances
    from sources.playlist_tracks as tracks
    join catalog.playlist_splits as splits using (playlist_id, slice)
    where splits.split = 'train'
    group by tracks.track_uri
)
select
    described.track_uri,
    described.title,
    described.artist,
    described.album,
    described.artist_uri,
    described.duration_ms,
    coalesce(trained.appearances, 0)::integer as train_appearances,
    trained.appearances is not null as is_warm
from described
left join trained using (track_uri)
order by described.track_uri
