"""The MPD track that each track of the listening log is, by normalised artist and title, scored 0 to 100.

A wrong link puts one track's audio under another's plays, a missing one only leaves a track without audio: so a link
must be good on artist and title, agree in version and numbers, and have no rival. Candidates come from equal artists,
and where an artist is unknown to the MPD, from artists that begin alike and are almost equal.

Titles are compared by `token_sort_ratio`: order of words does not matter, every missing word costs. `WRatio` would
rate "Love" in "Love Me Like You Do" at 90, which is the mistake to avoid.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from rapidfuzz import fuzz, process

from assets.sources.identity import OTHER_RECORDING, artist_form, title_form

# L logged titles, R recordings of the MPD, both of one artist

FLOOR = 50.0  # a candidate below it is none
RIVAL_POINTS = 1.0  # two recordings as near as this are one too many
BLOCK_CHARACTERS = 3
MATRIX_CELLS = 4_000_000
FORM = ["artist", "title", "version"]
ROMAN_NUMERALS = {"ii", "iii", "iv", "vi", "vii", "viii", "ix", "xi", "xii", "xiii", "xiv", "xv", "xvi"}
LINKS = pl.Schema({"title": pl.Int64(), "link": pl.Int64(), "link_score": pl.Float64(), "link_status": pl.String()})

Scores = npt.NDArray[np.float32]
Longs = npt.NDArray[np.int64]


class _Titles(NamedTuple):
    """Normal forms sorted by artist: the place of each artist's first title and of the one after the last."""

    places: dict[str, tuple[int, int]]
    words: list[str]  # sorted within a title
    kinds: npt.NDArray[np.int64]


class _Link(NamedTuple):
    """The recording found for a logged title, or why none was."""

    title: int
    link: int | None
    link_score: float
    link_status: str


def link_tracks(log_tracks: pl.DataFrame, mpd_tracks: pl.DataFrame, *, min_score: float) -> pl.DataFrame:
    """One row per row of log_tracks: track_key, track_id, link_score, link_status.

    log_tracks has track_key, artist, title; mpd_tracks has track_uri, artist, title, train_appearances. track_id is
    the MPD track's URI where linked, else the key. Of MPD tracks with one normal form, the one that most training
    playlists hold stands for all, the smallest URI among equals. link_status is linked, or no_candidate, low_score,
    version_differs (good but for a version or a number) or ambiguous (two recordings within a point).
    """
    logged = _with_forms(log_tracks)
    forms = logged.select(FORM).unique().sort(FORM)
    recordings = (
        _with_forms(mpd_tracks)
        .sort("train_appearances", "track_uri", descending=[True, False])
        .unique(FORM, keep="first", maintain_order=True)
        .select(*FORM, "track_uri")
        .sort(FORM)
        .with_row_index("link")
    )
    exact = forms.join(recordings.drop("track_uri"), on=FORM, how="left").select(
        *FORM, pl.col("link").cast(pl.Int64), link_score=100.0, link_status=pl.lit("linked")
    )
    links = pl.concat([exact.drop_nulls("link"), _near_links(exact, recordings, min_score)])
    linked = logged.join(links, on=FORM, how="left", maintain_order="left", nulls_equal=True)
    uris = recordings["track_uri"].gather(linked["link"])
    return linked.select(
        "track_key",
        track_id=pl.coalesce(uris, "track_key"),
        link_score="link_score",
        link_status=pl.col("link_status").fill_null("no_candidate"),
    )


def _with_forms(tracks: pl.DataFrame) -> pl.DataFrame:
    """The tracks with the normal forms of their names in place of the names."""
    artists = {artist: artist_form(artist) for artist in tracks["artist"].unique()}
    titles = [title_form(title) for title in tracks["title"]]
    return tracks.with_columns(
        pl.Series("artist", [artists[artist] for artist in tracks["artist"]], dtype=pl.String),
        pl.Series("title", [form.title for form in titles], dtype=pl.String),
        pl.Series("version", [form.version for form in titles], dtype=pl.String),
    )


def _near_links(exact: pl.DataFrame, recordings: pl.DataFrame, min_score: float) -> pl.DataFrame:
    """Links of what has no exact one, to recordings of the same artist or of nearly the same artists."""
    left = exact.filter(pl.col("link").is_null()).select(FORM)
    kinds: dict[str, int] = {}
    logged, known = _titles(left, kinds), _titles(recordings, kinds)
    near_artists = _near_artists(
        [artist for artist in logged.places if artist not in known.places], list(known.places), min_score
    )
    links: list[_Link] = []
    for artist, (start, end) in logged.places.items():
        near = [(artist, 100.0)] if artist in known.places else near_artists.get(artist, [])
        if near:
            candidates = np.concatenate([np.arange(*known.places[name]) for name, _ in near])
            scores = np.concatenate([np.full(np.diff(known.places[name]), score, np.float32) for name, score in near])
            links += _matched(logged, range(start, end), known, candidates, scores, min_score)
    found = pl.DataFrame(links, schema=LINKS, orient="row")
    return left[found["title"]].hstack(found.drop("title"))


