"""The profile's sections on what recordings and language models say of tracks."""

from typing import Literal

import dagster as dg
from pydantic import Field

from resources.desk_settings import LanguageModelName


class Content(dg.Config):
    """How recordings are heard and read."""

    sample_rate_hz: int = Field(default=22_050, description="Rate that rhythm is measured at (librosa's default)")
    max_audio_s: float = Field(default=1200.0, gt=0, description="Longer recordings are cut here (our choice)")
    min_name_playlists: int = Field(
        default=2, ge=1, description="Training playlists that must share a word (our choice)"
    )
    transcriber: Literal["lyric_files", "whisper"] = Field(
        default="lyric_files", description="Provider of lyrics; TalkPlay 4.1: Whisper-large-v3"
    )
    captioner: Literal["sentences", "lp_musiccaps"] = Field(
        default="sentences", description="Provider of captions; TalkPlay 4.1: LP-MusicCaps"
    )


class Mgphot(dg.Config):
    """How tracks are rated by the 58 attributes of MGPHot (Oramas et al. 2025)."""

    language_model: LanguageModelName = Field(
        default="rules", description="Provider of ratings; E4SRec study: Qwen2.5-7B-Instruct, here `chat`"
    )
    asked: Literal["category", "all"] = Field(
        default="category", description="One request a category of attributes, as the E4SRec study, or one for all 58"
    )
    tracks: int = Field(default=0, ge=0, description="So many of the most heard are rated; 0: all; study: 50,000")
    doubles: float = Field(default=0.1, ge=0, le=1, description="Share of them rated twice, for agreement (our choice)")
    min_key_strength: float = Field(
        default=0.6, ge=-1, le=1, description="A weaker key measured from audio rates no tonality (our choice)"
    )


class Lyrics(dg.Config):
    """Which transcribed segments count as sung. Changing one transcribes nothing again."""

    max_no_speech: float = Field(
        default=0.6, description="A segment more likely no speech is dropped; E4SRec study: .6"
    )
    min_mean_logprob: float = Field(default=-1.0, description="A segment less likely is dropped; E4SRec study: -1")
    max_compression_ratio: float = Field(
        default=2.4, description="A more repetitive line is dropped; 2.4 as openai-whisper has it for windows"
    )
    max_line_repeats: int = Field(
        default=4, ge=1, description="A line heard more often in a row is collapsed to this many; a chorus is not"
    )
    min_words: int = Field(default=15, ge=0, description="Fewer words are a failed transcript; E4SRec study: 15")
    min_words_per_minute: float = Field(default=8.0, ge=0, description="Likewise; E4SRec study: 8")
    max_bad_share: float = Field(
        default=0.35, ge=0, le=1, description="From this share of unlikely segments on it failed; E4SRec study: .35"
    )
    min_unique_share: float = Field(
        default=0.25,
        ge=0,
        le=1,
        description="A smaller share of distinct words failed, over its different lines; E4SRec study: .25",
    )
    max_instrumental_no_speech: float = Field(
        default=0.85, description="Above this mean of no-speech probabilities it is instrumental; E4SRec study: .85"
    )
