-- One row per conversation of people whose playlist the training data give away: a training playlist holds at least two
-- of the tracks that were liked in it, and more than half of those that the catalog has.
with
liked as (
    select distinct
        turns.conversation_id,
        tracks.track_id
    from (select conversation_id, unnest(liked) as published_id from conversations.human_turns) as turns
    inner join evaluation.published_tracks as published using (published_id)
    inner join catalog.tracks as tracks on published.track_uri = tracks.track_id
),
held as (
    select distinct
        tracks.playlist_id,
        tracks.track_uri as track_id
    from sources.playlist_tracks as tracks
    inner join catalog.playlist_splits as splits
        on tracks.playlist_id = splits.playlist_id
        and tracks.slice = splits.slice
    where splits.split = 'train'
),
counted as (
    select
        conversation_id,
        count(*) as tracks
    from liked
    group by conversation_id
)
select distinct liked.conversation_id
from liked
inner join held using (track_id)
inner join counted using (conversation_id)
group by
    liked.conversation_id,
    held.playlist_id,
    counted.tracks
having count(*) >= 2 and 2 * count(*) > counted.tracks
order by liked.conversation_id
