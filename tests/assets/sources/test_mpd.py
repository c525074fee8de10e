"""One slice of the Million Playlist Dataset: what is kept, what is refused, what is counted."""

import json
from copy import deepcopy
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.sources import mpd
from assets.sources.mpd import ID_PATTERN, MAX_CHARACTERS, REASONS, REPAIRS, Slice, clean_text, read_slice, slice_tables
from assets.sources.mpd_json import decode_regular, decode_strict
from assets.sources.tables import PLAYLIST_TRACKS, PLAYLISTS, REFUSED, SLICE_TRACKS

NAME = "mpd.slice.0-999"
REAL = Path(__file__).parents[4] / "shared" / "data" / "mpd"


def track(place: int, letter: str = "a", **fields: object) -> dict[str, object]:
    """A track of the published layout."""
    return {
        "pos": place,
        "artist_name": f"Artist {letter}",
        "track_uri": f"spotify:track:{letter}",
        "artist_uri": f"spotify:artist:{letter}",
        "track_name": f"Title {letter}",
        "album_uri": f"spotify:album:{letter}",
        "duration_ms": 1000,
        "album_name": f"Album {letter}",
        **fields,
    }


def playlist(pid: object, *tracks: object, **fields: object) -> dict[str, object]:
    """A playlist of the published layout."""
    return {
        "name": "Morning",
        "collaborative": "false",
        "pid": pid,
        "modified_at": 1493424000,
        "num_tracks": len(tracks),
        "num_followers": 1,
        "tracks": list(tracks),
        **fields,
    }


def encoded(*playlists: object, **layout: object) -> bytes:
    """The bytes of a slice file."""
    info = {"generated_on": "2017-12-03", "slice": "0-999", "version": "v1"}
    return json.dumps({"info": info, "playlists": playlists}, **layout).encode()  # type: ignore[arg-type]


def read(*playlists: object) -> Slice:
    """The tables of a slice of these playlists, each of which fits its declaration."""
    tables = read_slice(encoded(*playlists), slice_name=NAME)
    return checked(tables)


def checked(tables: Slice) -> Slice:
    """The same tables, after a check against their declarations."""
    PLAYLISTS.checked(tables.playlists)
    PLAYLIST_TRACKS.checked(tables.playlist_tracks)
    SLICE_TRACKS.checked(tables.slice_tracks)
    REFUSED.checked(tables.refused)
    assert set(tables.refused["reason"]) <= set(REASONS)
    assert tuple(tables.repairs) == REPAIRS
    return tables


def repairs(tables: Slice) -> dict[str, int]:
    """The counts above zero."""
    return {name: count for name, count in tables.repairs.items() if count}


def test_slice_becomes_three_tables() -> None:
    """A playlist, its positions and its distinct tracks come out with their types and counts."""
    tables = read(playlist(5, track(0, "a"), track(1, "b"), track(2, "a"), description="Slow"))
    assert tables.playlists.rows(named=True)[0] | {"modified_at": None} == {
        "playlist_id": 5,
        "name": "Morning",
        "description": "Slow",
        "modified_at": None,
        "followers": 1,
        "is_collaborative": False,
        "tracks": 3,
        "declared_tracks": 3,
        "slice": NAME,
    }
    assert str(tables.playlists["modified_at"][0]) == "2017-04-29 00:00:00+00:00"
    assert tables.playlist_tracks.select("position", "track_uri").rows() == [
        (0, "spotify:track:a"),
        (1, "spotify:track:b"),
        (2, "spotify:track:a"),
    ]
    assert tables.slice_tracks.select("title", "artist", "album", "duration_ms", "appearances").rows() == [
        ("Title a", "Artist a", "Album a", 1000, 2),
        ("Title b", "Artist b", "Album b", 1000, 1),
    ]
    assert tables.refused.is_empty()
    assert not repairs(tables)


