"""The profiles: overridden field by field, refused when wrong, and the paper's numbers as published."""

import pytest

from resources.m3_settings import M3
from resources.profile import EMBEDDED, PAPER, Profile, Tokens, chosen_profile, settings_digest

SECTIONS = [name for name in Profile.model_fields if name not in ("name", "models")]
# The E4SRec study's cut of LastFM-1K names its own settings in its file's name:
# user_sessions_lastfm1k_minuser1000_minitem7_sessgap1200_minsesslen10_minhist50.csv
PUBLISHED = {
    ("catalog", "test_playlists"): 1000,  # TalkPlay 3.3
    ("catalog", "session_gap_s"): 1200,
    ("catalog", "min_listener_plays"): 1000,
    ("catalog", "min_track_plays"): 7,
    ("catalog", "min_session_tracks"): 10,
    ("catalog", "max_session_tracks"): 10,
    ("catalog", "min_listener_sessions"): 50,
    ("tokens", "kmeans_k"): 1024,  # TalkPlay 4.1
    ("shards", "context_length"): 1024,  # TalkPlay section 5
    ("index", "weights"): [25, 16, 9, 4, 1],  # TalkPlay 4.4
    ("talkplay", "rows"): 48,  # TalkPlay section 5, as the next
    ("talkplay", "steps"): 2_300_000,
    ("talkplay", "devices"): 8,
    ("recommending", "temperature"): 1.0,  # TalkPlay 4.4
    ("recommending", "top_p"): 0.9,
}


def test_the_small_profile_is_the_default() -> None:
    """Nothing in the environment means EMBEDDED, and other programs' variables change nothing."""
    assert chosen_profile({}) == EMBEDDED
    assert chosen_profile({"MUSIC_RAW": "/x", "TOKENS__KMEANS_K": "3", "HOME": "/"}) == EMBEDDED


def test_a_profile_is_chosen_by_name() -> None:
    """`MUSIC_PROFILE=paper` is PAPER; an unknown name is refused with those there are."""
    assert chosen_profile({"MUSIC_PROFILE": "paper"}) == PAPER
    with pytest.raises(ValueError, match="MUSIC_PROFILE=papers: wanted one of embedded, paper"):
        chosen_profile({"MUSIC_PROFILE": "papers"})


def test_a_variable_overrides_one_field() -> None:
    """The field gets the value in its own type, and every other field stays that of the profile."""
    chosen = chosen_profile({"MUSIC_PROFILE": "paper", "MUSIC_TOKENS__KMEANS_K": "256"})
    assert chosen.tokens.kmeans_k == 256
    expected = PAPER.model_dump()
    expected["tokens"]["kmeans_k"] = 256
    assert chosen.model_dump() == expected


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("MUSIC_TOKENS__IS_K_CAPPED", "false", False),
        ("MUSIC_CATALOG__LINK_MIN_SCORE", "88.5", 88.5),
        ("MUSIC_SOURCES__LOG_FROM", "2006-01-01", "2006-01-01"),
        ("MUSIC_INDEX__WEIGHTS", "[5, 4, 3, 2, 1]", [5, 4, 3, 2, 1]),
    ],
)
def test_values_of_every_kind_are_read(variable: str, text: str, value: object) -> None:
    """Truth, fractions, texts and lists can be given as text."""
    section, field = variable.removeprefix("MUSIC_").lower().split("__")
    assert getattr(getattr(chosen_profile({variable: text}), section), field) == value


@pytest.mark.parametrize("variable", ["MUSIC_TOKENS__KMEANS", "MUSIC_TOKEN__KMEANS_K", "MUSIC_NAME__X", "MUSIC___X"])
def test_an_unknown_field_is_refused_by_its_variable(variable: str) -> None:
    """A typo does not pass silently: the variable is named, and where the fields are."""
    with pytest.raises(ValueError, match=rf"^{variable}: the profile has no field .*; see resources/profile.py$"):
        chosen_profile({variable: "1"})


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("MUSIC_TOKENS__KMEANS_K", "0"),
        ("MUSIC_TOKENS__KMEANS_K", "many"),
        ("MUSIC_TOKENS__MIN_USE", "1.1"),
        ("MUSIC_CATALOG__LINK_MIN_SCORE", "101"),
        ("MUSIC_CATALOG__TEST_PLAYLISTS", "-1"),
        ("MUSIC_CONTENT__MAX_AUDIO_S", "0"),
        ("MUSIC_SHARDS__CONTEXT_LENGTH", "15"),
        ("MUSIC_EMBEDDINGS__TEXT_ENCODER", "unheard_of"),
        ("MUSIC_PARTITIONS__TRACK_SHARDS", "0"),
    ],
)
def test_a_value_out_of_range_is_refused_by_field(variable: str, text: str) -> None:
    """A value that the field does not allow is refused in one line, which names field and value."""
    field = variable.removeprefix("MUSIC_").lower().replace("__", ".")
    with pytest.raises(ValueError, match=rf"^{field}={text}: .+$"):
        chosen_profile({variable: text})


@pytest.mark.parametrize("place", PUBLISHED, ids=".".join)
def test_the_papers_numbers_are_as_published(place: tuple[str, str]) -> None:
    """PAPER has what the papers state."""
    section, field = place
    assert getattr(getattr(PAPER, section), field) == PUBLISHED[place]


