-- One row per split, and one for people: conversations counted as in TalkPlay's Table 1. A word is what stands between
-- spaces, lower case, punctuation stripped from both ends; what is all punctuation is no word.
with split_names(split) as (
    values ('train'), ('test'), ('human')
),

turns as (
    select
        split,
        playlist_id::varchar as playlist_id,
        conversation_id,
        query,
        response,
        [track_id] as track_ids,
        is_rejection,
        false as is_broken
    from conversations.turns
    union all
    -- People make one playlist in one conversation.
    select
        'human' as split,
        conversation_id as playlist_id,
        conversation_id,
        query,
        response,
        list_concat(liked, disliked) as track_ids,
        len(disliked) > 0 as is_rejection,
        broken is not null as is_broken
    from conversations.human_turns
),

spoken as (
    select
        *,
        list_filter(
            list_transform(
                regexp_split_to_array(lower(query), '[\s\p{Z}]+'),
                lambda word: regexp_replace(word, '^[^\p{L}\p{M}\p{N}]+|[^\p{L}\p{M}\p{N}]+$', '', 'g')
            ),
            lambda word: word <> ''
        ) as query_words,
        list_filter(
            list_transform(
                regexp_split_to_array(lower(response), '[\s\p{Z}]+'),
                lambda word: regexp_replace(word, '^[^\p{L}\p{M}\p{N}]+|[^\p{L}\p{M}\p{N}]+$', '', 'g')
            ),
            lambda word: word <> ''
        ) as response_words
    from turns
),

counted as (
    select
        split,
        count(distinct playlist_id) as playlists,
        count(distinct conversation_id) as conversations,
        count(*) / count(distinct conversation_id) as mean_turns,
        avg(len(query_words)) as mean_query_words,
        avg(len(response_words)) as mean_response_words,
        count(*) filter (where is_rejection) as rejections,
        count(*) filter (where is_broken) / count(*) as broken_share
    from spoken
    group by split
),

distinct_tracks as (
    select distinct
        split,
        unnest(track_ids) as track_id
    from turns
),

track_counts as (
    select
        split,
        count(*) as tracks
    from distinct_tracks
    group by split
),

distinct_words as (
    select split, unnest(query_words) as word from spoken
    union
    select split, unnest(response_words) as word from spoken
),

vocabularies as (
    select
        split,
        count(*) as vocabulary
    from distinct_words
    group by split
)

select
    split_names.split,
    coalesce(counted.playlists, 0) as playlists,
    coalesce(counted.conversations, 0) as conversations,
    coalesce(track_counts.tracks, 0) as tracks,
    coalesce(vocabularies.vocabulary, 0) as vocabulary,
    counted.mean_turns,
    counted.mean_query_words,
    counted.mean_response_words,
    coalesce(counted.rejections, 0) as rejections,
    counted.broken_share
from split_names
left join counted using (split)
left join track_counts using (split)
left join vocabularies using (split)
order by split_names.split
