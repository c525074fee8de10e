"""What Dagster sees of `content`."""

from pathlib import Path

import polars as pl

import sql
from assets.catalog.tables import PLAYLIST_SPLITS, TRACKS
from assets.content.tables import AUDIO_FILES, CAPTIONS, LYRICS, RECORDINGS, RHYTHM, TAGS
from assets.partitions import TRACK_SHARDS
from assets.sources.tables import PLAYLIST_TRACKS, PLAYLISTS, TRACK_FACTS
from assets.work import Work, asset


@asset(RECORDINGS, whole=[TRACKS], partitions=TRACK_SHARDS, kinds={"mutagen", "parquet"})
def recordings(work: Work) -> None:
    """Which audio file is which track's: by its name, or by the artist and title in its tags.

    Files that no track claims are refused once, with the first shard.
    """
    from assets.content.audio import find_recordings

    parts = list(work)
    if not parts:
        return
    for part in parts:
        part.raw(work.raw.audio)
        catalog = part.read(TRACKS)
    found = find_recordings(Path(work.raw.root), catalog)
    placed = found.paths.join(catalog.select("track_id", "shard"), on="track_id")
    for part in parts:
        is_first = part.key == TRACK_SHARDS.get_partition_keys()[0]
        rows = placed.filter(pl.col("shard") == part.key).drop("shard")
        part.write({RECORDINGS: rows}, found.refused if is_first else None)


@asset(
    AUDIO_FILES, RHYTHM, same=[TRACKS, RECORDINGS], partitions=TRACK_SHARDS, kinds={"librosa", "parquet"}, pool="gpu"
)
def audio(work: Work) -> None:
    """What can be decoded of each track's recording, and its tempo and key (librosa).

    Formats are recognised by content, from a list; a playlist that poses as audio opens nothing.
    """
    from assets.content.audio import audio_files, samples_of
    from assets.content.tempo import rhythm_frame

    root, settings = Path(work.raw.root), work.profile.content
    for part in work:
        part.listed(RECORDINGS)
        paths = part.read(TRACKS, columns=["track_id"]).join(part.read(RECORDINGS), on="track_id", how="left")
        heard = audio_files(root, paths, max_s=settings.max_audio_s)
        rate_hz = settings.sample_rate_hz
        samples = samples_of(root, heard.files, sample_rate_hz=rate_hz, max_s=settings.max_audio_s)
        rhythm = rhythm_frame(samples, sample_rate_hz=rate_hz)
        counts = dict(heard.files.group_by("status").len().sort("status").iter_rows())
        part.write({AUDIO_FILES: heard.files, RHYTHM: rhythm}, heard.refused, notes=counts)


@asset(LYRICS, same=[TRACKS, RECORDINGS], partitions=TRACK_SHARDS, pool="gpu")
def lyrics(work: Work) -> None:
    """The lyrics of each track by the profile's transcriber: lyric files beside the audio and tags inside it."""
    from assets.content.lyrics import lyrics as read_lyrics
    from resources.transcriber import transcriber

    root, settings = Path(work.raw.root), work.profile.content
    for part in work:
        part.listed(RECORDINGS)
        part.raw(work.raw.audio)
        paths = part.read(TRACKS, columns=["track_id"]).join(part.read(RECORDINGS), on="track_id", how="left")
        read = read_lyrics(root, paths, transcriber(settings), max_s=settings.max_audio_s)
        counts = dict(read.lyrics.group_by("status").len().sort("status").iter_rows())
        part.write({LYRICS: read.lyrics}, read.refused, notes=counts)


@asset(TAGS, same=[TRACKS], whole=[TRACK_FACTS, PLAYLISTS, PLAYLIST_TRACKS, PLAYLIST_SPLITS], partitions=TRACK_SHARDS)
def tags(work: Work) -> None:
    """Semantic tags of each track: as the facts state them, else words that the names of its training playlists
    share.
    """
    from assets.content.semantics import semantic_tags

    names = None
    for part in work:
        tables = part.tables(PLAYLISTS, PLAYLIST_TRACKS, PLAYLIST_SPLITS)
        names = sql.select("content/playlist_names", tables) if names is None else names
        tracks = part.read(TRACKS)
        of_shard = names.join(tracks.select("track_id"), on="track_id", how="semi")
        least = work.profile.content.min_name_playlists
        tagged = semantic_tags(tracks, part.read(TRACK_FACTS), of_shard, least_playlists=least)
        counts = dict(tagged.group_by("status").len().sort("status").iter_rows())
        part.write({TAGS: tagged}, notes=counts)


@asset(CAPTIONS, same=[TRACKS, TAGS, RHYTHM, AUDIO_FILES], partitions=TRACK_SHARDS, pool="gpu")
def captions(work: Work) -> None:
    """A sentence about each track by the profile's captioner: from tags, tempo, key and year."""
    from assets.content.semantics import captions as write_captions
    from resources.captioner import captioner

    settings = work.profile.content
    for part in work:
        described = part.read(TRACKS, columns=["track_id", "release_year"])
        for table, columns in (
            (TAGS, ["tags"]),
            (RHYTHM, ["tempo_bpm", "key"]),
            (AUDIO_FILES, ["path", "status"]),
        ):
            described = described.join(part.read(table, columns=["track_id", *columns]), on="track_id", how="left")
        written = write_captions(Path(work.raw.root), described, captioner(settings), max_s=settings.max_audio_s)
        part.write({CAPTIONS: written.captions}, written.refused)