def test_the_paper_fails_where_the_small_profile_makes_do() -> None:
    """PAPER's K is never lowered silently; EMBEDDED's is, so that the smallest corpus runs."""
    assert not PAPER.tokens.is_k_capped
    assert EMBEDDED.tokens.is_k_capped


def test_the_profiles_differ_in_scale_alone() -> None:
    """Seeds, models and what is read are one; only providers and numbers that change with scale differ."""
    embedded, paper = EMBEDDED.model_dump(), PAPER.model_dump()
    models = ("whisper", "musicfm", "clap", "lp_musiccaps", "nv_embed", "sentence_model", "gemini", "chat_model")
    alike = ("sources", "lyrics", "index", "answers", "desk", "workers", *models)
    assert [embedded[name] for name in alike] == [paper[name] for name in alike]
    for section in SECTIONS:
        changed = {field for field, value in paper[section].items() if embedded[section][field] != value}
        changed -= {"language_model"}  # a provider
        if section in ("talkplay", "shards"):
            changed -= {"model", "tokenizer"}  # the paper's base, and its words
        assert not [field for field in changed if field.endswith(("seed", "model", "tokenizer"))]
    assert PAPER.talkplay.model == PAPER.shards.tokenizer == "Llama-3.2-1B-Instruct"


def test_the_paper_profile_takes_the_papers_models() -> None:
    """TalkPlay 4.1, and CLAP for the sonic modality; the embedded profile needs no model."""
    chosen = [(profile.content.transcriber, profile.content.captioner) for profile in (EMBEDDED, PAPER)]
    assert chosen == [("lyric_files", "sentences"), ("whisper", "lp_musiccaps")]
    names = ("audio_encoder", "sonic_encoder", "text_encoder")
    encoders = [tuple(getattr(profile.embeddings, name) for name in names) for profile in (EMBEDDED, PAPER)]
    assert encoders == [("spectral", "spectral", "hashed_ngrams"), ("musicfm", "clap", "nv_embed")]


def test_unpinned_files_are_those_of_the_provider() -> None:
    """A checkpoint with a hash in the profile is not among them; a provider without files has none."""
    assert PAPER.unpinned("musicfm") == ["musicfm/msd_stats.json"]
    assert PAPER.unpinned("nv_embed") == ["nvidia/NV-Embed-v2"]
    assert PAPER.unpinned("whisper") == PAPER.unpinned("spectral") == []


def test_a_list_of_numbers_is_overridden() -> None:
    """In the form that the launchpad shows."""
    assert chosen_profile({"MUSIC_WHISPER__TEMPERATURES": "[0.0,0.4]"}).whisper.temperatures == [0.0, 0.4]


def test_every_field_says_what_it_is_and_whose_choice() -> None:
    """Each number has a description for the launchpad."""
    for section in SECTIONS:
        for name, field in type(getattr(EMBEDDED, section)).model_fields.items():
            assert field.description, f"{section}.{name}"


@pytest.mark.parametrize("field", Tokens.model_fields)
def test_a_digest_changes_with_any_field_of_its_section(field: str) -> None:
    """Each field of a section alone changes the section's digest, and equal values have equal ones."""
    value = getattr(EMBEDDED.tokens, field)
    other = not value if isinstance(value, bool) else value / 2 if isinstance(value, float) else value + 1
    assert settings_digest(Tokens(**{field: other}), "", []) != settings_digest(EMBEDDED.tokens, "", [])
    assert settings_digest(Tokens(**{field: value}), "", []) == settings_digest(EMBEDDED.tokens, "", [])


def test_a_digest_leaves_other_sections_alone() -> None:
    """An overridden field changes the digest of its own section only."""
    chosen = chosen_profile({"MUSIC_SHARDS__SEED": "8"})
    digests = [
        {name: settings_digest(getattr(profile, name), "", []) for name in SECTIONS} for profile in (EMBEDDED, chosen)
    ]
    assert {name for name in SECTIONS if digests[0][name] != digests[1][name]} == {"shards"}


def test_a_partitions_own_setting_is_nobody_elses():
    """Sizes of tc change the digest of partition tc alone, and of assets that are not cut by modality."""
    plain, own = M3(), M3(sizes_of={"tc": [4, 2]})
    modalities = ["ac", "tc"]
    assert settings_digest(plain, "ac", modalities) == settings_digest(own, "ac", modalities)
    assert settings_digest(plain, "tc", modalities) != settings_digest(own, "tc", modalities)
    assert settings_digest(plain, "shard_000", ["shard_000"]) != settings_digest(own, "shard_000", ["shard_000"])


def test_an_environment_variable_may_hold_an_object():
    """In JSON; what is none names the variable."""
    chosen = chosen_profile({"MUSIC_M3__SIZES_OF": '{"tc": [4, 2]}'})
    assert (chosen.m3.level_sizes("tc"), chosen.m3.level_sizes("ac")) == ((4, 2), (32, 128, 64))
    with pytest.raises(ValueError, match="MUSIC_M3__SIZES_OF"):
        chosen_profile({"MUSIC_M3__SIZES_OF": "{tc: 4}"})
