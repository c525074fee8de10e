"""Every number that changes with scale, once, with its unit and source.

`EMBEDDED` (two CPU cores, no network, no keys, minutes) and `PAPER` (the papers' settings) are two values of one type.
`MUSIC_PROFILE` chooses; `MUSIC_<SECTION>__<FIELD>` in the environment overrides one field, and so does the launchpad.
Where a paper is silent the field says "our choice".
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Literal

import dagster as dg
from pydantic import Field, ValidationError

from resources.content_settings import Content, Lyrics, Mgphot
from resources.desk_settings import Answers, ChatModel, DeskSection, Gemini, LanguageModelName
from resources.m3_settings import M3, Evaluation, M3Tokens
from resources.model_settings import Clap, LPMusicCaps, MusicFM, NVEmbed, SentenceModel, Whisper, WorkersSection
from resources.talkplay_settings import Recommending, Talkplay, Variants

OVERRIDE_PREFIX = "MUSIC_"


class Partitions(dg.Config):
    """Into how many pieces the corpus is cut. Changing one cuts the lake anew."""

    listener_buckets: int = Field(default=4, ge=1, description="Buckets of listener ids (our choice)")
    track_shards: int = Field(default=8, ge=1, description="Shards of track ids (our choice)")


class Sources(dg.Config):
    """How published files are read."""

    log_from: str = Field(
        default="2005-01-01", description="First day a play may carry: LastFM-1K starts on 2005-02-14"
    )
    log_to: str = Field(default="2009-12-31", description="Last day a play may carry: the log ends in mid-2009")


class Catalog(dg.Config):
    """How the catalog, the split and the sessions are made."""

    test_playlists: int = Field(
        default=30, ge=0, description="Playlists sampled from the last day; TalkPlay 3.3: 1,000"
    )
    split_seed: int = Field(default=7, description="Seed of that sample (our choice)")
    link_min_score: float = Field(default=92.0, ge=0, le=100, description="Least likeness of two titles (our choice)")
    session_gap_s: int = Field(
        default=1200, ge=1, description="A longer gap starts a session; E4SRec study: 20 minutes"
    )
    min_listener_plays: int = Field(
        default=100, ge=1, description="Listeners with fewer plays are left out; study: 1,000"
    )
    min_track_plays: int = Field(default=2, ge=1, description="Tracks with fewer plays are left out; study: 7")
    test_session_share: float = Field(
        default=0.1, ge=0, le=1, description="Share of each listener's sessions, the last, held out (our choice)"
    )
    min_session_tracks: int = Field(default=5, ge=1, description="Shorter sessions are left out; study: 10")
    max_session_tracks: int = Field(default=10, ge=1, description="Sessions are cut to their first tracks; study: 10")
    min_listener_sessions: int = Field(
        default=5, ge=1, description="Listeners with fewer sessions are left out; study: 50"
    )


class Embeddings(dg.Config):
    """How tracks become vectors."""

    audio_encoder: Literal["spectral", "musicfm", "clap"] = Field(
        default="spectral", description="Provider of audio vectors; TalkPlay 4.1: MusicFM"
    )
    sonic_encoder: Literal["spectral", "musicfm", "clap"] = Field(
        default="spectral", description="Provider of sonic vectors (3MToken's SC); E4SRec study: CLAP"
    )
    text_encoder: Literal["hashed_ngrams", "nv_embed", "sentence_model"] = Field(
        default="hashed_ngrams", description="Provider of text vectors; TalkPlay 4.1: NV-Embed-v2"
    )
    text_dimensions: int = Field(
        default=128, ge=2, description="Dimensions of the hashed n-grams' projection (our choice)"
    )
    text_seed: int = Field(default=7, description="Seed of that projection (our choice)")
    item2vec_dimensions: int = Field(default=64, ge=2, description="Not in the paper; TalkPlayData-2's is 128")
    item2vec_epochs: int = Field(default=20, ge=1, description="Passes over the playlists (our choice)")
    item2vec_window: int = Field(default=10, ge=1, description="Tracks on each side that count as context (our choice)")
    item2vec_negatives: int = Field(default=10, ge=1, description="Negative samples a pair (our choice)")
    item2vec_min_appearances: int = Field(
        default=1, ge=1, description="Tracks seen less often get no vector (our choice)"
    )
    item2vec_workers: int = Field(default=1, ge=1, description="Threads; more than one is faster and not repeatable")
    item2vec_seed: int = Field(default=7, description="Seed (our choice)")
    tempo_bins: int = Field(default=220, ge=2, description="Tempo bins of MC; 3MToken 2.1: 220")
    slowest_bpm: float = Field(default=30.0, gt=0, description="Where the first tempo bin begins (our choice)")
    tempo_bin_bpm: float = Field(default=1.0, gt=0, description="Width of a tempo bin (our choice)")


class Tokens(dg.Config):
    """How vectors become codes."""

    kmeans_k: int = Field(default=64, ge=1, description="Codes of each modality; TalkPlay 4.1: 1,024")
    kmeans_iterations: int = Field(default=50, ge=1, description="Most Lloyd iterations (our choice)")
    kmeans_tolerance: float = Field(default=1e-5, ge=0, description="Stop when inertia improves by less (our choice)")
    kmeans_seed: int = Field(default=7, description="Seed of the k-means++ start (our choice)")
    is_k_capped: bool = Field(default=True, description="Whether too few distinct vectors lower K, instead of failing")
    min_use: float = Field(default=0.5, ge=0, le=1, description="Share of codes in use below which the check fails")


class Conversations(dg.Config):
    """How playlists become conversations."""

    language_model: LanguageModelName = Field(
        default="rules", description="Provider of conversations, queries and relevance; TalkPlay: Gemini"
    )
    dialogues: int = Field(
        default=2, ge=1, description="Conversations a training playlist; TalkPlay Table 1: about 4.6"
    )
    min_turns: int = Field(default=5, ge=1, description="Fewest turns (our choice; TalkPlay Table 1: 7.03 on average)")
    max_turns: int = Field(default=9, ge=1, description="Most turns (our choice)")
    seed: int = Field(default=7, description="Seed of the choice of tracks (our choice)")
    query_tracks: int = Field(
        default=0,
        ge=0,
        description="Tracks that queries are written for: so many of the most heard; 0: all (our choice)",
    )
    queries: int = Field(default=2, ge=1, le=10, description="Queries a track; not in the 3MToken paper (our choice)")


class Shards(dg.Config):
    """How conversations and playlists become training rows."""

    context_length: int = Field(default=1024, ge=16, description="Tokens a row; TalkPlay section 5: 1,024")
    tokenizer: str = Field(
        default="",
        description="Folder, within `models`, of a tokenizer to expand; empty: train a small one on the corpus",
    )
    vocabulary_size: int = Field(default=4096, ge=300, description="Text tokens of the trained tokenizer (our choice)")
    index_base: int = Field(
        default=0, ge=0, le=1, description="Number of the first code in a token; undefined in the paper"
    )
    validation_share: float = Field(
        default=0.04,
        ge=0,
        lt=1,
        description="Share of the training playlists whose rows stop the training and are not learned (our choice)",
    )
    seed: int = Field(default=7, description="Seed of offsets and of the rows' order (our choice)")


class Index(dg.Config):
    """How tokens are looked up."""

    weights: list[int] = Field(
        default=[25, 16, 9, 4, 1], description="Weight of each modality's match; TalkPlay section 4.4"
    )
    m3_weights: list[int] = Field(
        default=[1] * 9,
        min_length=9,
        max_length=9,
        description="Weight of each modality where no query says what matters, AC to TC (our choice: equal)",
    )


class Profile(dg.ConfigurableResource[None]):
    """The whole set of numbers, in one section a stage."""

    name: Literal["embedded", "paper"] = "embedded"
    models: str = Field(default="models", description="Folder that the models' paths are relative to")
    partitions: Partitions = Partitions()
    sources: Sources = Sources()
    catalog: Catalog = Catalog()
    content: Content = Content()
    lyrics: Lyrics = Lyrics()
    mgphot: Mgphot = Mgphot()
    embeddings: Embeddings = Embeddings()
    tokens: Tokens = Tokens()
    m3: M3 = M3()
    m3_tokens: M3Tokens = M3Tokens()
    conversations: Conversations = Conversations()
    shards: Shards = Shards()
    index: Index = Index()
    variants: Variants = Variants()
    talkplay: Talkplay = Talkplay()
    recommending: Recommending = Recommending()
    evaluation: Evaluation = Evaluation()
    whisper: Whisper = Whisper()
    musicfm: MusicFM = MusicFM()
    clap: Clap = Clap()
    lp_musiccaps: LPMusicCaps = LPMusicCaps()
    nv_embed: NVEmbed = NVEmbed()
    sentence_model: SentenceModel = SentenceModel()
    answers: Answers = Answers()
    gemini: Gemini = Gemini()
    chat_model: ChatModel = ChatModel()
    desk: DeskSection = DeskSection()
    workers: WorkersSection = WorkersSection()

    def unpinned(self, provider: str) -> list[str]:
        """The files and folders, within `models`, that a provider reads and whose hash no field of the profile has."""
        paths = {
            "musicfm": self.musicfm.stats,
            "clap": self.clap.folder,
            "lp_musiccaps": self.lp_musiccaps.bart,
            "nv_embed": self.nv_embed.folder,
            "sentence_model": self.sentence_model.folder,
            "chat": self.chat_model.folder,
            "talkplay": self.talkplay.model,
        }
        return [paths[provider]] if paths.get(provider) else []


EMBEDDED = Profile()
PAPER = Profile(
    name="paper",
    partitions=Partitions(listener_buckets=64, track_shards=256),
    catalog=Catalog(
        test_playlists=1000,
        min_listener_plays=1000,
        min_track_plays=7,
        min_session_tracks=10,
        min_listener_sessions=50,
    ),
    content=Content(transcriber="whisper", captioner="lp_musiccaps"),
    mgphot=Mgphot(language_model="chat", tracks=50_000, doubles=0.02),
    embeddings=Embeddings(
        audio_encoder="musicfm",
        sonic_encoder="clap",
        text_encoder="nv_embed",
        item2vec_dimensions=128,
        item2vec_epochs=5,
        item2vec_min_appearances=1,
        item2vec_workers=8,
    ),
    tokens=Tokens(kmeans_k=1024, is_k_capped=False),
    m3=M3(
        learning_rate=1e-4,
        batch=512,
        epochs=150,
        is_size_capped=False,
        scales_input=False,
        has_kmeans_start=False,
        revives_dead_codes=False,
        codebook_update="gradient",
        precision="bfloat16",
    ),
    evaluation=Evaluation(seeds=1, session_pairs=1),
    conversations=Conversations(language_model="gemini", dialogues=5, query_tracks=50_000),
    shards=Shards(tokenizer="Llama-3.2-1B-Instruct", validation_share=0.001),
    variants=Variants(talkplay=["full", "without_self_similarity"]),
    talkplay=Talkplay(
        model="Llama-3.2-1B-Instruct",
        learning_rate=1e-4,
        schedule="constant",
        warmup_steps=1000,
        rows=48,
        rows_at_once=6,
        steps=2_300_000,
        evaluate_every=25_000,
        checkpoint_every=5_000,
        playlist_share=0.25,
        word_share=1.0,
        devices=8,
    ),
)
PROFILES = {"embedded": EMBEDDED, "paper": PAPER}


def chosen_profile(environment: Mapping[str, str]) -> Profile:
    """The profile that `MUSIC_PROFILE` names, with `MUSIC_MODELS` and `MUSIC_<SECTION>__<FIELD>` overrides applied.

    Raises ValueError for an unknown profile, section or field; values are checked as the fields declare.
    """
    name = environment.get("MUSIC_PROFILE", "embedded")
    if name not in PROFILES:
        raise ValueError(f"MUSIC_PROFILE={name}: wanted one of {', '.join(PROFILES)}")
    settings = PROFILES[name].model_dump()
    settings["models"] = environment.get("MUSIC_MODELS") or settings["models"]
    for variable, value in sorted(environment.items()):
        section, separator, field = variable.removeprefix(OVERRIDE_PREFIX).lower().partition("__")
        if not variable.startswith(OVERRIDE_PREFIX) or not separator:
            continue
        if section not in settings or field not in settings[section]:
            raise ValueError(f"{variable}: the profile has no field {section}.{field}; see resources/profile.py")
        settings[section][field] = _parsed(variable, value)
    try:
        return Profile(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}={first['input']}: {first['msg']}") from error


def settings_digest(section: dg.Config, partition: str, partitions: Collection[str]) -> str:
    """Hash of the values of one section: what it changes has to be made again.

    Of a field that maps these partitions to values, only the entry of this one counts.
    """
    values = section.model_dump()
    for name, value in values.items():
        if isinstance(value, dict) and value.keys() <= set(partitions):
            values[name] = value.get(partition)
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _parsed(variable: str, value: str) -> object:
    """A list as such, an object of JSON as such; any other value as it is."""
    if value.startswith("["):
        return value.strip("[] ").split(",")
    try:
        return json.loads(value) if value.startswith("{") else value
    except ValueError as error:
        raise ValueError(f'{variable}={value}: {error}; wanted JSON, as {{"tc": [64, 96, 64]}}') from error
