from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.content.mgphot_attributes import ATTRIBUTES, COLUMNS
from assets.content.mgphot_genes import own_genes
from assets.content.tables import REFUSED

TRACKS = pl.DataFrame(
    [("a", "Ann", "Rain"), ("b", "Bo & Co", "Sun"), ("c", "Cy", "Fog"), ("d", "Cy", "FOG!")],
    schema=["track_id", "artist", "title"],
    orient="row",
)
HALVES = [0.5] * 58
TOLD = "0.1234"  # begins every value of the property test
ODD = st.text(alphabet="A\"', \t\n\r\\[]\x1f\x85\u2028ü", max_size=8) | st.just("Rain")


def written(folder: Path, *rows: tuple[str, str, str], name: str = "tracks.tsv") -> Path:
    """The user's folder with a table of these artists, titles and values."""
    folder.mkdir(exist_ok=True)
    lines = ["mgphot_track_id\tartist\ttitle\tgene_values"]
    lines += ["\t".join((str(number), *row)) for number, row in enumerate(rows)]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def genes_file(folder: Path, names: list[str]) -> None:
    """The user's list of genes, in this order."""
    lines = ["gene_id\tname\tcategory\tdescription", *(f"{place}\t{name}\tx\ty" for place, name in enumerate(names))]
    (folder / "mgphot_genes.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.parametrize("form", ["[{}]", "({})", "{}"])
@pytest.mark.parametrize("separator", [", ", ",", " ", "; "])
def test_values_are_read_however_the_list_is_written(tmp_path: Path, form: str, separator: str) -> None:
    """A list as Python or JSON writes it, commas, semicolons or spaces."""
    text = form.format(separator.join(f"{place / 100}" for place in range(58)))
    genes = own_genes(written(tmp_path / "mgphot", ("ann", "RAIN", text)), TRACKS)
    row = genes.values.row(0, named=True)
    assert (row["track_id"], genes.refused.height) == ("a", 0)
    assert [row[name] for name in COLUMNS] == pytest.approx([place / 100 for place in range(58)])


def test_artist_and_title_decide_as_normalised(tmp_path: Path) -> None:
    """`&` is `and`, case and punctuation are nothing."""
    genes = own_genes(written(tmp_path / "mgphot", ("BO AND CO.", "sun", str(HALVES))), TRACKS)
    assert genes.values["track_id"].to_list() == ["b"]


def test_rows_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    """An unknown track, one of two, a row given twice, and values that are not 58 numbers in 0..1."""
    rows = [
        *(("Nobody", "Nothing", str(HALVES)), ("Cy", "Fog", str(HALVES))),
        *(("Ann", "Rain", str(HALVES)), ("ANN", "rain", str(HALVES))),
        *(("Bo & Co", "Sun", str(values)) for values in (HALVES[1:], [1.5] * 58, ["x"] * 58, [float("nan")] * 58, "")),
    ]
    genes = own_genes(written(tmp_path / "mgphot", *rows), TRACKS)
    assert genes.values.height == 0
    refused = REFUSED.checked(genes.refused).sort(pl.col("location").str.slice(5).cast(pl.Int64))
    assert refused["location"].to_list() == [f"line {line}" for line in range(2, 11)]
    assert refused["reason"].to_list() == ["no_such_track", *["ambiguous_track"] * 3, *["bad_values"] * 5]


def test_no_value_of_the_user_is_told(tmp_path: Path) -> None:
    """Neither refused rows nor the aggregates repeat a gene value."""
    folder = written(tmp_path / "mgphot", ("Bo & Co", "Sun", "0.123456"), ("Nobody", "x", str([0.123456] * 58)))
    assert not any("0.1234" in str(row) for row in own_genes(folder, TRACKS).refused.rows())


@settings(max_examples=100, deadline=None)
@given(
    names=st.lists(st.tuples(ODD, ODD), min_size=1, max_size=6),
    columns=st.permutations(["mgphot_track_id", "artist", "title", "year", "gene_values"]),
    is_quoted=st.booleans(),
    separator=st.sampled_from([", ", " "]),
)
def test_no_quote_tab_or_line_break_tells_a_value(
    tmp_path_factory: pytest.TempPathFactory,
    names: list[tuple[str, str]],
    columns: list[str],
    is_quoted: bool,
    separator: str,
) -> None:
    """Whatever stands in names, whether the file is written raw or as CSV: values are nowhere in refusals or errors."""
    values = separator.join(f"{TOLD}{place:02}" for place in range(58))
    lines = ["\t".join(columns)]
    for number, (artist, title) in enumerate(names):
        row = {"mgphot_track_id": str(number), "artist": artist, "title": title, "year": "1990", "gene_values": values}
        fields = [row[column] for column in columns]
        quoted = [f'"{field.replace(chr(34), chr(34) * 2)}"' for field in fields]
        lines.append("\t".join(quoted if is_quoted else fields))
    folder = tmp_path_factory.mktemp("mgphot")
    (folder / "tracks.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
    told = str(own_genes(folder, TRACKS).refused.rows())
    assert TOLD not in told


def test_an_odd_quote_leaves_the_other_rows_alone(tmp_path: Path) -> None:
    """A title that opens a quotation and never closes it is a title; the row after it is read as it stands."""
    folder = written(tmp_path / "mgphot", ("Ann", '"Rain', str(HALVES)), ("Bo & Co", '"Sun"', f'"{HALVES}"'))
    genes = own_genes(folder, TRACKS)
    assert genes.values["track_id"].to_list() == ["a", "b"]
    assert genes.refused.is_empty()


def test_a_line_with_other_fields_is_refused_by_its_number(tmp_path: Path) -> None:
    """A tab or a line break in a name shifts the fields: nothing of the line is told."""
    folder = written(tmp_path / "mgphot", ("Ann", '"Ra\tin"', str(HALVES)), ("Bo", '"Su\nn"', str(HALVES)))
    refused = REFUSED.checked(own_genes(folder, TRACKS).refused)
    assert refused.select("location", "reason").rows() == [(f"line {line}", "bad_layout") for line in (2, 3, 4)]
    assert refused["detail"].unique().to_list() == ["has more or fewer fields than the file has columns"]


def test_the_users_list_of_genes_gives_the_order(tmp_path: Path) -> None:
    """Values follow the rows of mgphot_genes.tsv, whichever way Minor / Major is spelled."""
    folder = written(tmp_path / "mgphot", ("Ann", "Rain", str([0.25, *[0.5] * 57])))
    names = [attribute.name.replace(" / ", "/") for attribute in ATTRIBUTES]
    genes_file(folder, [names[7], *names[:7], *names[8:]])
    row = own_genes(folder, TRACKS).values.row(0, named=True)
    assert row["minor_major_key_tonality"] == 0.25
    assert row["vocal_register"] == 0.5


def test_other_genes_are_an_error(tmp_path: Path) -> None:
    """A list that is not the 58 attributes names those that differ."""
    folder = written(tmp_path / "mgphot", ("Ann", "Rain", str(HALVES)))
    genes_file(folder, [*(attribute.name for attribute in ATTRIBUTES[1:]), "Vocal Charm"])
    with pytest.raises(ValueError, match=r"58 attributes.*vocal_charm.*vocal_register"):
        own_genes(folder, TRACKS)


def test_no_files_are_no_genes(tmp_path: Path) -> None:
    """Neither a missing folder nor one without values is an error."""
    (tmp_path / "mgphot").mkdir()
    genes_file(tmp_path / "mgphot", [attribute.name for attribute in ATTRIBUTES])
    for folder in (tmp_path / "mgphot", tmp_path / "missing"):
        assert own_genes(folder, TRACKS).values.height == own_genes(folder, TRACKS).refused.height == 0


def test_files_of_another_layout_are_an_error(tmp_path: Path) -> None:
    """Two tables with values, or one without artists, are named."""
    folder = written(tmp_path / "mgphot", ("Ann", "Rain", str(HALVES)))
    written(folder, ("Ann", "Rain", str(HALVES)), name="more.tsv")
    with pytest.raises(ValueError, match=r"more.tsv, tracks.tsv"):
        own_genes(folder, TRACKS)
    (folder / "more.tsv").unlink()
    (folder / "tracks.tsv").write_text("title\tgene_values\nRain\t0\n", encoding="utf-8")
    with pytest.raises(ValueError, match="lacks the columns artist"):
        own_genes(folder, TRACKS)
