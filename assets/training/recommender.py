"""A trained model that a person can talk to: tracks for what was just said, why, and the reply.

Tracks come by decoding constrained to the catalog, or as TalkPlay publishes it (section 4.4): music tokens are sampled
and looked up by weighted partial matches. The reply is written to the first track. One conversation at a time; the
evaluation batches the same functions.
"""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.index.matching import WEIGHTS, Matcher
from assets.training.beams import beam_search
from assets.training.export import Loaded, load_model
from assets.training.naming import Named
from assets.training.prompts import Turn, blanked_codes, prompt_ids, prompt_room, response_prompt
from assets.training.sampling import sample_tracks, write_responses
from assets.training.trie import TrackTrie
from resources.talkplay_settings import Recommending, variant_of
from resources.torch_turn import Turn as ModelTurn

# N tracks, M modalities
IntArray = npt.NDArray[np.integer[Any]]
MOST_CHARACTERS = 2000  # of a query; those of the corpus have about 100
SHOWN_TAGS = 4


class Catalog(NamedTuple):
    """Rows of tokens/talkplay_tokens, catalog/tracks and content/tags."""

    tokens: pl.DataFrame
    tracks: pl.DataFrame
    tags: pl.DataFrame


class PastTurn(NamedTuple):
    """A turn that was: the track the response was written to, and others that were shown beside it."""

    query: str
    track_id: str | None
    response: str
    others: Sequence[str] = ()


class Suggestion(NamedTuple):
    """A track; `score` is the probability of its tokens, or the summed weights of the modalities that match."""

    track_id: str
    title: str
    artist: str
    album: str | None
    score: float
    reasons: list[str]
    tags: list[str]


class Reply(NamedTuple):
    """Tracks, best first, and the response to the first; "" if there is none. `is_exact`: the tokens are a track's."""

    suggestions: list[Suggestion]
    response: str
    is_exact: bool


class Found(NamedTuple):
    """Catalog rows with scores and reasons, best first."""

    rows: list[int]
    scores: list[float]
    reasons: list[list[str]]
    is_exact: bool


class Recommender:
    """One opened model and the catalog it knows. Threads may call it at once; the model computes for one at a time."""

    def __init__(
        self,
        loaded: Loaded,
        catalog: Catalog,
        settings: Recommending,
        *,
        weights: Sequence[int] = WEIGHTS,
        context_length: int,
        turn: ModelTurn,
    ) -> None:
        """`context_length` is what training knew. Raises ValueError for tokens of other codebooks than the model's."""
        self._model, self._tokenizer, self._settings, self._turn = loaded.model, loaded.tokenizer, settings, turn
        self._facts = _facts(catalog, loaded.codebook_hash)
        self._rows = {track_id: row for row, track_id in enumerate(self._facts["track_id"])}
        vocabulary, self._without = self._tokenizer.vocabulary, variant_of(loaded.variant).without_modality
        codes_NM = self._facts.select(vocabulary.modalities).to_numpy()
        # As the model learned them: a modality that its training went without is missing in all tracks.
        self._codes_NM = blanked_codes(codes_NM, vocabulary, without=self._without)
        self._trie = TrackTrie.build(self._codes_NM, vocabulary, without=self._without)
        track_ids, sizes = self._facts["track_id"].to_arrow(), vocabulary.codes
        self._matcher = Matcher.build(track_ids, self._codes_NM, codes_per_modality=sizes, weights=weights)
        longest = min(context_length, self._model.config.max_position_embeddings)
        self._room = prompt_room(longest, self._tokenizer, response_tokens=settings.response_tokens)

    @property
    def tracks(self) -> int:
        """Tracks of the catalog."""
        return len(self._rows)

    def reply(
        self, past: Sequence[PastTurn], query: str, *, top: int = 5, is_sampled: bool = False, seed: int
    ) -> Reply:
        """Up to `top` tracks that were not shown before, and the response to the first.

        Raises ValueError for a query without text or too long, and for a track that the catalog does not have.
        """
        query = _asked(query)
        turns = [self._turn_of(turn) for turn in past]
        shown = {self._row(track_id) for turn in past for track_id in _shown(turn)}
        prompt = prompt_ids(turns, query, self._tokenizer, room=self._room)
        with self._turn.model():
            found = self._sampled(prompt, shown, top, seed) if is_sampled else self._constrained(prompt, shown, top)
            response = self._response(prompt, found.rows[0], seed) if found.rows else ""
        return Reply([self._suggestion(found, place) for place in range(len(found.rows))], response, found.is_exact)

    def _turn_of(self, turn: PastTurn) -> Turn:
        codes_M = None if turn.track_id is None else self._codes_NM[self._row(turn.track_id)]
        return Turn(cleaned(turn.query), codes_M, cleaned(turn.response))

    def _row(self, track_id: str) -> int:
        if track_id not in self._rows:
            raise ValueError(f"no track {cleaned(track_id)[:80]!r} in the catalog; begin a new conversation")
        return self._rows[track_id]

    def _constrained(self, prompt: IntArray, shown: set[int], top: int) -> Found:
        beams = beam_search(
            self._model,
            [prompt],
            self._trie,
            self._tokenizer,
            beams=max(self._settings.beams, top + len(shown)),
            scores=self._settings.scores,
        )
        found = Found([], [], [], is_exact=True)
        scored = zip(beams.sequences[0], beams.scores[0], beams.place_scores[0], strict=True)
        for sequence, score, place_scores_M in scored:
            rows = [] if sequence < 0 else [int(row) for row in self._trie.rows(sequence) if int(row) not in shown]
            for row in rows[: top - len(found.rows)]:
                found.rows.append(row)
                found.scores.append(float(np.exp(score)))
                found.reasons.append(self._shares(row, np.exp(place_scores_M)))
        return found

    def _shares(self, row: int, shares_M: npt.NDArray[np.floating[Any]]) -> list[str]:
        """The probability of each code that is a reason: not where the catalog had no other, or the track has none."""
        codes_M, same, reasons = self._codes_NM[row], np.arange(len(self._codes_NM)), []
        vocabulary = self._tokenizer.vocabulary
        for place, modality in enumerate(vocabulary.modalities):
            is_same = self._codes_NM[same, place] == codes_M[place]
            if not is_same.all() and codes_M[place] < vocabulary.codes[place]:
                reasons.append(f"{modality} {percent(float(shares_M[place]))}")
            same = same[is_same]
        return reasons

    def _sampled(self, prompt: IntArray, shown: set[int], top: int, seed: int) -> Found:
        settings = self._settings
        sampled = sample_tracks(
            self._model,
            [prompt],
            self._tokenizer,
            temperature=settings.temperature,
            top_p=settings.top_p,
            seed=seed,
            trie=None,
            without=self._without,
        )
        codes_M = sampled.codes_BM[0]
        is_exact = bool(sampled.is_formed_B[0]) and len(self._matcher.exact(codes_M)) > 0
        ranking = self._matcher.rank(codes_M, top=top + len(shown), seed=seed)
        found = Found([], [], [], is_exact)
        for row, score, mask in zip(*(array.tolist() for array in ranking), strict=True):
            if score and row not in shown and len(found.rows) < top:
                found.rows.append(row)
                found.scores.append(float(score))
                found.reasons.append(self._matches(mask))
        return found

    def _matches(self, mask: int) -> list[str]:
        modalities = self._tokenizer.vocabulary.modalities
        highest = len(modalities) - 1
        return [f"same {modality}" for place, modality in enumerate(modalities) if mask >> (highest - place) & 1]

    def _response(self, prompt: IntArray, row: int, seed: int) -> str:
        facts = self._facts.row(row, named=True)
        responses = write_responses(
            self._model,
            [response_prompt(prompt, self._codes_NM[row], self._tokenizer)],
            self._tokenizer,
            temperature=self._settings.temperature,
            top_p=self._settings.top_p,
            most_tokens=self._settings.response_tokens,
            seed=seed,
            names=[Named(cleaned(facts["title"]), cleaned(facts["artist"]))],
        )
        return cleaned(responses[0])

    def _suggestion(self, found: Found, place: int) -> Suggestion:
        facts = self._facts.row(found.rows[place], named=True)
        return Suggestion(
            facts["track_id"],
            cleaned(facts["title"]),
            cleaned(facts["artist"]),
            cleaned(facts["album"] or "") or None,
            found.scores[place],
            found.reasons[place],
            [cleaned(tag) for tag in (facts["tags"] or [])[:SHOWN_TAGS]],
        )


