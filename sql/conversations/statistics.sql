-- One row per split: its conversations counted as in TalkPlay's Table 1. A word is what stands between spaces, lower case,
-- punctuation stripped from both ends; what is all punctuation is no word.
with split_names(split) as (
    values ('train'), ('test')
),

spoken as (
    select
        split,
        query,
        response,
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
        ) as response_words,
        playlist_id,
        conversation_id,
        track_id,
        is_rejection
    from conversations.turns
),

counted as (
    select
        split,
        count(distinct playlist_id) as playlists,
        count(distinct conversation_id) as conversations,
        count(distinct track_id) as tracks,
        count(*) / count(distinct conversation_id) as mean_turns,
        avg(len(query_words)) as mean_query_words,
        avg(len(response_words)) as mean_response_words,
        count(*) filter (where is_rejection) as rejections
    from spoken
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
    coalesce(counted.tracks, 0) as tracks,
    coalesce(vocabularies.vocabulary, 0) as vocabulary,
    counted.mean_turns,
    counted.mean_query_words,
    counted.mean_response_words,
    coalesce(counted.rejections, 0) as rejections
from split_names
left join counted using (split)
left join vocabularies using (split)
order by split_names.split
