import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.conversations.dialogues import Dialogue, conversation_requests
from assets.conversations.rules import CONVERSATION_REASONS
from assets.conversations.synthesis import Written, conversations
from assets.conversations.tables import REFUSED, TURNS
from resources.answer_rules import RuleAnswerer
from resources.desk.calls import Prompt, Reply
from resources.desk.chains import chain, drive
from resources.desk_settings import Answers
from resources.language_model import Answer, Refused, Request, Tally
from resources.title_leaks import title_leaks, words

FIRST = 0
PARTS = st.sampled_from(["query", "response"])


@dataclass
class Script:
    """A language model that says what it was told to, in order, whatever it is asked; it keeps the prompts."""

    texts: list[str]
    re_asks: int = 0
    name: str = "script"
    prompts: list[Prompt] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    def answer(self, requests: Sequence[Request], *, part: str = "all") -> Iterator[Answer | Refused]:
        """One result for each request."""
        settings = Answers(re_asks=self.re_asks)
        return (drive(chain(request, settings, self.tally), self.call) for request in requests)

    def call(self, prompt: Prompt) -> Reply:
        """The next text, whole."""
        self.prompts.append(prompt)
        return Reply(self.texts[len(self.prompts) - 1], "stop", 1, 1)


def titles_of(dialogue: Dialogue) -> dict[str, str]:
    """The titles of the pool by track_id."""
    return {track["track_id"]: track["title"] for track in dialogue.request.payload["tracks"]}


def lyrics_of(dialogue: Dialogue) -> str:
    """The first lyrics of the pool."""
    return next(track["lyrics_excerpt"] for track in dialogue.request.payload["tracks"] if track["lyrics_excerpt"])


@pytest.fixture(scope="module")
def dialogues(playlists, content) -> list[Dialogue]:
    """About three hundred dialogues."""
    return conversation_requests(*playlists, content, dialogues=3, turns=(5, 9), seed=7).dialogues[:300]


@pytest.fixture(scope="module")
def written(dialogues) -> Written:
    """What the rules make of the dialogues."""
    return conversations(dialogues, RuleAnswerer(7), part="turns.all")


@pytest.fixture(scope="module")
def dialogue(dialogues) -> Dialogue:
    """A dialogue of which one track at least has lyrics."""
    return next(d for d in dialogues if any(track["lyrics_excerpt"] for track in d.request.payload["tracks"]))


@pytest.fixture(scope="module")
def answer(dialogue) -> str:
    """A valid answer to the dialogue."""
    (result,) = RuleAnswerer(7).answer([dialogue.request])
    assert isinstance(result, Answer)
    return result.value.model_dump_json()


def outcome(dialogue: Dialogue, text: str) -> str:
    """The reason of the refusal, or kept."""
    result = conversations([dialogue], Script([text]), part="turns.all")
    REFUSED.checked(result.refused)
    assert result.rows.is_empty() == bool(result.refused.height)
    if not result.refused.height:
        return "kept"
    assert result.refused["location"].to_list() == [dialogue.conversation_id]
    return result.refused["reason"].item()


def test_the_rules_write_valid_conversations(written, dialogues):
    """Nothing is refused; every dialogue has its turns, numbered from 0, with its playlist and split."""
    assert written.refused.is_empty()
    turns = TURNS.checked(written.rows)
    assert turns["conversation_id"].n_unique() == len(dialogues) == 300
    for dialogue in dialogues[:20]:
        mine = turns.filter(conversation_id=dialogue.conversation_id)
        assert mine["turn"].to_list() == list(range(mine.height))
        assert mine["playlist_id"].unique().to_list() == [dialogue.playlist_id]
        assert mine["split"].unique().to_list() == [dialogue.split]
        assert mine.height == dialogue.request.payload["turns"]


def test_every_track_is_of_the_playlist_and_no_title_leaks(written, dialogues):
    """The closed set holds over all conversations, and no query gives its target away."""
    titles = {dialogue.conversation_id: titles_of(dialogue) for dialogue in dialogues}
    for row in written.rows.iter_rows(named=True):
        title = titles[row["conversation_id"]][row["track_id"]]
        assert not title_leaks(title, row["query"])
        assert title in row["response"]


def test_conversations_look_like_the_papers(written):
    """TalkPlay Table 1: 7.03 turns, 17.62 words a query, 17.91 a response; ours lie around that, richly worded."""
    turns = written.rows
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
    assert conversations(dialogues[::-1], RuleAnswerer(7), part="turns.all").rows.equals(written.rows)


def test_an_unchanged_answer_is_kept(dialogue, answer):
    """The answer that the mutations start from is valid."""
    assert outcome(dialogue, answer) == "kept"


def unknown_track(turns, place, dialogue, draw):
    """A track from outside the pool."""
    turns[place]["track_id"] = draw(st.text().filter(lambda text: text not in titles_of(dialogue)))


def repeated_track(turns, place, dialogue, draw):
    """The track of another turn."""
    turns[place]["track_id"] = turns[place - 1]["track_id"]


def rejected_nothing(turns, place, dialogue, draw):
    """A rejection of nothing."""
    turns[FIRST]["is_rejection"] = True


def too_many_rejections(turns, place, dialogue, draw):
    """A listener who likes nothing."""
    for turn in turns[1:]:
        turn["is_rejection"] = True


def unnamed_track(turns, place, dialogue, draw):
    """A response without its track, or with another's name."""
    turns[place]["response"] = draw(st.sampled_from(["Here is one that fits.", "Here is “Elsewhere” by Nobody."]))