def test_bare_list_and_missing_fields_are_read() -> None:
    """A bare list of playlists with nothing but the required fields gives the same rows, nulls elsewhere."""
    short = {"track_uri": "t:1", "track_name": "T", "artist_name": "A"}
    raw = json.dumps([{"pid": 1, "name": "Bare", "tracks": [short, short]}]).encode()
    tables = checked(read_slice(raw, slice_name=NAME))
    assert decode_regular(raw) is not None
    assert tables.playlist_tracks["position"].to_list() == [0, 1]
    assert tables.playlists.select("description", "modified_at", "followers", "declared_tracks").row(0) == (None,) * 4
    assert tables.playlists["is_collaborative"].to_list() == [False]
    assert not repairs(tables)


@pytest.mark.parametrize(("stated", "meant"), [("true", True), ("false", False), (True, True), (False, False)])
def test_collaborative_is_text_or_boolean(stated: object, meant: bool) -> None:
    """`collaborative` is read from the published texts and from JSON booleans."""
    tables = read(playlist(1, track(0), collaborative=stated))
    assert tables.playlists["is_collaborative"].to_list() == [meant]
    assert not repairs(tables)


def test_emoji_names_survive() -> None:
    """A name of emoji, joined ones included, stays as it is, escaped or not."""
    name = "\U0001f483\U0001f3fd \U0001f468\u200d\U0001f469\u200d\U0001f467"
    escaped, plain = encoded(playlist(1, name=name)), encoded(playlist(1, name=name), ensure_ascii=False)
    assert escaped != plain
    for raw in (escaped, plain):
        assert read_slice(raw, slice_name=NAME).playlists["name"].to_list() == [name]


def test_byte_order_mark_is_ignored() -> None:
    """A UTF-8 mark in front changes nothing."""
    raw = encoded(playlist(1, track(0)))
    assert read_slice(b"\xef\xbb\xbf" + raw, slice_name=NAME).playlists.equals(
        read_slice(raw, slice_name=NAME).playlists
    )


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_truncated_slice_is_refused_whole(mark: bytes) -> None:
    """A half-written file gives one refusal that names the byte at which it broke, and no rows."""
    raw = mark + encoded(playlist(1, track(0, track_name="Señor")), ensure_ascii=False)
    tables = checked(read_slice(raw[:-1], slice_name=NAME))
    assert tables.playlists.is_empty()
    assert tables.refused.select("source", "location", "reason").rows() == [
        (NAME, f"byte {len(raw) - 1}", "truncated_json")
    ]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_truncation_is_refused(data: st.DataObject) -> None:
    """Cut anywhere, a slice is refused whole."""
    raw = encoded(playlist(1, track(0, track_name="Señor 🎵")), ensure_ascii=False)
    cut = data.draw(st.integers(0, len(raw) - 1))
    tables = read_slice(raw[:cut], slice_name=NAME)
    assert tables.playlists.is_empty()
    assert tables.refused["reason"][0] in ("truncated_json", "not_utf8")


