"""What facts state about tracks: found by URI, else by normalised names.

A fact with the track's URI counts, whatever its names; without one, a fact of the same normal form. Of several, the
first by name counts. Facts that don't state what is wanted are to be left out before, so that they hide no others.
"""

import polars as pl

from assets.sources.identity import FIELD_GAP, artist_form, title_form


def with_track_facts(tracks: pl.DataFrame, facts: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """The tracks in their order, with these columns of the facts about each track; null where there are none.

    Both have track_uri, artist and title.
    """
    tracks, facts = _with_artist_form(tracks), _with_artist_form(facts.sort("artist", "title"))
    # Normal forms of titles take time, and of other artists' none is needed.
    is_near = pl.col("track_uri").is_in(tracks["track_uri"].implode()) | pl.col("form").is_in(tracks["form"].implode())
    return _joined(_with_title_form(tracks), _with_title_form(facts.filter(is_near)), "track_uri", columns)


def with_artist_facts(tracks: pl.DataFrame, facts: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """The tracks in their order, with these columns of the facts about each one's artist; null where there are none.

    Both have artist_uri and artist.
    """
    return _joined(_with_artist_form(tracks), _with_artist_form(facts.sort("artist")), "artist_uri", columns)


def _joined(tracks: pl.DataFrame, facts: pl.DataFrame, uri: str, columns: tuple[str, ...]) -> pl.DataFrame:
    stated = facts.select(uri, "form", fact=pl.struct(columns))
    by_uri = stated.drop_nulls(uri).unique(uri, keep="first", maintain_order=True)
    by_form = stated.unique("form", keep="first", maintain_order=True)
    return (
        tracks.join(by_uri.select(uri, by_uri="fact"), on=uri, how="left", maintain_order="left")
        .join(by_form.select("form", by_form="fact"), on="form", how="left", maintain_order="left")
        .with_columns(fact=pl.coalesce("by_uri", "by_form"))
        .drop("form", "by_uri", "by_form")
        .unnest("fact")
    )


def _with_artist_form(frame: pl.DataFrame) -> pl.DataFrame:
    artists = frame["artist"].unique()
    forms = pl.Series([artist_form(artist) for artist in artists], dtype=pl.String)
    return frame.with_columns(form=pl.col("artist").replace_strict(artists, forms, return_dtype=pl.String))


def _with_title_form(frame: pl.DataFrame) -> pl.DataFrame:
    """The form of artist and title."""
    forms = [FIELD_GAP.join((form, *title_form(title))) for form, title in frame.select("form", "title").iter_rows()]
    return frame.with_columns(form=pl.Series(forms, dtype=pl.String))
