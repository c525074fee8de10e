"""The tables that `content` writes."""

from types import new_class
from typing import cast

import dataframely as dy

from assets.content.mgphot_attributes import ATTRIBUTES, SCALE
from resources.tables import Table, refused_table

TRACK_ID = "The catalog track"


class Recordings(dy.Schema):
    """Which file is the recording of one track; tracks without one have no row."""

    track_id = dy.String(primary_key=True, description=TRACK_ID)
    path = dy.String(nullable=False, description="File, relative to the raw-data folder")


class AudioFiles(dy.Schema):
    """The recording of one track, as far as it can be decoded."""

    track_id = dy.String(primary_key=True, description=TRACK_ID)
    path = dy.String(nullable=True, description="File, relative to the raw-data folder; null where there is none")
    bytes = dy.Int64(nullable=True, description="Size of the file")
    sha256 = dy.String(nullable=True, description="Hash of the file")
    decoded_s = dy.Float64(nullable=True, description="Length that could be decoded")
    sample_rate_hz = dy.Int32(nullable=True, description="Sample rate of the file")
    channels = dy.Int32(nullable=True, description="Channels of the file")
    status = dy.String(nullable=False, description="decoded, truncated, capped, refused or absent")


class Transcripts(dy.Schema):
    """What a transcriber made of one track's recording, before any filter."""

    track_id = dy.String(primary_key=True, description=TRACK_ID)
    origin = dy.String(nullable=True, description="lrc, txt, tag, or the transcriber's name")
    language = dy.String(nullable=True, description="Language code, as in 'en'; null where unknown")
    language_probability = dy.Float64(nullable=True, min=0, max=1, description="Of that language, on a vocal window")
    decoded_s = dy.Float64(nullable=True, description="Length that was heard")
    status = dy.String(nullable=False, description="sung, instrumental, silent, absent or failed")


class Segments(dy.Schema):
    """One stretch of one track's transcript; times and statistics are null where the origin has none."""

    track_id = dy.String(primary_key=True, description=TRACK_ID)
    segment = dy.Int64(primary_key=True, min=0, description="Its number within the track")
    text = dy.String(nullable=False, description="What is sung")
    start_s = dy.Float64(nullable=True, min=0, description="Where it begins in the recording")
    end_s = dy.Float64(nullable=True, min=0, description="Where it ends")
    mean_logprob = dy.Float64(nullable=True, description="Mean logarithm of its tokens' probabilities")
    no_speech_probability = dy.Float64(nullable=True, description="That nobody speaks or sings")
    compression_ratio = dy.Float64(nullable=True, description="Of its text under gzip: repetition is high")
    temperature = dy.Float64(nullable=True, description="At which its tokens were sampled")


class Lyrics(dy.Schema):
    """The lyrics of one track: what passes of its transcript."""

    track_id = dy.String(primary_key=True, description=TRACK_ID)
    text = dy.String(nullable=True, description="Lines joined by newlines; null where there are none")
    origin = dy.String(nullable=True, description="lrc, txt, tag, or the transcriber's name")
    language = dy.String(nullable=True, description="Language code, as in 'en'; null where unknown")
    status = dy.String(nullable=False, description="sung, instrumental, silent, absent or failed")


class Rhythm(dy.Schema):
    """Tempo and key of one track."""

    track_id = dy.String(primary_key=True, description=TRACK_ID)
    tempo_bpm = dy.Float64(nullable=True, min=0, description="Beats a minute; null where there is no clear pulse")
    key = dy.String(nullable=True, description="Tonic and mode, as in 'F# minor'")
    key_strength = dy.Float64(nullable=True, description="Correlation with the key profile, -1 to 1")
    triple_strength = dy.Float64(
        nullable=True, min=0, max=1, description="1: beats group in threes, 0: in twos or fours; null where unsure"
    )
    status = dy.String(nullable=False, description="measured, silent or absent")


