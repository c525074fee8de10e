"""Which provider of each need the profile names. Making one is cheap: weights are loaded when they are first used."""

from pathlib import Path

from resources.audio_encoder import AudioEncoder, SpectralEncoder
from resources.captioner import Captioner, SentenceCaptioner
from resources.profile import Profile
from resources.text_encoder import HashedNgramEncoder, TextEncoder
from resources.torch_turn import Turn
from resources.transcriber import LyricFiles, Transcriber


def transcriber(profile: Profile, turn: Turn | None = None) -> Transcriber:
    """The transcriber that the profile names; `turn` is shared by the models of one process."""
    if profile.content.transcriber == "lyric_files":
        return LyricFiles()
    from resources.whisper_transcriber import WhisperTranscriber

    return WhisperTranscriber(
        profile.whisper, models=Path(profile.models), turn=turn or Turn(), device=profile.workers.device
    )


def captioner(profile: Profile, turn: Turn | None = None) -> Captioner:
    """The captioner that the profile names; `turn` is shared by the models of one process."""
    if profile.content.captioner == "sentences":
        return SentenceCaptioner()
    from resources.lp_musiccaps_captioner import LPMusicCapsCaptioner

    return LPMusicCapsCaptioner(
        profile.lp_musiccaps, models=Path(profile.models), turn=turn or Turn(), device=profile.workers.device
    )


def audio_encoder(kind: str, profile: Profile, turn: Turn | None = None) -> AudioEncoder:
    """The audio encoder of that kind, as the profile's fields name it; `turn` is shared by the models of one process.

    Raises ValueError for an unknown kind.
    """
    models, turn, device = Path(profile.models), turn or Turn(), profile.workers.device
    if kind == "spectral":
        return SpectralEncoder()
    if kind == "musicfm":
        from resources.musicfm_encoder import MusicFmEncoder

        return MusicFmEncoder(profile.musicfm, models=models, turn=turn, device=device)
    if kind == "clap":
        from resources.clap_encoder import ClapEncoder

        return ClapEncoder(profile.clap, models=models, turn=turn, device=device)
    raise ValueError(f"audio encoder {kind!r}: expected spectral, musicfm or clap")


def text_encoder(profile: Profile, turn: Turn | None = None) -> TextEncoder:
    """The text encoder that the profile names; `turn` is shared by the models of one process."""
    models, turn, device = Path(profile.models), turn or Turn(), profile.workers.device
    if profile.embeddings.text_encoder == "nv_embed":
        from resources.nv_embed_encoder import NVEmbedEncoder

        return NVEmbedEncoder(profile.nv_embed, models=models, turn=turn, device=device)
    if profile.embeddings.text_encoder == "sentence_model":
        from resources.sentence_encoder import SentenceEncoder

        return SentenceEncoder(profile.sentence_model, models=models, turn=turn, device=device)
    return HashedNgramEncoder(dimensions=profile.embeddings.text_dimensions, seed=profile.embeddings.text_seed)


def clap_text_encoder(profile: Profile, turn: Turn | None = None) -> TextEncoder:
    """The text tower of CLAP, whose vectors compare with those of its audio encoder."""
    from resources.clap_encoder import ClapTextEncoder

    return ClapTextEncoder(
        profile.clap, models=Path(profile.models), turn=turn or Turn(), device=profile.workers.device
    )
