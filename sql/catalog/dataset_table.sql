-- One row per side of the split, counted as in the upper half of TalkPlay's Table 1; means and shares are null where a
-- side is empty. Words are those of the names, in lower case, the signs that the MPD's own scripts drop as spaces.
with
sides as (
    select unnest(['train', 'test']) as split
),
names as (
    select splits.split, playlists.name
    from catalog.playlist_splits as splits
    join sources.playlists as playlists using (playlist_id, slice)
),
words as (
    select
        split,
        unnest(string_split_regex(
            regexp_replace(lower(name), '[.,/#!$%^*;:{}=_`~()@]', ' ', 'g'), '[\s\p{Z}]+'
        )) as word
    from names
),
positions as (
    select splits.split, tracks.playlist_id, tracks.track_uri
    from catalog.playlist_splits as splits
    join sources.playlist_tracks as tracks using (playlist_id, slice)
),
listed as (
    select split, count(*) as playlists from names group by split
),
vocabularies as (
    select split, count(distinct word) as vocabulary from words where word <> '' group by split
),
lengths as (
    select split, count(*) as positions, count(distinct track_uri) as tracks from positions group by split
),
pairs as (
    select split, count(*) as pairs from (select distinct split, playlist_id, track_uri from positions) group by split
),
warm as (
    select distinct track_uri from positions where split = 'train'
),
warmth as (
    select split, count(distinct track_uri) as warm_tracks
    from positions
    semi join warm using (track_uri)
    group by split
)
select
    sides.split,
    coalesce(listed.playlists, 0) as playlists,
    coalesce(lengths.positions, 0) / nullif(listed.playlists, 0) as mean_tracks,
    coalesce(warmth.warm_tracks, 0) as warm_tracks,
    coalesce(lengths.tracks, 0) - coalesce(warmth.warm_tracks, 0) as cold_tracks,
    coalesce(vocabularies.vocabulary, 0) as vocabulary,
    1 - pairs.pairs / (listed.playlists * lengths.tracks) as sparsity
from sides
left join listed using (split)
left join vocabularies using (split)
left join lengths using (split)
left join pairs using (split)
left join warmth using (split)
order by sides.split desc