@pytest.mark.parametrize(
    ("raw", "reason", "location"),
    [
        (b"5", "not_a_slice", "file"),
        (b'{"challenge": []}', "not_a_slice", "file"),
        (b'{"playlists": {}}', "not_a_slice", "file"),
        (b'{"playlists": [], "playlists": []}', "duplicate_key", "file"),
        (b"[" * 100_000, "too_deep", "file"),
        (b'{"playlists": [{"name": "' + "é".encode("latin1") + b'"}]}', "not_utf8", "byte 25"),
        (encoded(playlist(1)).decode().encode("utf-16"), "not_utf8", "byte 0"),
    ],
)
def test_what_is_no_slice_is_refused_whole(raw: bytes, reason: str, location: str) -> None:
    """Other shapes, repeated top keys, bombs of brackets and other encodings give one refusal and no rows."""
    tables = checked(read_slice(raw, slice_name=NAME))
    assert tables.refused.select("reason", "location").rows() == [(reason, location)]
    assert tables.playlists.is_empty()
    assert tables.slice_tracks.is_empty()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"name": "no pid", "tracks": []}, "bad_playlist"),
        (playlist(-1), "bad_playlist"),
        (playlist("1"), "bad_playlist"),
        (playlist(1.5), "bad_playlist"),
        (playlist(True), "bad_playlist"),
        (playlist(2**63), "bad_playlist"),
        (playlist(1, tracks=None), "bad_playlist"),
        (playlist(1, tracks={"a": 1}), "bad_playlist"),
        (playlist(1, name=None), "no_name"),
        (playlist(1, name=7), "no_name"),
        (None, "bad_playlist"),
        ("text", "bad_playlist"),
    ],
)
def test_bad_playlist_is_refused_alone(bad: object, reason: str) -> None:
    """A playlist without a usable pid, list or name is refused where it stands; the next one is kept."""
    tables = read(bad, playlist(9, track(0)))
    assert tables.refused.select("reason", "location").rows() == [(reason, "playlists[0]")]
    assert tables.playlists["playlist_id"].to_list() == [9]
    assert tables.playlist_tracks["playlist_id"].to_list() == [9]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"track_uri": None}, "bad_track_uri"),
        ({"track_uri": 5}, "bad_track_uri"),
        ({"track_uri": ""}, "bad_track_uri"),
        ({"track_uri": "../secret"}, "bad_track_uri"),
        ({"track_uri": "a\nb"}, "bad_track_uri"),
        ({"track_uri": "a\n"}, "bad_track_uri"),
        ({"track_uri": "a" * 129}, "bad_track_uri"),
        ({"track_uri": "x' or 1=1"}, "bad_track_uri"),
        ({"track_name": None}, "no_title"),
        ({"track_name": " \t"}, "no_title"),
        ({"track_name": "\u0001"}, "no_title"),
        ({"artist_name": ["A"]}, "no_artist"),
    ],
)
def test_bad_track_is_refused_alone(fields: dict[str, object], reason: str) -> None:
    """A row without a usable id, title or artist is refused where it stands; the others close the gap, counted."""
    tables = read(playlist(1, track(0, "a"), track(1, "b", **fields), track(2, "c")))
    assert tables.refused.select("reason", "location").rows() == [(reason, "playlists[0].tracks[1]")]
    assert tables.playlist_tracks.select("position", "track_uri").rows() == [
        (0, "spotify:track:a"),
        (1, "spotify:track:c"),
    ]
    assert repairs(tables) == {"position_gaps": 1, "declared_tracks_differ": 1}


def test_repeated_key_refuses_the_object_that_holds_it() -> None:
    """A track, or a playlist, that states a key twice is refused; neither value is trusted."""
    raw = encoded(playlist(1, track(0, "a"), track(1, "b")), playlist(2, track(0, "c")))
    in_track = raw.replace(b'"pos": 1,', b'"pos": 1, "track_uri": "spotify:track:x",')
    in_playlist = raw.replace(b'"pid": 2', b'"pid": 2, "p\\u0069d": 3')
    tables = checked(read_slice(in_track, slice_name=NAME))
    assert tables.refused.select("reason", "location").rows() == [("duplicate_key", "playlists[0].tracks[1]")]
    tables = checked(read_slice(in_playlist, slice_name=NAME))
    assert tables.refused.select("reason", "location").rows() == [("duplicate_key", "playlists[1]")]
    assert tables.playlists["playlist_id"].to_list() == [1]


def test_repeated_pid_keeps_the_first() -> None:
    """A pid again is a duplicate where name and tracks agree, else a conflict; the first stands."""
    first, other = playlist(1, track(0, "a")), playlist(1, track(0, "b"))
    tables = read(first, playlist(2), deepcopy(first), other)
    assert tables.playlists["playlist_id"].to_list() == [1, 2]
    assert tables.playlist_tracks["track_uri"].to_list() == ["spotify:track:a"]
    assert tables.slice_tracks["appearances"].to_list() == [1]
    assert tables.refused.select("reason", "location").rows() == [
        ("duplicate_playlist", "playlists[2]"),
        ("pid_conflict", "playlists[3]"),
    ]


def test_repeated_pid_without_tracks_is_a_duplicate() -> None:
    """Two empty playlists of one pid and name are the same."""
    assert read(playlist(1), playlist(1)).refused["reason"].to_list() == ["duplicate_playlist"]


