import polars as pl

from assets.content.semantics import captions, known, semantic_tags
from assets.content.tables import CAPTIONS, REFUSED, TAGS
from assets.sources.tables import TRACK_FACTS
from resources.captioner import SentenceCaptioner
from resources.refusals import Refusal

CATALOG = pl.DataFrame(
    [("a", "uri:a", "Ann", "Rain"), ("b", "uri:b", "Bo", "Sun"), ("c", None, "Cy", "Fog")],
    schema=dict.fromkeys(["track_id", "track_uri", "artist", "title"], pl.String),
    orient="row",
)
NO_NAMES = pl.DataFrame(schema={"track_id": pl.String, "name": pl.String})


def facts(*rows: tuple[str, str, str | None, list[str]]) -> pl.DataFrame:
    """Rows of sources/track_facts, with the tags."""
    frame = pl.DataFrame(
        rows,
        schema={"artist": pl.String, "title": pl.String, "track_uri": pl.String, "tags": pl.List(pl.String)},
        orient="row",
    )
    return TRACK_FACTS.checked(
        frame.with_columns(facts=pl.lit(None, pl.String), writers=pl.lit([], pl.List(pl.String)))
    )


def names(**by_track: list[str]) -> pl.DataFrame:
    """A row per name given."""
    rows = [(track_id, name) for track_id, written in by_track.items() for name in written]
    return pl.DataFrame(rows, schema=NO_NAMES.schema, orient="row")


def tagged(frame: pl.DataFrame) -> dict[str, tuple[list[str] | None, str | None, str]]:
    """Tags, origin and status by track."""
    return {track_id: (tags, origin, status) for track_id, tags, origin, status in TAGS.checked(frame).rows()}


def test_facts_are_found_by_uri_then_by_name() -> None:
    """The URI decides; without one, artist and title as normalised."""
    known = facts(
        ("Else", "Other", "uri:a", ["folk", "sad"]), ("Ann", "Rain", None, ["metal"]), ("CY", "fog", None, ["jazz"])
    )
    assert tagged(semantic_tags(CATALOG, known, NO_NAMES)) == {
        "a": (["folk", "sad"], "facts", "tagged"),
        "b": (None, None, "absent"),
        "c": (["jazz"], "facts", "tagged"),
    }


def test_names_of_playlists_stand_in_for_facts() -> None:
    """Names that two playlists share, most frequent first, ties by name, normalised; facts come before them."""
    named = names(
        a=["Chill", "Chill"],
        b=["road trip", "ROAD TRIP!!", "summer", "Summer", "chill", "Chill ", "chill", "once"],
        c=["only one", "\U0001f525", "\U0001f525"],
    )
    assert tagged(semantic_tags(CATALOG, facts(("Ann", "Rain", "uri:a", ["folk"])), named)) == {
        "a": (["folk"], "facts", "tagged"),
        "b": (["chill", "road trip", "summer"], "playlist_names", "tagged"),
        "c": (None, None, "absent"),
    }


def test_words_about_the_listener_are_no_tags() -> None:
    """'Seen live' says nothing about a track; facts of such words alone do not hide the playlists' names."""
    known = facts(("Ann", "Rain", "uri:a", ["seen live", "folk", "4 stars"]), ("Bo", "Sun", "uri:b", ["favourites"]))
    result = tagged(semantic_tags(CATALOG, known, names(b=["party", "Party", "my music", "my music"])))
    assert result["a"][0] == ["folk"]
    assert result["b"] == (["party"], "playlist_names", "tagged")


def test_tags_do_not_depend_on_the_order_of_rows() -> None:
    """Shuffled inputs give the same table."""
    known = facts(("Ann", "Rain", "uri:a", ["folk"]), ("ann", "rain", "uri:a", ["metal"]))
    named = names(b=["x1", "x1", "x2", "x2"])
    first = semantic_tags(CATALOG, known, named)
    assert first.equals(semantic_tags(CATALOG.reverse(), known.reverse(), named.reverse()))


def test_no_facts_and_no_names_is_absent() -> None:
    """Each track still has its row."""
    assert set(tagged(semantic_tags(CATALOG, facts(), NO_NAMES)).values()) == {(None, None, "absent")}


def test_each_track_has_its_caption_or_none() -> None:
    """Whatever is known but a year alone makes a caption; the captioner's name is in every row, nothing is refused."""
    described = pl.DataFrame(
        [("b", ["folk"], None, None, None), ("a", None, 100.0, "C major", 1999), ("c", None, None, None, 1999)],
        schema={
            "track_id": pl.String,
            "tags": pl.List(pl.String),
            "tempo_bpm": pl.Float64,
            "key": pl.String,
            "release_year": pl.Int32,
        },
        orient="row",
    )
    provider = SentenceCaptioner()
    asked = known(described)
    written = dict(zip((track.track_id for track in asked), provider.caption(asked), strict=True))
    result = captions(described, written, captioner=provider.name)
    frame = CAPTIONS.checked(result.captions)
    assert frame["status"].to_list() == ["captioned", "captioned", "absent"]
    assert "C major" in frame["caption"][0]
    assert "folk" in frame["caption"][1]
    assert set(frame["captioner"]) == {SentenceCaptioner().name}
    assert REFUSED.checked(result.refused).is_empty()


def test_a_refused_caption_is_absent_with_its_reason() -> None:
    """What a captioner refuses is refused under its track."""
    tracks = pl.DataFrame({"track_id": ["a"]})
    result = captions(tracks, {"a": Refusal("provider", "7", "silent", "no sound")}, captioner="provider")
    assert CAPTIONS.checked(result.captions).rows() == [("a", None, "provider", "absent")]
    assert REFUSED.checked(result.refused).rows() == [("content/captions", "a", "silent", "no sound")]
