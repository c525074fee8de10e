"""A trained model over cases becomes counts of candidates."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from assets.evaluation.talkplay_models import (
    _ranked,
    constrained_counts,
    judged_models,
    matcher_of_rows,
    sampled_counts,
)
from assets.evaluation.turn_cases import NO_TRACK, ChatTurn, Prompt, TurnCases
from assets.training.beams import beam_search
from assets.training.export import Loaded
from assets.training.prompts import Turn, prompt_ids, prompt_room
from assets.training.sampling import sample_tracks
from assets.training.trie import TrackTrie

SPEC = importlib.util.spec_from_file_location("tiny_recommender", Path(__file__).parents[2] / "tiny_recommender.py")
assert SPEC
assert SPEC.loader
tiny: ModuleType = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tiny)

CODES = np.array(tiny.ROWS, dtype=np.int32)
CONTEXT = 256


def cases(targets: list[list[int]], *, seen: list[int] | None = None) -> TurnCases:
    """Turns of one chat: its second ones know that track 2 was recommended in the first, and one nothing."""
    past = (ChatTurn("a calm track", 2, "here is a calm track"), ChatTurn("louder", NO_TRACK, "yes"))
    prompts = [Prompt(past[: place % 3], f"something louder {place}") for place in range(len(targets))]
    shown = np.array(seen or [], np.int32)
    return TurnCases(
        prompts,
        [np.array(rows, np.int32) for rows in targets],
        [shown for _ in targets],
        np.ones(len(targets), np.int32),
        np.arange(len(targets)),
        np.ones(len(targets), np.bool_),
    )


def prompts(loaded: Loaded, of: TurnCases) -> list[Any]:
    """The token ids of each case's chat."""
    room = prompt_room(CONTEXT, loaded.tokenizer, response_tokens=0)
    chats = [
        [Turn(q, None if row == NO_TRACK else CODES[row], said) for q, row, said in prompt.past]
        for prompt in of.prompts
    ]
    return [
        prompt_ids(past, prompt.query, loaded.tokenizer, room=room)
        for past, prompt in zip(chats, of.prompts, strict=True)
    ]


def test_ranks_are_those_of_the_beams() -> None:
    """Each track's place among all is that of its sequence's score, tracks of one sequence alike."""
    loaded, of = tiny.loaded(), cases([[row] for row in range(8)])
    judged = constrained_counts(loaded, of, CODES, context_length=CONTEXT, settings=tiny.SETTINGS)
    trie = TrackTrie.build(CODES, loaded.tokenizer.vocabulary)
    for case, ids in enumerate(prompts(loaded, of)):
        beams = beam_search(loaded.model, [ids], trie, loaded.tokenizer, beams=8, scores="catalog")
        order = [trie.rows(int(sequence)).tolist() for sequence in beams.sequences[0] if sequence >= 0]
        place = next(place for place, rows in enumerate(order) if case in rows)
        assert judged.counts.above_C[case] == sum(map(len, order[:place]))
        assert judged.counts.ties_C[case] == len(order[place])
    assert judged.is_exact_C.all()


def test_tracks_that_no_beam_reached_come_last_alike() -> None:
    """With one beam the tracks of one sequence lead, and all others tie behind them; seen ones are no candidates."""
    settings = tiny.SETTINGS.model_copy(update={"beams": 1})
    judged = constrained_counts(
        tiny.loaded(), cases([[row] for row in range(7)], seen=[7]), CODES, context_length=CONTEXT, settings=settings
    )
    above, ties, _ = judged.counts
    assert set(above[above > 0]) <= {1, 2}
    assert (above + ties)[above > 0].tolist() == [7] * int((above > 0).sum())


def test_a_sampled_sequence_ranks_by_what_agrees() -> None:
    """Of each track the summed weights of the codes that it shares with what was written; the missing code is none."""
    settings, weights = tiny.SETTINGS.model_copy(update={"batch": 1}), [25, 16, 9, 4, 1]
    loaded, of = tiny.loaded(), cases([[row] for row in range(8)])
    matcher = matcher_of_rows(CODES, loaded.tokenizer.vocabulary.codes, weights=weights)
    judged = sampled_counts(loaded, of, CODES, matcher, context_length=CONTEXT, settings=settings)
    chosen = {"temperature": settings.temperature, "top_p": settings.top_p, "seed": settings.seed}
    for case, prompt in enumerate(prompts(loaded, of)):
        written = sample_tracks(loaded.model, [prompt], loaded.tokenizer, trie=None, without="", **chosen)
        codes_M = written.codes_BM[0]
        scores_N = ((codes_M == CODES) & (codes_M < tiny.CODES)) @ weights
        assert judged.counts.above_C[case] == (scores_N > scores_N[case]).sum()
        assert judged.counts.ties_C[case] == (scores_N == scores_N[case]).sum()
        is_exact = written.is_formed_B[0] and (codes_M == CODES).all(axis=1).any()
        assert judged.is_exact_C[case] == is_exact


def test_equal_matches_tie_where_the_ranking_ends() -> None:
    """Tracks 0, 1 and 3 agree in playlist alone; a ranking of five has two of them, and puts none before another."""
    matcher = matcher_of_rows(CODES, [tiny.CODES] * 5, weights=[25, 16, 9, 4, 1])
    query_BM = np.array([[0, 2, 1, 2, 2]], np.int32)
    whole, cut = (_ranked(matcher, query_BM, tracks=8, most=most)[0] for most in (8, 5))
    assert np.argsort(-whole, kind="stable").tolist() == [5, 4, 2, 0, 1, 3, 7, 6]
    assert whole[0] == whole[1] == whole[3]
    assert np.flatnonzero(cut > -np.inf).tolist() == [2, 4, 5]
    assert (cut[[2, 4, 5]] == whole[[2, 4, 5]]).all()


def test_a_model_of_other_codebooks_is_refused(tmp_path: Path) -> None:
    """Its tokens would name other tracks: the error says what to materialize."""
    tiny.write(tmp_path / "full")
    given = {"context_length": CONTEXT, "weights": [25, 16, 9, 4, 1], "settings": tiny.SETTINGS}
    of = {"turns": cases([[0], [1]])}
    judged = judged_models({"full": tmp_path / "full"}, of, CODES, codebook_hash=tiny.CODEBOOKS, **given)
    assert set(judged["turns"]) == {"talkplay_constrained", "talkplay_sampled"}
    with pytest.raises(ValueError, match="materialize shards and training/talkplay_model"):
        judged_models({"full": tmp_path / "full"}, of, CODES, codebook_hash="0" * 64, **given)