@pytest.mark.parametrize(
    ("stated", "order", "gaps"),
    [
        ((0, 1, 2), "abc", 0),
        ((2, 0, 1), "bca", 0),
        ((0, 5, 9), "abc", 1),
        ((1, 1, 0), "cab", 1),
        ((None, None, None), "abc", 0),
        ((0, None, 1), "acb", 1),
        ((1, 2, -1), "abc", 1),
    ],
)
def test_positions_follow_pos(stated: tuple[int | None, ...], order: str, gaps: int) -> None:
    """Positions are 0..n-1 in the order of `pos`, ties and unstated ones as listed; gaps and repeats are counted."""
    tables = read(playlist(1, *(track(0, letter, pos=pos) for pos, letter in zip(stated, "abc", strict=True))))
    assert tables.playlist_tracks["position"].to_list() == [0, 1, 2]
    assert "".join(uri[-1] for uri in tables.playlist_tracks["track_uri"]) == order
    assert tables.repairs["position_gaps"] == gaps


@pytest.mark.parametrize(
    ("duration", "kept"),
    [
        ("1", 1),
        ("2e3", 2000),
        ("86400000", 86_400_000),
        *((bad, None) for bad in ("86400001", "0", "-1", "NaN", "1e400", "9" * 5000, '"200"', "true", "1.5")),
    ],
)
def test_durations_are_within_a_day(duration: str, kept: int | None) -> None:
    """A length outside 0 < ms <= 24 h, or that is no whole number, becomes null and is counted; the row is kept."""
    raw = encoded(playlist(1, track(0))).replace(b'"duration_ms": 1000', b'"duration_ms": ' + duration.encode())
    tables = checked(read_slice(raw, slice_name=NAME))
    assert tables.slice_tracks["duration_ms"].to_list() == [kept]
    assert repairs(tables) == ({} if kept else {"bad_duration": 1})


@settings(max_examples=100, deadline=None)
@given(st.integers(0xD800, 0xDFFF), st.sampled_from(["", "x", "\\n", "\\u0041", "\\ud800"]))
def test_lone_surrogates_become_the_replacement_character(surrogate: int, after: str) -> None:
    """Each half of a broken pair in a name becomes U+FFFD, whichever decoder meets it, and the text is counted."""
    escape = f"\\u{surrogate:04x}{after}"
    raw = encoded(playlist(1, name="MARK")).replace(b"MARK", escape.encode())
    tables = checked(read_slice(raw, slice_name=NAME))
    assert tables.playlists["name"][0].startswith("\ufffd")
    assert tables.repairs["text_repaired"] == 1


def test_text_is_cleaned() -> None:
    """Control characters go, line breaks become a space, composed letters are one, 1,000 characters are kept."""
    long = "e\u0301" * (MAX_CHARACTERS + 1)
    tables = read(playlist(1, track(0, track_name=long, artist_name="A\u0000B\u0007C", album_name="One\r\nTwo")))
    row = tables.slice_tracks.row(0, named=True)
    assert (row["title"], row["artist"], row["album"]) == ("é" * MAX_CHARACTERS, "A\ufffdBC", "One Two")
    assert repairs(tables) == {"text_repaired": 2, "text_truncated": 1}


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    """Cleaned text is clean."""
    assert clean_text(clean_text(text)) == clean_text(text)


def test_optional_values_of_another_kind_are_null_and_counted() -> None:
    """A follower count in words, a numeric album, a bad artist id, an impossible day: null, counted, the rows kept."""
    bad = track(0, album_name=1989, artist_uri="a b")
    tables = read(playlist(1, bad, num_followers="many", modified_at=10**15, description=3, collaborative="maybe"))
    assert tables.slice_tracks.select("album", "artist_uri").row(0) == (None, None)
    assert tables.playlists.select("followers", "modified_at", "description").row(0) == (None, None, None)
    assert repairs(tables) == {"bad_value": 6}


def test_declared_tracks_are_compared() -> None:
    """`num_tracks` is kept as stated and a difference is counted."""
    tables = read(playlist(1, track(0), num_tracks=12))
    assert tables.playlists.select("tracks", "declared_tracks").row(0) == (1, 12)
    assert repairs(tables) == {"declared_tracks_differ": 1}


def test_slice_without_playlists_is_empty() -> None:
    """An empty list gives empty tables and no refusal."""
    tables = read()
    assert tables.playlists.is_empty()
    assert tables.refused.is_empty()


