"""What a trained TalkPlay model makes of the cases: counts of the candidates before each turn's track.

constrained: beams over the catalog's token sequences; a track's score is that of its sequence, and tracks that no beam
reached come last, all alike.
sampled: as published (TalkPlay 4.4): one sequence is sampled, and tracks are ranked by which of their codes agree.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from assets.evaluation.turn_cases import NO_TRACK, TurnCases
from assets.evaluation.turn_counts import Scores, TurnCounts, counts_of_scores
from assets.index.matching import Matcher
from assets.training.beams import beam_search
from assets.training.export import Loaded, load_model
from assets.training.prompts import Chat, Turn, blanked_codes, prompt_room, prompts_of
from assets.training.sampling import sample_tracks
from assets.training.trie import TrackTrie
from resources.talkplay_settings import FULL, Recommending, variant_of

if TYPE_CHECKING:
    import torch

# C cases, B cases of a batch, N catalog tracks, M modalities, S distinct sequences, T ranked tracks
IntArray = npt.NDArray[np.int32]
MOST_RANKED = 10_000  # tracks of a sampled sequence's ranking; those after come last, all alike


class Judged(NamedTuple):
    """A system's counts, and whether the sequence that it wrote first is a track's."""

    counts: TurnCounts
    is_exact_C: npt.NDArray[np.bool_]


def judged_models(
    models: Mapping[str, Path],
    protocols: Mapping[str, TurnCases],
    codes_NM: IntArray,
    *,
    codebook_hash: str,
    context_length: int,
    weights: Sequence[int],
    settings: Recommending,
    device: "torch.device | str" = "cpu",
) -> dict[str, dict[str, Judged]]:
    """The systems that the folders of models make on a device, by protocol and name: two of the full one, else one.

    `codes_NM` are those of the catalog's tracks in its order. Raises ValueError for a model of other codebooks.
    """
    found: dict[str, dict[str, Judged]] = {protocol: {} for protocol in protocols}
    for variant, folder in models.items():
        loaded = load_model(folder)
        if loaded.codebook_hash != codebook_hash:
            raise ValueError(
                f"{folder} was trained on codebooks {loaded.codebook_hash[:12]}, the tokens are of "
                f"{codebook_hash[:12]}: materialize shards and training/talkplay_model"
            )
        loaded.model.to(device)
        for protocol, cases in protocols.items():
            judged = constrained_counts(loaded, cases, codes_NM, context_length=context_length, settings=settings)
            if variant != FULL:
                found[protocol][f"talkplay_{variant}"] = judged
                continue
            found[protocol]["talkplay_constrained"] = judged
            found[protocol]["talkplay_sampled"] = sampled_counts(
                loaded,
                cases,
                codes_NM,
                matcher_of_rows(codes_NM, loaded.tokenizer.vocabulary.codes, weights=weights),
                context_length=context_length,
                settings=settings,
            )
    return found


def matcher_of_rows(codes_NM: IntArray, sizes: Sequence[int], *, weights: Sequence[int]) -> Matcher:
    """The matcher of a catalog in its order: a track's id is its row, as text that sorts."""
    rows = [f"{row:010}" for row in range(len(codes_NM))]
    return Matcher.build(rows, codes_NM, codes_per_modality=sizes, weights=weights)


def constrained_counts(
    loaded: Loaded, cases: TurnCases, codes_NM: IntArray, *, context_length: int, settings: Recommending
) -> Judged:
    """Counts of beam search; `codes_NM` are those of the catalog's tracks in its order."""
    without = variant_of(loaded.variant).without_modality
    trie = TrackTrie.build(codes_NM, loaded.tokenizer.vocabulary, without=without)
    sequence_N = np.empty(len(codes_NM), np.int64)
    sequence_N[trie.catalog_rows] = np.repeat(np.arange(len(trie)), np.diff(trie.starts))
    prompts = _prompts(loaded, cases, codes_NM, context_length=context_length)
    parts = []
    for places_B in _batches(prompts, settings.batch):
        beams = beam_search(
            loaded.model,
            [prompts[place] for place in places_B],
            trie,
            loaded.tokenizer,
            beams=min(settings.beams, len(trie)),
            scores=settings.scores,
        )
        scores_BS = np.full((len(places_B), len(trie) + 1), -np.inf, np.float32)  # the last for beams that are none
        np.put_along_axis(scores_BS, beams.sequences.astype(np.int64), beams.scores, axis=1)
        parts.append((places_B, counts_of_scores(scores_BS[:, sequence_N], _of(cases, places_B))))
    return Judged(_in_order(parts), np.ones(len(prompts), np.bool_))


