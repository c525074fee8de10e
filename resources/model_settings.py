"""The models' sections of the profile: which checkpoint, how it is used, with sources; and where models run."""

from typing import Literal

import dagster as dg
from pydantic import Field

Precision = Literal["float32", "bfloat16"]
PRECISION = "Numbers that the model computes in (our choice)"
SHA256 = "SHA-256 that the checkpoint must have"


class Whisper(dg.Config):
    """openai-whisper (Radford et al. 2022), on vocal windows in batches (Syed et al. 2025)."""

    checkpoint: str = Field(
        default="large-v3", description="A model's name, or a checkpoint file; TalkPlay 4.1: large-v3"
    )
    sha256: str = Field(default="", description=f"{SHA256}; a named model carries its own")
    language: str = Field(default="", description="Language of all recordings; empty: detected on a vocal window")
    beams: int = Field(default=5, ge=1, description="Beams at temperature 0; Syed et al.: 5")
    temperatures: list[float] = Field(
        default=[0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
        min_length=1,
        description="Tried in turn on a failed window; openai-whisper",
    )
    vocal_onset: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="Share of the 95th percentile of the frames that counts as vocal; Syed et al.: .1 of the loudest",
    )
    min_silence_s: float = Field(default=1.0, ge=0, description="Shorter pauses are kept; Syed et al.: 1 s")
    silent_rms: float = Field(default=1e-3, gt=0, description="A quieter recording is silent (our choice: -60 dB)")
    windows: int = Field(default=16, ge=1, description="Windows in a batch (our choice)")
    precision: Precision = Field(default="float32", description=PRECISION)


class MusicFM(dg.Config):
    """MusicFM (Won et al. 2024)."""

    checkpoint: str = Field(
        default="musicfm/pretrained_msd.pt", description="The official checkpoint (our choice: MSD)"
    )
    sha256: str = Field(default="218b483a0256ddef736267425fabb166fd97008983696bb9270def464b47bded", description=SHA256)
    stats: str = Field(default="musicfm/msd_stats.json", description="Mean and deviation of its spectrograms")
    layer: int = Field(default=7, ge=0, le=12, description="Layer whose output is pooled; MusicFM's example: 7")
    chunk_s: float = Field(default=30.0, gt=0.1, description="Seconds heard at once; MusicFM was trained on 30")
    chunks: int = Field(default=16, ge=1, description="Chunks in a batch (our choice)")
    precision: Precision = Field(default="float32", description=PRECISION)


class Clap(dg.Config):
    """CLAP (Wu et al. 2023), as transformers has it."""

    folder: str = Field(
        default="laion/larger_clap_music_and_speech", description="The model's folder; E4SRec study: this one"
    )
    chunk_s: float = Field(default=10.0, gt=0.1, description="Seconds heard at once; CLAP's own window")
    chunks: int = Field(default=32, ge=1, description="Chunks in a batch (our choice)")
    precision: Precision = Field(default="float32", description=PRECISION)


class LPMusicCaps(dg.Config):
    """LP-MusicCaps (Doh et al. 2023)."""

    checkpoint: str = Field(default="lp-music-caps/supervised.pth", description="The official checkpoint (our choice)")
    sha256: str = Field(default="", description=SHA256)
    bart: str = Field(default="facebook/bart-base", description="Folder with BART's config.json and tokenizer")
    beams: int = Field(default=5, ge=1, description="Beams; LP-MusicCaps: 5")
    max_tokens: int = Field(default=128, ge=2, description="Longest caption; LP-MusicCaps: 128")
    captions: int = Field(
        default=3, ge=1, description="10-second chunks of a recording that are captioned, evenly spread (our choice)"
    )
    chunks: int = Field(default=16, ge=1, description="Chunks in a batch (our choice)")
    precision: Precision = Field(default="float32", description=PRECISION)


class NVEmbed(dg.Config):
    """NV-Embed-v2 (Lee et al. 2024)."""

    folder: str = Field(default="nvidia/NV-Embed-v2", description="The model's folder")
    instruction: str = Field(default="", description="Put before each text; passages have none; unknown in TalkPlay")
    max_tokens: int = Field(default=4096, ge=8, description="Longer texts are cut; the model's own default")
    texts: int = Field(default=16, ge=1, description="Texts in a batch (our choice)")
    precision: Precision = Field(default="bfloat16", description="As published: 16 bits")


class SentenceModel(dg.Config):
    """Any sentence-transformers model."""

    folder: str = Field(default="sentence-transformers/all-MiniLM-L6-v2", description="The model's folder")
    prompt: str = Field(default="", description="Put before each text")
    texts: int = Field(default=64, ge=1, description="Texts in a batch (our choice)")
    precision: Precision = Field(default="float32", description=PRECISION)


class WorkersSection(dg.Config):
    """Where models run. None of it changes what comes out but for the last bits, by threads, batch and device."""

    kind: Literal["local", "ray"] = Field(default="local", description="In this process, or on a Ray cluster")
    count: int = Field(default=1, ge=1, description="Ray actors, one set of models each")
    gpus_each: float = Field(default=0.0, ge=0, description="GPUs of one actor: 0.5 has two share one")
    preparers: int = Field(default=2, ge=0, description="Processes of each worker that decode audio; 0: none apart")
    torch_threads: int = Field(default=1, ge=1, description="CPU threads of a model; more changes the last bits")
    batch: int = Field(default=8, ge=1, description="Recordings handed to a worker at once")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where the models are")
