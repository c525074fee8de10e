"""Which lone queries are cases."""

import polars as pl

import sql

TRACKS = pl.DataFrame({"track_id": [f"t{n}" for n in range(40)], "is_warm": [n < 30 for n in range(40)]})
QUERIES = pl.DataFrame(
    [(f"t{n}/{number}", f"t{n}", f"query {number}") for n in range(50) for number in range(2)],
    schema=["query_id", "track_id", "query"],
    orient="row",
)


def drawn(queries: pl.DataFrame = QUERIES, *, cases: int = 8, seed: int = 7) -> pl.DataFrame:
    """The queries that are cases, with whether their track is warm."""
    tables = {"conversations.queries": queries, "catalog.tracks": TRACKS}
    rows = sql.select("evaluation/query_cases", tables, cases=cases, seed=seed)
    return rows.join(TRACKS, on="track_id", maintain_order="left")


def test_as_many_of_warm_tracks_as_of_cold_ones() -> None:
    """Eight of 60 and eight of 20; all where there are fewer, and none of tracks that the catalog lacks."""
    assert drawn()["is_warm"].value_counts(sort=True)["count"].to_list() == [8, 8]
    assert drawn(cases=99).height == 80


def test_the_draw_depends_on_ids_and_seed_alone() -> None:
    """Another order of rows draws the same, another seed others; the rows come by id."""
    assert drawn(QUERIES.reverse()).equals(drawn())
    assert not drawn(seed=8).equals(drawn())
    assert drawn()["query_id"].is_sorted()
