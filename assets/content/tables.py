"""The tables that `content` writes."""

import dataframely as dy

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
    tempo_bpm = dy.Float64(nullable=True, min=0, description="Beats a minute")
    key = dy.String(nullable=True, description="Tonic and mode, as in 'F# minor'")
    key_strength = dy.Float64(nullable=True, description="Correlation with the key profile, -1 to 1")
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


RECORDINGS = Table("content", "recordings", Recordings)
AUDIO_FILES = Table("content", "audio_files", AudioFiles)
TRANSCRIPTS = Table("content", "transcripts", Transcripts)
SEGMENTS = Table("content", "segments", Segments)
LYRICS = Table("content", "lyrics", Lyrics)
RHYTHM = Table("content", "rhythm", Rhythm)
TAGS = Table("content", "tags", Tags)
CAPTIONS = Table("content", "captions", Captions)
REFUSED = refused_table("content")
