-- One row per version of a playlist that does not count, because a later slice holds the same pid: a refusal.
-- duplicate_playlist: same name and same tracks in the same order; pid_conflict: anything else.
with
versions as (
    select playlists.playlist_id, playlists.slice, playlists.name, splits.slice as counted_slice
    from sources.playlists
    join catalog.playlist_splits as splits using (playlist_id)
    qualify count(*) over (partition by playlists.playlist_id) > 1
),
contents as (
    select
        versions.playlist_id,
        versions.slice,
        versions.counted_slice,
        md5(any_value(versions.name) || chr(10) || coalesce(
            string_agg(tracks.track_uri, chr(10) order by tracks.position), ''
        )) as content
    from versions
    left join sources.playlist_tracks as tracks using (playlist_id, slice)
    group by versions.playlist_id, versions.slice, versions.counted_slice
)
select
    refused.slice as source,
    'pid ' || refused.playlist_id as location,
    case when refused.content = counted.content then 'duplicate_playlist' else 'pid_conflict' end as reason,
    counted.slice || ' counts' as detail
from contents as refused
join contents as counted
    on refused.playlist_id = counted.playlist_id and refused.counted_slice = counted.slice
where refused.slice <> refused.counted_slice
order by refused.playlist_id, refused.slice