def sampled_counts(
    loaded: Loaded,
    cases: TurnCases,
    codes_NM: IntArray,
    matcher: Matcher,
    *,
    context_length: int,
    settings: Recommending,
) -> Judged:
    """Counts of sampling and weighted partial matching; the matcher's rows are the catalog's."""
    without = variant_of(loaded.variant).without_modality
    prompts = _prompts(loaded, cases, codes_NM, context_length=context_length)
    is_exact_C = np.zeros(len(prompts), np.bool_)
    parts = []
    for places_B in _batches(prompts, settings.batch):
        sampled = sample_tracks(
            loaded.model,
            [prompts[place] for place in places_B],
            loaded.tokenizer,
            temperature=settings.temperature,
            top_p=settings.top_p,
            seed=settings.seed,
            trie=None,
            without=without,
        )
        scores_BN = _ranked(matcher, sampled.codes_BM, tracks=len(codes_NM), most=MOST_RANKED)
        parts.append((places_B, counts_of_scores(scores_BN, _of(cases, places_B))))
        matches = matcher.exact_many(sampled.codes_BM)
        is_exact_C[places_B] = sampled.is_formed_B & np.array([len(rows) > 0 for rows in matches])
    return Judged(_in_order(parts), is_exact_C)


def _ranked(matcher: Matcher, codes_BM: IntArray, *, tracks: int, most: int) -> Scores:
    """Scores that rank the tracks as the matcher does, equal for equal matches; minus infinity of those after `most`.

    And of those that match like the last of these: which of its equals are left out says nothing.
    """
    ranking = matcher.rank_many(codes_BM, top=most)
    classes_BT = _classes(ranking.scores, ranking.masks)
    if tracks > most:
        classes_BT[classes_BT == classes_BT[:, -1:]] = -np.inf
    scores_BN = np.full((len(codes_BM), tracks), -np.inf, np.float32)
    np.put_along_axis(scores_BN, ranking.rows.astype(np.int64), classes_BT, axis=1)
    return scores_BN


def _classes(scores_BT: npt.NDArray[np.integer], masks_BT: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """A number that falls with each class of equal tracks in the matcher's order: by weights, then by mask."""
    return (scores_BT.astype(np.float32) * 256 + masks_BT).astype(np.float32)


def _prompts(loaded: Loaded, cases: TurnCases, codes_NM: IntArray, *, context_length: int) -> list[IntArray]:
    tokenizer = loaded.tokenizer
    codes_NM = blanked_codes(codes_NM, tokenizer.vocabulary, without=variant_of(loaded.variant).without_modality)
    chats = [
        Chat(
            [
                Turn(past.query, None if past.track == NO_TRACK else codes_NM[past.track], past.response)
                for past in prompt.past
            ],
            prompt.query,
        )
        for prompt in cases.prompts
    ]
    return prompts_of(chats, tokenizer, room=prompt_room(context_length, tokenizer, response_tokens=0))


def _batches(prompts: list[IntArray], size: int) -> Iterator[npt.NDArray[np.int64]]:
    """Places of the prompts, like lengths together, so that little is padding."""
    order = np.argsort([len(prompt) for prompt in prompts], kind="stable")
    for first in range(0, len(order), size):
        yield order[first : first + size]


def _of(cases: TurnCases, places_B: npt.NDArray[np.int64]) -> TurnCases:
    return TurnCases(
        *([column[place] for place in places_B] for column in cases[:3]),  # type: ignore[arg-type]
        *(column[places_B] for column in cases[3:]),  # type: ignore[arg-type]
    )


def _in_order(parts: list[tuple[npt.NDArray[np.int64], TurnCounts]]) -> TurnCounts:
    """The counts of all batches, case by case."""
    nothing = TurnCounts(*(np.zeros(0, np.int64) for _ in TurnCounts._fields))
    back = np.argsort(np.concatenate([np.zeros(0, np.int64), *(places_B for places_B, _ in parts)]))
    return TurnCounts(
        *(np.concatenate(numbers)[back] for numbers in zip(nothing, *(counts for _, counts in parts), strict=True))
    )
