"""The recommender says which tracks, why, and answers; with the history that it is given."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.training.prompts import Turn as PromptTurn
from assets.training.prompts import prompt_ids
from assets.training.recommender import (
    MOST_CHARACTERS,
    PastTurn,
    Recommender,
    cleaned,
    open_recommender,
    percent,
)
from resources.talkplay_settings import MODALITIES
from resources.torch_turn import Turn

SPEC = importlib.util.spec_from_file_location("tiny_recommender", Path(__file__).parents[2] / "tiny_recommender.py")
assert SPEC
assert SPEC.loader
tiny: ModuleType = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tiny)

QUERY = "a calm track"
TRACKS = len(tiny.ROWS)


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    """Random weights over eight tracks."""
    return tiny.recommender()


def ids(reply) -> list[str]:
    """The tracks of a reply."""
    return [track.track_id for track in reply.suggestions]


def shares(past: Sequence[PromptTurn] = ()) -> np.ndarray:
    """Float64 [N, M]: of each track's codes the probability among those the catalog allows, by one pass a prefix."""
    model, tokenizer, *_ = tiny.loaded()
    prompt = prompt_ids(past, QUERY, tokenizer, room=200)
    rows = np.array(tiny.ROWS)
    found = np.ones(rows.shape)
    for row, codes in enumerate(rows):
        for place, (offset, code) in enumerate(zip(tokenizer.vocabulary.offsets, codes, strict=True)):
            prefix = tokenizer.first_id + np.array(tokenizer.vocabulary.offsets[:place]) + codes[:place]
            with torch.no_grad():
                logits = model(torch.from_numpy(np.append(prompt, prefix)[None].astype(np.int64))).logits[0, -1]
            allowed = np.unique(rows[(rows[:, :place] == codes[:place]).all(axis=1), place])
            chances = logits[tokenizer.first_id + offset + torch.from_numpy(allowed)].double().softmax(dim=0).numpy()
            found[row, place] = chances[np.searchsorted(allowed, code)]
    return found


def test_tracks_are_ranked_by_the_probability_of_their_tokens(recommender: Recommender) -> None:
    """All eight, with the products of their codes' probabilities; equal tokens, here of t0 and t1, by id."""
    reply = recommender.reply([], QUERY, top=TRACKS, seed=7)
    expected = shares().prod(axis=1)
    order = sorted(range(TRACKS), key=lambda row: (-expected[row], row))
    assert sorted(ids(reply)) == [f"t{row}" for row in range(TRACKS)]
    assert ids(reply).index("t1") == ids(reply).index("t0") + 1
    assert [track.score for track in reply.suggestions] == pytest.approx(expected[order], rel=1e-4)
    # Seven distinct sequences are the whole catalog.
    assert sum(track.score for track in reply.suggestions if track.track_id != "t1") == pytest.approx(1, rel=1e-5)


def test_reasons_are_the_probabilities_of_codes(recommender: Recommender) -> None:
    """t6 is the one track of its playlist code: what follows was no choice, and so no reason."""
    found = {track.track_id: track for track in recommender.reply([], QUERY, top=TRACKS, seed=7).suggestions}
    chances = shares()
    assert found["t6"].reasons == [f"playlist {percent(chances[6, 0])}"]
    assert found["t2"].reasons == [
        f"{modality} {percent(chances[2, place])}" for place, modality in enumerate(MODALITIES[:3])
    ]
    # t4 and t5 differ in lyrics first.
    assert found["t4"].reasons == [f"{MODALITIES[place]} {percent(chances[4, place])}" for place in (0, 1, 3)]


def test_names_and_tags_come_along(recommender: Recommender) -> None:
    """Of the catalog and of the tags; nothing stands for an album that is not known."""
    found = {track.track_id: track for track in recommender.reply([], QUERY, top=TRACKS, seed=7).suggestions}
    assert (found["t0"].title, found["t0"].artist, found["t0"].album) == (tiny.MARKUP, "Artist 0", "Tides")
    assert (found["t1"].album, found["t1"].tags, found["t0"].tags) == (None, ["calm", "piano"], [])


def test_a_reply_repeats(recommender: Recommender) -> None:
    """Same history and seed: same tracks and words, sampled ones too."""
    for is_sampled in (False, True):
        replies = [recommender.reply([], QUERY, is_sampled=is_sampled, seed=7) for _ in range(2)]
        assert replies[0] == replies[1]


def test_what_was_shown_is_not_suggested_again(recommender: Recommender) -> None:
    """Neither the track of a past turn nor those beside it; the rest move up."""
    for is_sampled in (False, True):
        past = [PastTurn("hello", "t3", "a response", ("t0", "t6"))]
        reply = recommender.reply(past, QUERY, top=TRACKS, is_sampled=is_sampled, seed=7)
        assert not {"t0", "t3", "t6"} & set(ids(reply))
        assert is_sampled or len(reply.suggestions) == TRACKS - 3


def test_nothing_left_is_no_suggestion(recommender: Recommender) -> None:
    """When all was shown, no track comes and no response to one."""
    past = [PastTurn("hello", "t0", "a response", [f"t{row}" for row in range(TRACKS)])]
    reply = recommender.reply(past, QUERY, seed=7)
    assert (reply.suggestions, reply.response) == ([], "")


