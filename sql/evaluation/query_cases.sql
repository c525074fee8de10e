-- One row per query of a case: at most $cases of tracks that training playlists hold and $cases of others.
-- What is drawn depends on $seed and the ids of queries.
with
drawn as (
    select
        queries.query_id,
        queries.track_id,
        queries.query,
        row_number() over (
            partition by tracks.is_warm order by md5($seed::varchar || '/' || queries.query_id), queries.query_id
        ) as place
    from conversations.queries as queries
    inner join catalog.tracks as tracks using (track_id)
)
select
    query_id,
    track_id,
    query
from drawn
where place <= $cases
order by query_id