def _titles(forms: pl.DataFrame, kinds: dict[str, int]) -> _Titles:
    """The forms, sorted by artist, ready to compare; `kinds` numbers what titles must have in common."""
    artists = forms["artist"].rle().struct.unnest() if forms.height else pl.DataFrame({"len": [], "value": []})
    ends = np.cumsum(artists["len"].to_numpy()).astype(np.int64).tolist()
    places = dict(zip(artists["value"].to_list(), zip([0, *ends], ends, strict=False), strict=True))
    names = forms.select("title", "version").rows()
    codes = [kinds.setdefault(_kind(title, version), len(kinds)) for title, version in names]
    return _Titles(places, [" ".join(sorted(title.split())) for title, _ in names], np.array(codes, np.int64))


def _kind(title: str, version: str) -> str:
    """What two titles must have in common however alike they are: version, numbers, words of other versions."""
    return "\n".join((version, _numbers(title), " ".join(sorted(OTHER_RECORDING.intersection(title.split())))))


def _near_artists(unknown: list[str], known: list[str], min_score: float) -> dict[str, list[tuple[str, float]]]:
    """The known artists that score at least min_score for each unknown one; both begin with the same characters."""
    blocks: dict[str, list[str]] = {}
    for artist in known:
        blocks.setdefault(artist[:BLOCK_CHARACTERS], []).append(artist)
    asked: dict[str, list[str]] = {}
    for artist in unknown:
        asked.setdefault(artist[:BLOCK_CHARACTERS], []).append(artist)

    near: dict[str, list[tuple[str, float]]] = {}
    for block in asked.keys() & blocks.keys():
        for start, scores in _scored(asked[block], blocks[block], cutoff=min_score):
            for row, column in np.argwhere(scores > 0):
                name, artist = asked[block][start + row], blocks[block][column]
                if _numbers(name) == _numbers(artist):
                    near.setdefault(name, []).append((artist, float(scores[row, column])))
    return near


def _scored(left: list[str], right: list[str], *, cutoff: float) -> Iterator[tuple[int, Scores]]:
    """Scores of all pairs, some rows of the left at a time, with the first of them; 0 below the cutoff."""
    rows = max(1, MATRIX_CELLS // len(right))
    for start in range(0, len(left), rows):
        part = left[start : start + rows]
        yield start, process.cdist(part, right, scorer=fuzz.ratio, score_cutoff=cutoff, dtype=np.float32)


def _matched(
    logged: _Titles, titles: range, known: _Titles, candidates_R: Longs, artist_scores_R: Scores, min_score: float
) -> Iterator[_Link]:
    """The link of each of the logged titles that has any candidate."""
    asked = [logged.words[title] for title in titles]
    kinds_R = known.kinds[candidates_R]
    for start, scores_LR in _scored(asked, [known.words[place] for place in candidates_R], cutoff=FLOOR):
        for title, scores_R in zip(titles[start:], np.minimum(scores_LR, artist_scores_R), strict=False):
            best = _best(scores_R, kinds_R == logged.kinds[title], min_score)
            if best is not None:
                place, score, status = best
                yield _Link(title, int(candidates_R[place]) if status == "linked" else None, round(score, 2), status)


def _best(scores_R: Scores, is_same_kind_R: npt.NDArray[np.bool_], min_score: float) -> tuple[int, float, str] | None:
    """The place, score and status of the best candidate; None where none reaches the floor."""
    place = int(scores_R.argmax())
    score = float(scores_R[place])
    if score < FLOOR:
        return None
    if score < min_score:
        return place, score, "low_score"
    scores_R = np.where(is_same_kind_R, scores_R, 0)
    if scores_R.max() < min_score:
        return place, score, "version_differs"
    place = int(scores_R.argmax())
    score = float(scores_R[place])
    rivals = int((scores_R >= score - RIVAL_POINTS).sum())
    return place, score, "linked" if rivals == 1 else "ambiguous"


def _numbers(name: str) -> str:
    words = name.split()
    return " ".join(sorted(word for word in words if word in ROMAN_NUMERALS or any(map(str.isdigit, word))))
