"""What Dagster sees of `content`."""

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

import sql
from assets.asking import Asks, Reading
from assets.catalog.tables import PLAYLIST_SPLITS, TRACKS
from assets.content.tables import (
    AUDIO_FILES,
    CAPTIONS,
    LYRICS,
    MGPHOT,
    MGPHOT_AGREEMENT,
    MGPHOT_RATINGS,
    RECORDINGS,
    RHYTHM,
    SEGMENTS,
    TAGS,
    TRANSCRIPTS,
)
from assets.partitions import TRACK_SHARDS
from assets.sources.tables import PLAYLIST_TRACKS, PLAYLISTS, TRACK_FACTS
from assets.work import Work, asset
from resources.profile import Profile

if TYPE_CHECKING:
    from assets.content.mgphot import Order


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

    Formats are recognised by content, from a list; a playlist that poses as audio opens nothing. Each recording is
    decoded once, for every model of the profile that listens: what those hear is kept for their own assets.
    """
    from assets.content.audio import audio_files, hashed_files, rhythm_frame
    from assets.content.hearing import NEEDS
    from assets.content.listening import hear, open_ears, present_needs

    root = Path(work.raw.root)
    wanted = [need for need in NEEDS if not work.raw.vectors(need).exists()]
    needs = present_needs(work.profile, wanted, log=work.log.warning)
    with open_ears(needs, root=root, profile=work.profile, kept=work.lake.kept, log=work.log.info) as ears:
        for part in work:
            part.listed(RECORDINGS)
            paths = part.read(TRACKS, columns=["track_id"]).join(part.read(RECORDINGS), on="track_id", how="left")
            hashed = hashed_files(root, paths)
            heard = hear(ears, hashed.files, part=part.key)
            files = audio_files(hashed, {track_id: outcomes["facts"] for track_id, outcomes in heard.items()})
            rhythm = rhythm_frame(paths, {track_id: outcomes["rhythm"] for track_id, outcomes in heard.items()})
            counts = dict(files.files.group_by("status").len().sort("status").iter_rows())
            part.write({AUDIO_FILES: files.files, RHYTHM: rhythm}, files.refused, notes=counts)


@asset(
    TRANSCRIPTS,
    SEGMENTS,
    same=[AUDIO_FILES, RECORDINGS],
    partitions=TRACK_SHARDS,
    sections=["whisper"],
    kinds={"whisper", "parquet"},
    pool="gpu",
)
def transcripts(work: Work) -> None:
    """What is sung in each track, by the profile's transcriber: Whisper, or lyric files beside the audio and tags
    inside it.

    Unfiltered, segment by segment: content/lyrics is what passes the filters.
    """
    from assets.content.listening import open_ear
    from assets.content.transcripts import read_beside
    from assets.content.transcripts import transcripts as written_down
    from resources.providers import transcriber

    root, provider = Path(work.raw.root), transcriber(work.profile)
    with open_ear("transcript", root=root, profile=work.profile, kept=work.lake.kept, log=work.log.info) as listen:
        for part in work:
            part.listed(RECORDINGS)
            files = part.read(AUDIO_FILES)
            if provider.sample_rate_hz is None:
                part.raw(work.raw.audio)
                heard = read_beside(root, files, provider)
            else:
                heard = listen(files, part.key)
            made = written_down(files, heard)
            counts = dict(made.transcripts.group_by("status").len().sort("status").iter_rows())
            part.write({TRANSCRIPTS: made.transcripts, SEGMENTS: made.segments}, made.refused, notes=counts)


@asset(LYRICS, same=[TRANSCRIPTS, SEGMENTS], partitions=TRACK_SHARDS, sections=["lyrics"])
def lyrics(work: Work) -> None:
    """The lyrics of each track: the segments of its transcript that pass the profile's filters.

    Other filters make other lyrics of the same transcripts; nothing is transcribed again.
    """
    from assets.content.lyrics import lyrics as passing

    for part in work:
        sung = passing(part.read(TRANSCRIPTS), part.read(SEGMENTS), work.profile.lyrics)
        counts = dict(sung.group_by("status").len().sort("status").iter_rows())
        part.write({LYRICS: sung}, notes=counts)


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


@asset(
    CAPTIONS,
    same=[TRACKS, TAGS, RHYTHM, AUDIO_FILES, RECORDINGS],
    partitions=TRACK_SHARDS,
    sections=["lp_musiccaps"],
    pool="gpu",
)
def captions(work: Work) -> None:
    """How each track sounds, in words, by the profile's captioner: LP-MusicCaps, or a sentence from tags, tempo, key
    and year.
    """
    from assets.content.listening import open_ear
    from assets.content.semantics import captions as written
    from assets.content.semantics import known
    from resources.providers import captioner

    root, provider = Path(work.raw.root), captioner(work.profile)
    with open_ear("caption", root=root, profile=work.profile, kept=work.lake.kept, log=work.log.info) as listen:
        for part in work:
            part.listed(RECORDINGS)
            part.models(work.profile.content.captioner)
            tracks = part.read(TRACKS, columns=["track_id", "release_year"])
            for table, columns in ((TAGS, ["tags"]), (RHYTHM, ["tempo_bpm", "key"])):
                tracks = tracks.join(part.read(table, columns=["track_id", *columns]), on="track_id", how="left")
            files = part.read(AUDIO_FILES)
            if provider.sample_rate_hz is None:
                asked = known(tracks)
                sentences = dict(zip((track.track_id for track in asked), provider.caption(asked), strict=True))
            else:
                sentences = listen(files, part.key)
            made = written(tracks, sentences, captioner=provider.name)
            part.write({CAPTIONS: made.captions}, made.refused)


@asset(
    MGPHOT_RATINGS,
    same=[TAGS, RHYTHM, CAPTIONS, LYRICS],
    whole=[TRACKS],
    partitions=TRACK_SHARDS,
    sections=["mgphot", "answers", "gemini", "chat_model"],
    kinds={"llm", "parquet"},
    pool="gemini",
    parts_per_run=16,
    asks=Asks(
        lambda profile: profile.mgphot.language_model,
        lambda part, profile: [order.request for order in _mgphot_orders(part, profile)],
    ),
)
def mgphot_ratings(work: Work) -> None:
    """What the profile's language model answers about the 58 MGPHot attributes of each track: 0 to 5, or null.

    Asked one category at a time or all at once; some tracks twice, to see how far it agrees with itself.
    """
    from assets.content.mgphot import mean_ratings
    from assets.content.mgphot import mgphot_ratings as rated
    from resources.desk.opening import open_language_model

    name, lake = work.profile.mgphot.language_model, Path(work.lake.root)
    with open_language_model(name, work.profile, lake=lake, log=work.log.info) as model:
        work.ask_ahead(model)
        for part in work:
            part.models(name)
            made = rated(_mgphot_orders(part, work.profile), model, part=f"mgphot_ratings.{part.key}")
            notes = {**model.tally.notes(), "mean_ratings": mean_ratings(made.ratings)}
            part.write({MGPHOT_RATINGS: made.ratings}, made.refused, notes=notes)


@asset(MGPHOT, same=[MGPHOT_RATINGS, RHYTHM], partitions=TRACK_SHARDS, sections=["mgphot"])
def mgphot(work: Work) -> None:
    """The 58 MGPHot attributes of each track, 0 to 1: tempo, tonality and meter as measured, else as rated."""
    from assets.content.mgphot import mgphot as attributes

    for part in work:
        least = work.profile.mgphot.min_key_strength
        found = attributes(part.read(MGPHOT_RATINGS), part.read(RHYTHM), min_key_strength=least)
        counts = dict(found.group_by("status").len().sort("status").iter_rows())
        part.write({MGPHOT: found}, notes=counts)


@asset(MGPHOT_AGREEMENT, whole=[MGPHOT_RATINGS, MGPHOT, TRACKS])
def mgphot_agreement(work: Work) -> None:
    """How far second readings agree with the first, and ratings with a user's own MGPHot files in `mgphot/`.

    Those files' values are compared and go nowhere.
    """
    from assets.content.mgphot import shares
    from assets.content.mgphot_agreement import agreement_note, genes_agreement, readings_agreement
    from assets.content.mgphot_genes import own_genes

    for part in work:
        ratings = part.read(MGPHOT_RATINGS, columns=["track_id", "attribute", "reading", "rating", "scale"])
        genes = own_genes(part.raw(work.raw.mgphot), part.read(TRACKS, columns=["track_id", "artist", "title"]))
        compared = [readings_agreement(ratings)]
        if genes.values.height:
            rated = shares(ratings)
            compared.append(genes_agreement("ratings_and_genes", rated, genes.values))
            compared.append(genes_agreement("mgphot_and_genes", part.read(MGPHOT), genes.values, told=rated))
        found = pl.concat(compared)
        part.write({MGPHOT_AGREEMENT: found}, genes.refused, notes={"agreement": agreement_note(found)})


def _mgphot_orders(part: Reading, profile: Profile) -> "list[Order]":
    from assets.content.mgphot import mgphot_orders
    from assets.content.track_facts import content_of, most_heard, track_payloads

    settings = profile.mgphot
    content = content_of(part, "shard", "plays", "train_appearances")
    tracks = most_heard(content.tracks, settings.tracks).filter(pl.col("shard") == part.key)
    return mgphot_orders(
        track_payloads(*content._replace(tracks=tracks)), asked=settings.asked, doubles=settings.doubles
    )