NUMBERS = (True, False, 0, -1, 1.0, 1.5, 2**53, 2**63, 2**64)
TEXTS = ("5", "true", "", "\ud800x", "\u0000", 'a":', 'b\\":1', "a: b", "\\", "\U0001f3b5", "spotify:track:z")
ODD_VALUES = st.sampled_from([None, *NUMBERS, *TEXTS, ["x"], {"k": 1}, {}])
TRACKS = st.builds(
    lambda fields, extra: {**fields, **extra},
    st.fixed_dictionaries({}, optional={name: st.just(value) for name, value in track(0).items()}),
    st.dictionaries(st.sampled_from([*track(0), "extra", "odd\\"]), ODD_VALUES, max_size=1),
)
PLAYLISTS_DRAWN = st.builds(
    lambda fields, extra: {**fields, **extra},
    st.fixed_dictionaries(
        {"pid": st.integers(0, 3), "name": st.just("N"), "tracks": st.lists(st.one_of(TRACKS, st.just(track(0))))},
        optional={"collaborative": st.sampled_from(["true", True]), "num_tracks": st.just(1)},
    ),
    st.dictionaries(st.sampled_from([*playlist(0), "num_edits", "extra"]), ODD_VALUES, max_size=1),
)
LAYOUTS = st.sampled_from([{}, {"indent": 4}, {"separators": (",", ":")}, {"ensure_ascii": True}])


@settings(max_examples=100, deadline=None)
@given(st.lists(PLAYLISTS_DRAWN, max_size=3), LAYOUTS, st.booleans(), st.booleans())
def test_both_decoders_agree(playlists: list[object], layout: dict[str, object], bare: bool, repeated: bool) -> None:
    """Where the fast decoder answers, the strict one gives the same frames, refuses nothing and repairs nothing."""
    raw = json.dumps(playlists).encode() if bare else encoded(*playlists, **layout)
    if repeated:
        raw = raw.replace(b'"name"', b'"num_tracks": 1, "name"', 1)
    checked(read_slice(raw, slice_name=NAME))
    fast, strict = decode_regular(raw), decode_strict(raw, NAME)
    if fast is not None:
        assert fast.playlists.equals(strict.playlists)
        assert fast.tracks.equals(strict.tracks)
        assert not strict.refusals
        assert not strict.repairs


@settings(max_examples=100, deadline=None)
@given(st.text(), st.text(), st.booleans())
def test_fast_decoder_reads_any_text(name: str, title: str, escaped: bool) -> None:
    """Any text, escaped or plain, comes out of the fast decoder as it went in."""
    decoded = decode_regular(encoded(playlist(1, track(0, track_name=title), name=name), ensure_ascii=escaped))
    assert decoded is not None
    assert decoded.playlists["name"].to_list() == [name]
    assert decoded.tracks["track_name"].to_list() == [title]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damage_never_passes_the_fast_decoder_alone(data: st.DataObject) -> None:
    """With any few bytes overwritten, the fast decoder gives up or agrees with the strict one."""
    raw = bytearray(encoded(playlist(12, track(0, track_name='é "\U0001f3b5"\n'), track(1)), playlist(3)))
    start = data.draw(st.integers(0, len(raw) - 1))
    damage = data.draw(st.one_of(st.binary(max_size=3), st.text('{}[]",:0129\\u \n', max_size=3).map(str.encode)))
    raw[start : start + len(damage)] = damage
    fast, strict = decode_regular(bytes(raw)), decode_strict(bytes(raw), NAME)
    if fast is not None:
        assert fast.playlists.equals(strict.playlists)
        assert fast.tracks.equals(strict.tracks)
        assert not strict.refusals


