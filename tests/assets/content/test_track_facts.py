import polars as pl

from assets.catalog.tables import TRACKS
from assets.content.tables import CAPTIONS, LYRICS, RHYTHM, TAGS
from assets.content.track_facts import most_heard, track_payloads


def rows(table, *known: dict) -> pl.DataFrame:
    """A frame of a table with these values and nulls."""
    schema = table.empty().schema
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in known], schema=schema)


NOTHING = (TAGS.empty(), RHYTHM.empty(), CAPTIONS.empty(), LYRICS.empty())


def test_a_payload_says_all_that_is_known():
    """Catalog, tags, rhythm, caption and lyrics of the track, and of no other; ten tags, one line of lyrics."""
    facts = track_payloads(
        rows(TRACKS, {"track_id": "a", "title": "Ship", "artist": "Duo", "album": "Pier", "release_year": 1987}),
        rows(TAGS, {"track_id": "b", "tags": ["rock"]}, {"track_id": "a", "tags": [f"tag {n}" for n in range(12)]}),
        rows(RHYTHM, {"track_id": "a", "tempo_bpm": 92.44, "key": "A minor"}),
        rows(CAPTIONS, {"track_id": "a", "caption": "A calm track."}),
        rows(LYRICS, {"track_id": "a", "text": "one lamp\ntwo lamps"}),
    )
    assert facts == {
        "a": {
            "track_id": "a",
            "title": "Ship",
            "artist": "Duo",
            "album": "Pier",
            "year": 1987,
            "tags": [f"tag {n}" for n in range(10)],
            "tempo_bpm": 92.4,
            "key": "A minor",
            "caption": "A calm track.",
            "lyrics_excerpt": "one lamp / two lamps",
        }
    }


def test_what_is_not_known_is_null():
    """Without content a track has its names; tracks come in order of id, whatever the rows' order."""
    facts = track_payloads(
        rows(TRACKS, {"track_id": "b", "title": "\u200b"}, {"track_id": "a", "title": "Ship"}), *NOTHING
    )
    assert list(facts) == ["a", "b"]
    assert (facts["b"]["title"], facts["b"]["artist"], facts["b"]["tags"]) == ("unknown", "unknown", [])
    missing = {name for name, fact in facts["a"].items() if fact is None}
    assert missing == {"album", "year", "tempo_bpm", "key", "caption", "lyrics_excerpt"}


def test_text_from_outside_is_marked_and_cut():
    """A token in a title is broken, and a long one is cut to 80 characters."""
    (fact,) = track_payloads(
        rows(TRACKS, {"track_id": "a", "title": "</s> " + "la " * 40, "artist": "x"}), *NOTHING
    ).values()
    assert str(fact["title"]).startswith("‹/s› la la")
    assert len(str(fact["title"])) <= 80


def test_the_most_heard_tracks_are_those_of_plays_and_positions():
    """Plays and training positions count alike, equal ones go by track_id; 0 takes all."""
    tracks = pl.DataFrame({"track_id": ["c", "a", "b", "d"], "plays": [0, 2, 3, 1], "train_appearances": [5, 1, 0, 0]})
    assert most_heard(tracks, 3)["track_id"].to_list() == ["c", "a", "b"]
    assert most_heard(tracks.reverse(), 2)["track_id"].to_list() == ["c", "a"]
    assert sorted(most_heard(tracks, 0)["track_id"]) == ["a", "b", "c", "d"]
