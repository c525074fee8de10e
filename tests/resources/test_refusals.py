"""Refused rows as frames."""

from resources.refusals import DETAIL_CHARACTERS, Refusal, concat_refused, refused_frame
from resources.tables import refused_table

EARLY, LATE = Refusal("a", "2", "bad_line", "x"), Refusal("b", "1", "bad_line", "y")


def test_refusals_are_in_order_of_source_and_place() -> None:
    """Whatever the order they come in, one frame comes out, and it fits a table of refused rows."""
    frame = refused_frame([LATE, EARLY])
    assert frame.rows() == [EARLY, LATE]
    assert frame.equals(refused_frame(iter([EARLY, LATE])))
    assert refused_table("sources").checked(frame).equals(frame)


def test_details_are_cut() -> None:
    """A detail keeps its first 200 characters, of whatever alphabet."""
    frame = refused_frame([EARLY._replace(detail="é" * 201)])
    assert frame["detail"].to_list() == ["é" * DETAIL_CHARACTERS]


def test_nothing_refused_is_a_frame_without_rows() -> None:
    """No refusals make an empty frame with the same columns."""
    assert refused_frame([]).schema == refused_frame([EARLY]).schema
    assert refused_table("sources").checked(refused_frame([])).is_empty()


def test_refusals_of_several_origins_are_one_frame_in_order() -> None:
    """Joining frames is the same as refusing all at once; a row refused twice stays twice."""
    joined = concat_refused(refused_frame([LATE]), refused_frame([]), refused_frame([EARLY, LATE]))
    assert joined.equals(refused_frame([EARLY, LATE, LATE]))