def repeated_text(turns, place, dialogue, draw):
    """The words of the turn before."""
    turns[place]["query"] = turns[place - 1]["query"] = "And one more of the same kind, please"


def self_talk(turns, place, dialogue, draw):
    """A program that speaks of itself."""
    turns[place]["response"] += draw(st.sampled_from([" As an AI I can't hear it.", " I'm only a language model."]))


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


def markup(turns, place, dialogue, draw):
    """Markdown or an entity."""
    turns[place][draw(PARTS)] += draw(st.sampled_from([" **loud**", "\n- one more", " R&amp;B", " *softly*"]))


def wrong_script(turns, place, dialogue, draw):
    """A text in Chinese."""
    turns[place][draw(PARTS)] = "请 给我 放 一首 安静的 歌"


def wrong_language(turns, place, dialogue, draw):
    """A whole conversation in Spanish."""
    for turn in turns:
        turn["query"] = turn["response"] = "Quiero algo tranquilo para esta noche"


def leaked_title(turns, place, dialogue, draw):
    """The title in its own query, or in a text before it."""
    earlier = draw(st.integers(0, place))
    part = "query" if earlier == place else draw(PARTS)
    turns[earlier][part] += f" I mean {titles_of(dialogue)[turns[place]['track_id']].upper()}!"


def echoed_lyrics(turns, place, dialogue, draw):
    """Eleven words of lyrics in a row."""
    start = draw(st.integers(0, 20))
    turns[place][draw(PARTS)] = " ".join(words(lyrics_of(dialogue))[start : start + 11])


def schema_violation(turns, place, dialogue, draw):
    """A value, field or type outside the schema, or a turn too few."""
    changes = [{"modality": "playlist"}, {"role": "system"}, {"is_rejection": "no"}, {"query": None}, {}]
    change = draw(st.sampled_from(changes))
    turns[place].update(change)
    if not change:
        del turns[place]


MUTATIONS = [
    unknown_track, repeated_track, rejected_nothing, too_many_rejections, special_token, markup, wrong_script,
    wrong_language, too_short, too_long, leaked_title, unnamed_track, repeated_text, self_talk, echoed_lyrics,
    schema_violation,
]  # fmt: skip


def test_every_reason_has_a_mutation():
    """No rule of the validator is left untried."""
    assert {*CONVERSATION_REASONS, "unknown_track", "schema_violation"} == {mutation.__name__ for mutation in MUTATIONS}


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
    assert outcome(dialogue, answer[: data.draw(st.integers(1, len(answer) - 1))]) == "unparsable"


def test_a_bad_answer_is_asked_for_again_with_what_is_wrong(dialogue, answer):
    """The model reads the place and the rule; the better answer is kept."""
    content = json.loads(answer)
    content["turns"][2]["query"] = "la la " * 101
    script = Script([json.dumps(content), answer], re_asks=1)
    result = conversations([dialogue], script, part="turns.all")
    assert result.refused.is_empty()
    assert "too_long: turns.2.query: 606 characters, wanted at most 600" in script.prompts[1].messages[-1].text


def test_a_repaired_answer_says_so(dialogue, answer):
    """A fence around the answer is taken off, and its turns are marked; an unchanged answer's are not."""
    fenced = conversations([dialogue], Script([f"```json\n{answer}\n```"]), part="turns.all").rows
    plain = conversations([dialogue], Script([answer]), part="turns.all").rows
    assert fenced["is_repaired"].all()
    assert not plain["is_repaired"].any()
    assert fenced.drop("is_repaired").equals(plain.drop("is_repaired"))


def test_ten_words_of_lyrics_may_be_quoted(dialogue, answer):
    """Ten words in a row are allowed, eleven are not."""
    content = json.loads(answer)
    content["turns"][FIRST]["response"] += f" {' '.join(words(lyrics_of(dialogue))[3:13])}"
    assert outcome(dialogue, json.dumps(content)) == "kept"


def test_a_refusal_keeps_the_others(dialogues, answer):
    """One bad answer among good ones costs its own conversation only."""
    good = [result.value.model_dump_json() for result in RuleAnswerer(7).answer([d.request for d in dialogues[:3]])]
    result = conversations(dialogues[:3], Script([good[0], "no idea", good[2]]), part="turns.all")
    kept = result.rows["conversation_id"].unique().sort().to_list()
    assert kept == sorted([dialogues[0].conversation_id, dialogues[2].conversation_id])
    assert result.refused.select("source", "location", "reason").rows() == [
        ("conversations/turns", dialogues[1].conversation_id, "unparsable")
    ]


@pytest.mark.parametrize("texts", [1, 3])
def test_a_model_that_loses_or_adds_results_raises(dialogues, answer, texts):
    """One result for each request: anything else would shift answers onto other playlists."""

    class Careless(Script):
        def answer(self, requests, *, part="all"):
            return islice(RuleAnswerer(7).answer([*requests, *requests]), texts)

    with pytest.raises(ValueError, match="one result for each of 2 requests"):
        conversations(dialogues[:2], Careless([]), part="turns.all")


def test_no_dialogues_no_turns():
    """A slice without a long enough playlist gives empty frames that fit their tables."""
    result = conversations([], RuleAnswerer(7), part="turns.all")
    assert TURNS.checked(result.rows).is_empty()
    assert REFUSED.checked(result.refused).is_empty()