class Tags(dy.Schema):
    """The semantic tags of one track."""

    track_id = dy.String(primary_key=True, description=TRACK_ID)
    tags = dy.List(
        dy.String(nullable=False), nullable=True, description="Genre, mood, instrument and voice words; null where none"
    )
    origin = dy.String(nullable=True, description="facts, or playlist_names")
    status = dy.String(nullable=False, description="tagged or absent")


class Captions(dy.Schema):
    """One sentence about one track."""

    track_id = dy.String(primary_key=True, description=TRACK_ID)
    caption = dy.String(nullable=True, description="The sentence; null where nothing is known")
    captioner = dy.String(nullable=False, description="The provider that wrote it")
    status = dy.String(nullable=False, description="captioned or absent")


class MgphotRatings(dy.Schema):
    """What a language model answered about one MGPHot attribute of one track, in one reading."""

    track_id = dy.String(primary_key=True, description=TRACK_ID)
    attribute = dy.String(primary_key=True, description="The attribute's name in snake case")
    reading = dy.Int8(primary_key=True, min=1, max=2, description="1, or 2 for those asked again in reverse order")
    rating = dy.Int8(nullable=True, min=0, max=SCALE, description="As answered; null where the model cannot tell")
    scale = dy.Int8(nullable=False, min=1, description="The rating that stands for all of it")
    origin = dy.String(nullable=False, description="The language model")


class _TracksMgphot(dy.Schema):
    """The 58 MGPHot attributes of one track, each 0 to 1, null where unknown."""

    track_id = dy.String(primary_key=True, description=TRACK_ID)
    measured = dy.List(dy.String(nullable=False), nullable=False, description="Attributes taken from the audio")
    status = dy.String(nullable=False, description="tagged: all 58 are known; partial: some; absent: none")


Mgphot = cast(
    "type[dy.Schema]",
    new_class(
        "Mgphot",
        (_TracksMgphot,),
        exec_body=lambda body: body.update(
            {"__doc__": _TracksMgphot.__doc__}
            | {
                attribute.column: dy.Float32(
                    nullable=True,
                    min=0,
                    max=1,
                    description=f"{attribute.name}: {attribute.definition}; 0 {attribute.low}, 1 {attribute.high}",
                )
                for attribute in ATTRIBUTES
            }
        ),
    ),
)


class MgphotAgreement(dy.Schema):
    """How far two readings, or readings and a user's own gene values, agree about one MGPHot attribute."""

    comparison = dy.String(primary_key=True, description="second_reading, ratings_and_genes or mgphot_and_genes")
    attribute = dy.String(
        primary_key=True, description="The attribute, or all: over every pair of those whose sums are told"
    )
    cases = dy.Int64(nullable=False, min=0, description="Tracks where both sides have a value")
    exact = dy.Float64(nullable=True, min=0, max=1, description="Share of them with the same rating, of two readings")
    within_one = dy.Float64(nullable=True, min=0, max=1, description="Share with ratings at most 1 of 5 apart")
    kappa = dy.Float64(nullable=True, description="Cohen's, quadratic weights; of all: the mean of the attributes'")
    mean_error = dy.Float64(nullable=True, min=0, max=1, description="Mean absolute difference of shares 0 to 1")
    bias = dy.Float64(nullable=True, min=-1, max=1, description="Mean of ours less theirs, or first less second")
    spearman = dy.Float64(nullable=True, description="Rank correlation; of all: the mean of the attributes'")


RECORDINGS = Table("content", "recordings", Recordings)
AUDIO_FILES = Table("content", "audio_files", AudioFiles)
TRANSCRIPTS = Table("content", "transcripts", Transcripts)
SEGMENTS = Table("content", "segments", Segments)
LYRICS = Table("content", "lyrics", Lyrics)
RHYTHM = Table("content", "rhythm", Rhythm)
TAGS = Table("content", "tags", Tags)
CAPTIONS = Table("content", "captions", Captions)
MGPHOT_RATINGS = Table("content", "mgphot_ratings", MgphotRatings)
MGPHOT = Table("content", "mgphot", Mgphot)
MGPHOT_AGREEMENT = Table("content", "mgphot_agreement", MgphotAgreement)
REFUSED = refused_table("content")
