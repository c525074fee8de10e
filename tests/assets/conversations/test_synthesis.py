import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.conversations.prompt import Dialogue, conversation_requests
from assets.conversations.synthesis import REASONS, Conversations, conversations
from assets.conversations.tables import REFUSED, TURNS
from resources.answer_rules import RuleAnswerer
from resources.language_model import Answer, Refused, Request, request_id, validated
from resources.title_leaks import title_leaks, words

FIRST = 0
PARTS = st.sampled_from(["query", "response"])


@dataclass
class Script:
    """A language model that says what it was told to, one text a request."""

    texts: list[str]
    name: str = "script"

    def answer(self, requests: Sequence[Request]) -> Iterator[Answer | Refused]:
        """One result for each text."""
        for request, text in zip(requests, self.texts, strict=False):
            yield validated(request, request_id(request), text)


@pytest.fixture(scope="module")
def dialogues(playlists, content) -> list[Dialogue]:
    """About three hundred dialogues."""
    return conversation_requests(*playlists, content, dialogues=3, turns=(5, 9), seed=7).dialogues[:300]


@pytest.fixture(scope="module")
def written(dialogues) -> Conversations:
    """What the rules make of the dialogues."""
    return conversations(dialogues, RuleAnswerer(7))


@pytest.fixture(scope="module")
def dialogue(dialogues) -> Dialogue:
    """A dialogue of which one track at least has lyrics."""
    return next(dialogue for dialogue in dialogues if dialogue.lyrics)


@pytest.fixture(scope="module")
def answer(dialogue) -> str:
    """A valid answer to the dialogue."""
    (result,) = RuleAnswerer(7).answer([dialogue.request])
    assert isinstance(result, Answer)
    return result.value.model_dump_json()


def outcome(dialogue: Dialogue, text: str) -> str:
    """The reason of the refusal, or kept."""
    result = conversations([dialogue], Script([text]))
    REFUSED.checked(result.refused)
    assert result.turns.is_empty() == bool(result.refused.height)
    if not result.refused.height:
        return "kept"
    assert result.refused["location"].to_list() == [dialogue.conversation_id]
    return result.refused["reason"].item()


def test_the_rules_write_valid_conversations(written, dialogues):
    """Nothing is refused; every dialogue has its turns, numbered from 0, with its playlist and split."""
    assert written.refused.is_empty()
    turns = TURNS.checked(written.turns)
    assert turns["conversation_id"].n_unique() == len(dialogues) == 300
    for dialogue in dialogues[:20]:
        mine = turns.filter(conversation_id=dialogue.conversation_id)
        assert mine["turn"].to_list() == list(range(mine.height))
        assert mine["playlist_id"].unique().to_list() == [dialogue.playlist_id]
        assert mine["split"].unique().to_list() == [dialogue.split]
        assert mine.height == dialogue.request.payload["turns"]


def test_every_track_is_of_the_playlist_and_no_title_leaks(written, dialogues):
    """The closed set holds over all conversations, and no query gives its target away."""
    titles = {dialogue.conversation_id: dialogue.titles for dialogue in dialogues}
    for row in written.turns.iter_rows(named=True):
        title = titles[row["conversation_id"]][row["track_id"]]
        assert not title_leaks(title, row["query"])
        assert title in row["response"]


def test_conversations_look_like_the_papers(written):
    """TalkPlay Table 1: 7.03 turns, 17.62 words a query, 17.91 a response; ours lie around that, richly worded."""
    turns = written.turns
    queries = [len(query.split()) for query in turns["query"]]
    responses = [len(response.split()) for response in turns["response"]]
    assert 5 <= turns.height / 300 <= 9
    assert 12 <= sum(queries) / len(queries) <= 22
    assert 12 <= sum(responses) / len(responses) <= 22
    assert turns["query"].n_unique() > 0.98 * turns.height
    assert len({word for text in turns["query"] for word in words(text)}) > 500
    assert 0.1 < turns["is_rejection"].mean() < 0.25
    assert turns["modality"].value_counts(normalize=True)["proportion"].min() > 0.15


def test_the_same_dialogues_give_the_same_turns(written, dialogues):
    """A second run writes the same bytes, whatever the order of the dialogues."""
    assert conversations(dialogues[::-1], RuleAnswerer(7)).turns.equals(written.turns)


def test_an_unchanged_answer_is_kept(dialogue, answer):
    """The answer that the mutations start from is valid."""
    assert outcome(dialogue, answer) == "kept"


def unknown_track(turns, place, dialogue, draw):
    """A track from outside the pool."""
    turns[place]["track_id"] = draw(st.text().filter(lambda text: text not in dialogue.titles))