def test_the_history_counts(recommender: Recommender) -> None:
    """Scores after a past turn are the model's after that turn's query, tokens and response."""
    reply = recommender.reply([PastTurn("hello", "t6", "a response")], QUERY, top=TRACKS, seed=7)
    codes = np.array(tiny.ROWS[6])
    expected = shares([PromptTurn("hello", codes, "a response")]).prod(axis=1)
    assert {track.track_id: track.score for track in reply.suggestions} == pytest.approx(
        {f"t{row}": expected[row] for row in range(TRACKS) if row != 6}, rel=1e-4
    )


def test_a_long_history_is_answered(recommender: Recommender) -> None:
    """Far beyond the context: the oldest turns are left out, a long query loses its beginning."""
    past = [PastTurn("hello " * 20, "t1", "a response " * 20)] * 40
    assert recommender.reply(past, "evening " * 200, seed=7).suggestions


def test_sampled_tokens_are_looked_up() -> None:
    """As published: tracks by the weights of the modalities that match, each named; exact if a track has them all."""
    seen = set()
    recommender = tiny.recommender(temperature=0.05)
    for seed in range(40):
        reply = recommender.reply([], QUERY, top=TRACKS, is_sampled=True, seed=seed)
        weights = dict(zip(MODALITIES, (25, 16, 9, 4, 1), strict=True))
        for track in reply.suggestions:
            assert track.score == sum(weights[reason.removeprefix("same ")] for reason in track.reasons) > 0
        found = [track.score for track in reply.suggestions]
        assert found == sorted(found, reverse=True)
        assert reply.is_exact <= (found[:1] == [sum(weights.values())])
        seen.add(reply.is_exact)
    assert False in seen


def test_a_dropped_modality_is_no_reason() -> None:
    """A model that was trained without lyrics does not see them: t4 and t5 then differ in sound alone."""
    reply = tiny.recommender("without_lyrics").reply([], QUERY, top=TRACKS, seed=7)
    found = {track.track_id: track for track in reply.suggestions}
    assert [reason.split()[0] for reason in found["t4"].reasons] == ["playlist", "semantic", "audio"]
    sampled = tiny.recommender("without_lyrics").reply([], QUERY, top=TRACKS, is_sampled=True, seed=7)
    assert not any("same lyrics" in track.reasons for track in sampled.suggestions)


def test_bad_questions_are_refused(recommender: Recommender) -> None:
    """Without text, too long, or after a track that the catalog does not have."""
    with pytest.raises(ValueError, match="the question is empty"):
        recommender.reply([], " \x00\n", seed=7)
    with pytest.raises(ValueError, match="has 2,001 characters; wanted at most 2,000"):
        recommender.reply([], "a" * (MOST_CHARACTERS + 1), seed=7)
    for past in (PastTurn("hello", "t9", ""), PastTurn("hello", None, "", ["t9"])):
        with pytest.raises(ValueError, match="no track 't9' in the catalog"):
            recommender.reply([past], QUERY, seed=7)


def opened(folder: Path, catalog) -> Recommender:
    """The recommender of a folder."""
    return open_recommender(
        folder,
        catalog,
        tiny.SETTINGS,
        weights=(25, 16, 9, 4, 1),
        context_length=256,
        turn=Turn(),
        device="cpu",
    )


def test_a_folder_is_opened(recommender: Recommender, tmp_path: Path) -> None:
    """What training wrote answers as the model in memory."""
    tiny.write(tmp_path / "model")
    reply = opened(tmp_path / "model", tiny.catalog()).reply([], QUERY, seed=7)
    assert reply == recommender.reply([], QUERY, seed=7)


def test_other_codebooks_are_refused(tmp_path: Path) -> None:
    """Tokens that the model was not trained on would be other tracks; the error says what to make."""
    tiny.write(tmp_path / "model")
    with pytest.raises(ValueError, match="codebooks c0dec0dec0de, the catalog's of other: materialize"):
        opened(tmp_path / "model", tiny.catalog(codebooks="other"))


@given(st.text(st.characters(codec=None), max_size=40))
@settings(max_examples=100, deadline=None)
def test_cleaned_text_can_be_encoded(text: str) -> None:
    """Whatever a person sends: one line, UTF-8, no control characters, and cleaning it again changes nothing."""
    clean = cleaned(text)
    clean.encode("utf-8")
    assert clean == cleaned(clean) == " ".join(clean.split())
    assert not any(sign < " " or "\x7f" <= sign < "\xa0" for sign in clean)


def test_surrogates_are_joined_or_replaced() -> None:
    """Two halves are a character, one half is none."""
    assert cleaned("a\ud83d\ude00b\ud83d c\x1b[31m\n d") == "a😀b\ufffd c [31m d"


def test_shares_are_read_as_percentages() -> None:
    """Whole ones; what would be rounded to nothing is said to be less than one."""
    assert [percent(share) for share in (1.0, 0.834, 0.01, 0.0099)] == ["100 %", "83 %", "1 %", "<1 %"]
