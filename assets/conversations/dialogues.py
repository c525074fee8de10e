"""The conversations to write: which tracks of which playlists, and what a language model is given for each.

The principles are TalkPlay's (arXiv 2502.13713, section 3.2) in our own words (`prompts/`); the published prompt is not
at hand. A dialogue is about a run of a playlist's distinct tracks, in playlist order: a window, or a sample with gaps.
"""

import random
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import polars as pl
from pydantic import JsonValue

from assets.content.track_facts import Content, track_payloads
from assets.conversations.answers import AnsweredConversation, conversation_of
from assets.conversations.rules import conversation_complaint
from resources.language_model import Request
from resources.outside_text import marked
from resources.prompt_files import checked_prompt
from resources.refusals import Refusal, refused_frame

PROMPT = "conversations/conversation-2"
SOURCE = "conversations/turns"

SPARE_TRACKS = 2  # beyond the turns wanted, so that the model has a choice (our choice)
WINDOW_SHARE = 0.5  # of the runs are windows without gaps (our choice)
NAME_CHARACTERS = 60
DESCRIPTION_CHARACTERS = 200


class Dialogue(NamedTuple):
    """One conversation to be written."""

    conversation_id: str
    playlist_id: int
    split: str
    request: Request


class Asked(NamedTuple):
    """The dialogues in order of playlist and number, and the playlists too short for any (`too_few_tracks`)."""

    dialogues: list[Dialogue]
    refused: pl.DataFrame


class Run(NamedTuple):
    """One dialogue's tracks, before their facts are looked up."""

    playlist: dict[str, str | int]
    dialogue: int
    turns: int
    track_ids: list[str]


def conversation_requests(
    playlists: pl.DataFrame,
    playlist_tracks: pl.DataFrame,
    splits: pl.DataFrame,
    content: Content,
    *,
    dialogues: int,
    turns: tuple[int, int],
    seed: int,
) -> Asked:
    """The conversations to write: `dialogues` a training playlist, one a test playlist (TalkPlay Table 1).

    Frames are sources/playlists, sources/playlist_tracks and catalog/playlist_splits; a playlist that counts in another
    slice is left to it. `turns` are the fewest and the most; fewer distinct tracks than the fewest give no request.
    """
    if not 1 <= turns[0] <= turns[1]:
        raise ValueError(f"turns {turns}: wanted the fewest and the most, 1 <= fewest <= most")
    runs: list[Run] = []
    refusals: list[Refusal] = []
    for playlist in _playlists(playlists, playlist_tracks, splits, content.tracks).iter_rows(named=True):
        track_ids = playlist.pop("track_ids") or []
        if len(track_ids) < turns[0]:
            detail = f"{len(track_ids)} distinct tracks, wanted {turns[0]}"
            refusals.append(Refusal(SOURCE, str(playlist["playlist_id"]), "too_few_tracks", detail))
            continue
        count = dialogues if playlist["split"] == "train" else 1
        runs += [_run(playlist, dialogue, track_ids, turns, seed=seed) for dialogue in range(count)]
    return Asked(list(_dialogues(runs, content)), refused_frame(refusals))


def _playlists(
    playlists: pl.DataFrame, playlist_tracks: pl.DataFrame, splits: pl.DataFrame, tracks: pl.DataFrame
) -> pl.DataFrame:
    """The playlists that count, in order of id, with their distinct catalog tracks in order of first position."""
    of_uri = tracks.filter(pl.col("track_uri").is_not_null()).select("track_uri", "track_id")
    held = (
        playlist_tracks.join(of_uri, on="track_uri")
        .sort("playlist_id", "position")
        .group_by("playlist_id", "slice")
        .agg(pl.col("track_id").unique(maintain_order=True).alias("track_ids"))
    )
    return (
        playlists.join(splits.select("playlist_id", "slice", "split"), on=["playlist_id", "slice"])
        .join(held, on=["playlist_id", "slice"], how="left")
        .sort("playlist_id")
        .select("playlist_id", "name", "description", "split", "track_ids")
    )


def _run(
    playlist: dict[str, str | int], dialogue: int, track_ids: Sequence[str], turns: tuple[int, int], *, seed: int
) -> Run:
    draw = random.Random(f"{seed}/{playlist['playlist_id']}/{dialogue}")  # noqa: S311 - a choice of tracks, no secrets
    wanted = draw.randint(turns[0], min(turns[1], len(track_ids)))
    size = min(wanted + SPARE_TRACKS, len(track_ids))
    if draw.random() < WINDOW_SHARE:
        start = draw.randint(0, len(track_ids) - size)
        return Run(playlist, dialogue, wanted, list(track_ids[start : start + size]))
    places = sorted(draw.sample(range(len(track_ids)), size))
    return Run(playlist, dialogue, wanted, [track_ids[place] for place in places])


def _dialogues(runs: Sequence[Run], content: Content) -> Iterator[Dialogue]:
    prompt = checked_prompt(PROMPT, AnsweredConversation)
    used = pl.Series("track_id", sorted({track_id for run in runs for track_id in run.track_ids}), dtype=pl.String)
    tracks = content.tracks.join(used.to_frame(), on="track_id", how="semi")
    facts_of = track_payloads(*content._replace(tracks=tracks))
    for run in runs:
        playlist_id = int(run.playlist["playlist_id"])
        payload: dict[str, JsonValue] = {
            "playlist": {
                "name": marked(str(run.playlist["name"]), characters=NAME_CHARACTERS),
                "description": marked(str(run.playlist["description"] or ""), characters=DESCRIPTION_CHARACTERS),
            },
            "tracks": [facts_of[track_id] for track_id in run.track_ids],
            "turns": run.turns,
            "dialogue": run.dialogue,
        }
        request = Request(
            prompt.task,
            prompt.version,
            prompt.instructions,
            payload,
            conversation_of(run.turns),
            closed={"track_id": tuple(run.track_ids)},
            check=partial(conversation_complaint, payload),
        )
        yield Dialogue(f"{playlist_id}/{run.dialogue}", playlist_id, str(run.playlist["split"]), request)