def repeated_track(turns, place, dialogue, draw):
    """The track of another turn."""
    turns[place]["track_id"] = turns[place - 1]["track_id"]


def turn_count(turns, place, dialogue, draw):
    """Too few turns."""
    del turns[draw(st.integers(1, dialogue.min_turns - 1)) :]


def rejected_nothing(turns, place, dialogue, draw):
    """A rejection of nothing."""
    turns[FIRST]["is_rejection"] = True


def special_token(turns, place, dialogue, draw):
    """What a tokenizer, page or terminal obeys."""
    tokens = ["<|audio-3|>", "</s>", "<b>x</b>", "\u202ex", "[INST]", "\x07"]
    turns[place][draw(PARTS)] += f" {draw(st.sampled_from(tokens))}"


def too_short(turns, place, dialogue, draw):
    """Fewer than three words."""
    turns[place][draw(PARTS)] = draw(st.sampled_from(["", " ", "Yes.", "Go on", "… ! …"]))


def too_long(turns, place, dialogue, draw):
    """More than 600 characters."""
    turns[place][draw(PARTS)] = "la la " * 101


def leaked_title(turns, place, dialogue, draw):
    """The title in its own query."""
    turns[place]["query"] += f" I mean {dialogue.titles[turns[place]['track_id']].upper()}!"


def echoed_lyrics(turns, place, dialogue, draw):
    """Eleven words of lyrics in a row."""
    start = draw(st.integers(0, 20))
    turns[place][draw(PARTS)] = " ".join(words(dialogue.lyrics[0])[start : start + 11])


def schema_violation(turns, place, dialogue, draw):
    """A value, field or type outside the schema."""
    changes = [{"modality": "playlist"}, {"role": "system"}, {"is_rejection": "no"}, {"query": None}]
    turns[place].update(draw(st.sampled_from(changes)))


MUTATIONS = [
    unknown_track, repeated_track, turn_count, rejected_nothing, special_token, too_short, too_long, leaked_title,
    echoed_lyrics, schema_violation,
]  # fmt: skip


def test_every_reason_has_a_mutation():
    """No rule of the validator is left untried."""
    assert {*REASONS, "schema_violation"} == {mutation.__name__ for mutation in MUTATIONS}


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_every_mutation_is_refused_with_its_reason(dialogue, answer, data):
    """Whatever rule is broken, in whatever turn and text: the conversation is refused, and the reason says why."""
    content = json.loads(answer)
    place = data.draw(st.integers(0, len(content["turns"]) - 1))
    mutation = data.draw(st.sampled_from(MUTATIONS))
    mutation(content["turns"], place, dialogue, data.draw)
    assert outcome(dialogue, json.dumps(content)) == mutation.__name__


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_an_answer_that_was_cut_is_refused(dialogue, answer, data):
    """JSON that ends too early is never repaired, wherever it was cut."""
    assert outcome(dialogue, answer[: data.draw(st.integers(0, len(answer) - 1))]) == "unparsable"


def test_ten_words_of_lyrics_may_be_quoted(dialogue, answer):
    """Ten words in a row are allowed, eleven are not."""
    content = json.loads(answer)
    content["turns"][FIRST]["response"] = " ".join(words(dialogue.lyrics[0])[3:13])
    assert outcome(dialogue, json.dumps(content)) == "kept"


def test_a_refusal_keeps_the_others(dialogues, answer):
    """One bad answer among good ones costs its own conversation only."""
    good = [result.value.model_dump_json() for result in RuleAnswerer(7).answer([d.request for d in dialogues[:3]])]
    result = conversations(dialogues[:3], Script([good[0], "no idea", good[2]]))
    kept = result.turns["conversation_id"].unique().sort().to_list()
    assert kept == sorted([dialogues[0].conversation_id, dialogues[2].conversation_id])
    assert result.refused.select("source", "location", "reason").rows() == [
        ("conversations/turns", dialogues[1].conversation_id, "unparsable")
    ]


@pytest.mark.parametrize("texts", [1, 3])
def test_a_model_that_loses_or_adds_results_raises(dialogues, answer, texts):
    """One result for each request: anything else would shift answers onto other playlists."""

    class Careless(Script):
        def answer(self, requests):
            return islice(RuleAnswerer(7).answer([*requests, *requests]), texts)

    with pytest.raises(ValueError, match="one result for each of 2 requests"):
        conversations(dialogues[:2], Careless([]))


def test_no_dialogues_no_turns():
    """A slice without a long enough playlist gives empty frames that fit their tables."""
    result = conversations([], RuleAnswerer(7))
    assert TURNS.checked(result.turns).is_empty()
    assert REFUSED.checked(result.refused).is_empty()
