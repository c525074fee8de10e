"""A track of which every fact is known, for the tests of the rules."""

FULL = {
    "track_id": "full",
    "title": "Golden Ship",
    "artist": "The Weavers of Dawn",
    "album": "North Pier",
    "year": 1987,
    "tags": ["folk", "calm", "banjo", "americana"],
    "tempo_bpm": 92.4,
    "key": "F# minor",
    "caption": "A calm folk track with banjo.",
    "lyrics_excerpt": "lantern on the river / lantern on the river / golden copper morning",
}