def open_recommender(
    folder: Path,
    catalog: Catalog,
    settings: Recommending,
    *,
    weights: Sequence[int],
    context_length: int,
    turn: ModelTurn,
    device: Any,
) -> Recommender:
    """The recommender of a model's folder, as `save_model` wrote it, on a torch device."""
    loaded = load_model(folder)
    loaded.model.to(device)
    return Recommender(loaded, catalog, settings, weights=weights, context_length=context_length, turn=turn)


def cleaned(text: str) -> str:
    """One line of text without control characters; half a surrogate pair, which no tokenizer takes, becomes U+FFFD."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return " ".join("".join(" " if unicodedata.category(sign) == "Cc" else sign for sign in whole).split())


def percent(share: float) -> str:
    """A share for people to read."""
    return "<1 %" if share < 0.01 else f"{share:.0%}".replace("%", " %")


def _asked(query: str) -> str:
    query = cleaned(query)
    if not query:
        raise ValueError("the question is empty; say what you would like to hear")
    if len(query) > MOST_CHARACTERS:
        raise ValueError(f"the question has {len(query):,} characters; wanted at most {MOST_CHARACTERS:,}")
    return query


def _shown(turn: PastTurn) -> list[str]:
    return [*([turn.track_id] if turn.track_id is not None else []), *turn.others]


def _facts(catalog: Catalog, codebook_hash: str) -> pl.DataFrame:
    """What is known of each track with tokens, in order of id."""
    hashes = catalog.tokens["codebook_hash"].unique().sort().to_list()
    if hashes != [codebook_hash]:
        found = ", ".join(known[:12] for known in hashes) or "none"
        raise ValueError(
            f"the model's tokens are of codebooks {codebook_hash[:12]}, the catalog's of {found}: "
            "materialize tokens/talkplay_tokens, shards/conversations and training/talkplay_model, in this order"
        )
    names, tags = catalog.tracks.select("track_id", "title", "artist", "album"), catalog.tags.select("track_id", "tags")
    facts = catalog.tokens.join(names, on="track_id", how="left").join(tags, on="track_id", how="left")
    unknown = facts.filter(pl.col("title").is_null())["track_id"].sort()
    if len(unknown):
        raise ValueError(
            f"{len(unknown)} tracks of tokens/talkplay_tokens are not in catalog/tracks, as {unknown[0]}: "
            "materialize tokens/talkplay_tokens again"
        )
    return facts.sort("track_id")
