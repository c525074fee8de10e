"""Curves as a frame, a picture and TensorBoard's files."""

import struct
from pathlib import Path

import polars as pl
from tensorboardX.proto.event_pb2 import Event

from assets.training.curves import EVENTS, MOST_POINTS, Point, curves_frame, plot_curves, write_events
from assets.training.tables import TALKPLAY_CURVES

POINTS = [
    Point("validation", 0, 5.0, 4.0, 0.5, 9.5, None, None),
    Point("train", 0, 5.5, None, 0.5, 6.0, 1e-3, 2.0),
    Point("train", 1, 5.0, 4.5, 0.25, 9.75, 2e-3, 1.0),
    Point("validation", 2, 4.0, 3.0, 0.25, 7.25, None, None),
]


def curves(*variants: str) -> pl.DataFrame:
    """The points of each variant."""
    return pl.concat([curves_frame(POINTS).with_columns(variant=pl.lit(variant)) for variant in variants])


def scalars(path: Path) -> list[tuple[str, int, float]]:
    """The scalars of a TensorBoard file, by name and step."""
    content, at, found = path.read_bytes(), 0, []
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        event = Event.FromString(content[at + 12 : at + 12 + length])  # a length and its checksum come first
        found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
        at += 12 + length + 4
    return sorted(found)


def test_curves_are_rows_of_the_table() -> None:
    """With the variant's name the frame is as the table declares, also when it is empty."""
    assert TALKPLAY_CURVES.checked(curves("full")).height == 4
    assert curves_frame([]).schema == curves_frame(POINTS).schema


def test_the_same_curves_give_the_same_picture() -> None:
    """A PNG that depends on the rows alone, not on their order within a variant."""
    png = plot_curves(curves("full", "without_self_similarity"))
    assert png.startswith(b"\x89PNG")
    assert plot_curves(curves("full", "without_self_similarity")) == png
    assert plot_curves(pl.concat([curves("full").reverse(), curves("without_self_similarity")])) == png
    assert plot_curves(curves("full")) != png


def test_a_training_without_validation_has_a_picture() -> None:
    """And so has none at all."""
    assert plot_curves(curves("full").filter(pl.col("split") == "train")).startswith(b"\x89PNG")
    assert plot_curves(curves("full").clear()).startswith(b"\x89PNG")


def test_events_hold_every_value(tmp_path: Path) -> None:
    """A run for training and one for validation of each variant; nulls are left out; writing again replaces."""
    for _ in range(2):
        write_events(tmp_path, curves("full", "full-seed8"))
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    runs = [f"{variant}/{split}" for variant in ("full", "full-seed8") for split in ("train", "validation")]
    assert files == sorted(f"{run}/{EVENTS}" for run in runs)
    assert scalars(tmp_path / "full" / "validation" / EVENTS) == [
        ("conversations", 0, 5.0),
        ("conversations", 2, 4.0),
        ("loss", 0, 9.5),
        ("loss", 2, 7.25),
        ("playlists", 0, 4.0),
        ("playlists", 2, 3.0),
        ("self_similarity", 0, 0.5),
        ("self_similarity", 2, 0.25),
    ]
    assert len(scalars(tmp_path / "full" / "train" / EVENTS)) == 2 * 6 - 1


def test_events_of_one_training_need_no_variant(tmp_path: Path) -> None:
    """Curves as `train` returns them are two runs."""
    write_events(tmp_path, curves_frame(POINTS))
    assert (tmp_path / "validation" / EVENTS).is_file()


def test_a_long_training_is_thinned(tmp_path: Path) -> None:
    """Of twice as many steps and one more TensorBoard gets every third, from the first on; all steps stay a row."""
    steps = 2 * MOST_POINTS + 1
    long = curves_frame(Point("train", step, 5.0, 4.0, 0.5, 9.5, None, None) for step in range(steps))
    write_events(tmp_path, long)
    losses = [step for name, step, _ in scalars(tmp_path / "train" / EVENTS) if name == "loss"]
    assert losses == list(range(0, steps, 3))
    assert len(losses) <= MOST_POINTS < len(long)
