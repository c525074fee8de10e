-- One row per playlist of the corpus: the slice whose version counts, and its side of TalkPlay's split (section 3.3).
-- Of a pid in several slices the later counts, by the number its name starts at, then by the name.
-- test: $test_playlists playlists last modified on the last day, but no more than half of that day's; the rest, and
-- playlists without a day, are train. The sample depends on $seed and the pids alone, not on the order of rows.
with
numbered as (
    select
        playlist_id,
        slice,
        epoch_us(modified_at) // 86_400_000_000 as day,
        try_cast(regexp_extract(slice, '^mpd\.slice\.(\d+)-', 1) as ubigint) as slice_number
    from sources.playlists
),
counted as (
    select playlist_id, slice, day
    from numbered
    qualify row_number() over (partition by playlist_id order by slice_number desc nulls last, slice desc) = 1
),
drawn as (
    select
        playlist_id,
        row_number() over (order by md5($seed::varchar || '/' || playlist_id::varchar), playlist_id) as draw,
        count(*) over () // 2 as half
    from counted
    where day = (select max(day) from counted)
)
select
    counted.playlist_id,
    counted.slice,
    case when drawn.draw <= least($test_playlists, drawn.half) then 'test' else 'train' end as split
from counted
left join drawn using (playlist_id)
order by counted.playlist_id