@pytest.mark.parametrize(
    ("text", "other"),
    [
        (b'"version": "v1"', b'"version": "v1", "version": "v1"'),
        (b'"version": "v1"', b'"version": ' + b"[" * 100_000),
        (b'"playlists": ', b'"playlists": \x0b'),
        (b'"pid": 7', b'"pid": "7"'),
        (b'"pid": 7', b'"pid": true'),
        (b'"pid": 7', b'"pid": 7, "pid": 7'),
        (b'"name": "Morning"', b'"name": 7'),
        (b'"name": "Morning"', b'"name": 7, "num_edits": 1, "num_edits": 2'),
        (b'"pid": 7, "modified_at": 1493424000', b'"pid": "7", "modified_at": 1493424000, "description": 5'),
        (b'"pid": 7', b'"pid": 7, "odd\\\\": 1, "odd\\\\": 2'),
        (b'"track_name": "Title a"', b'"track_name": false'),
        (b'"track_name": "Title a"', b'"track_name": "Title a", "unknown": null'),
    ],
)
def test_fast_decoder_gives_up_on_surprises(text: bytes, other: bytes) -> None:
    """Values of another kind, repeated and unknown keys, nulls: all of it is left to the strict decoder."""
    raw = encoded(playlist(7, track(0)))
    assert decode_regular(raw) is not None
    assert raw.count(text) == 1
    assert decode_regular(raw.replace(text, other)) is None


def test_fast_decoder_reads_common_layouts() -> None:
    """Indented and compact slices, escapes, quotes and colons in texts do not send a slice the slow way."""
    odd = playlist(1, track(0, track_name='From "A: B": C\\', album_name="1989"), description="3: 4")
    for layout in ({}, {"indent": 4}, {"separators": (",", ":")}, {"ensure_ascii": False}):
        assert decode_regular(encoded(odd, **layout)) is not None


def test_rereading_gives_the_same_tables() -> None:
    """The same bytes give the same frames."""
    raw = encoded(*(playlist(pid, track(1, "b"), track(0, "a")) for pid in range(5)))
    first, second = read_slice(raw, slice_name=NAME), read_slice(raw, slice_name=NAME)
    assert all(one.equals(two) for one, two in zip(first[:4], second[:4], strict=True))


@pytest.mark.skipif(not REAL.is_dir(), reason=f"{REAL.relative_to(REAL.parents[2])} is not there")
def test_real_playlists_come_out_whole() -> None:
    """The 450 real playlists hold 8,590 tracks, 6,665 distinct, and give no refusal; both decoders agree on them."""
    slices = [(path, path.read_bytes()) for path in sorted(REAL.glob("mpd.slice.*.json"))]
    tables = [checked(read_slice(raw, slice_name=path.stem)) for path, raw in slices]
    assert sum(part.playlists.height for part in tables) == 450
    assert sum(part.playlist_tracks.height for part in tables) == 8590
    assert pl.concat(part.slice_tracks for part in tables)["track_uri"].n_unique() == 6665
    assert all(part.refused.is_empty() for part in tables)
    for (path, raw), part in zip(slices, tables, strict=True):
        strict = slice_tables(decode_strict(raw, path.stem), slice_name=path.stem)
        assert all(one.equals(two) for one, two in zip(part[:4], strict[:4], strict=True))


def test_ids_hold_no_paths() -> None:
    """The id pattern refuses separators and line ends, and accepts Spotify URIs."""
    ids = pl.Series(["spotify:track:0eGsygTp906u18L0Oimnem", "a/b", "..\\x", "a\n", ""])
    assert ids.str.contains(ID_PATTERN).to_list() == [True, False, False, False, False]


def test_a_mapped_file_reads_like_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large slice is mapped instead of copied, a small one read, and both give the same tables."""
    monkeypatch.setattr(mpd, "LARGE_BYTES", 100)
    tracks = [{"pos": 0, "track_uri": "spotify:track:1", "track_name": "One", "artist_name": "A"}]
    raw = json.dumps({"playlists": [{"pid": 1, "name": "mix", "tracks": tracks}]}).encode()
    large, small = tmp_path / "large.json", tmp_path / "small.json"
    large.write_bytes(raw)
    small.write_bytes(raw[:50])
    assert isinstance(mpd.mapped(small), bytes)
    mapped = mpd.mapped(large)
    assert not isinstance(mapped, bytes)
    read, copied = (mpd.read_slice(given, slice_name="mpd.slice.0-0") for given in (mapped, raw))
    assert read.playlist_tracks.equals(copied.playlist_tracks)
    assert read.playlists.height == 1
