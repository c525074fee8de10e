"""Which models are trained."""

import pytest
from pydantic import ValidationError

from resources.talkplay_settings import Variant, Variants, variant_of


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("full", Variant(True, "", None)),
        ("full-seed8", Variant(True, "", 8)),
        ("without_self_similarity", Variant(False, "", None)),
        ("without_lyrics-seed12", Variant(True, "lyrics", 12)),
    ],
)
def test_a_name_says_what_is_left_out(name: str, variant: Variant) -> None:
    """A modality, the self-similarity loss, or nothing; and the seed."""
    assert variant_of(name) == variant


@pytest.mark.parametrize("name", ["", "lyrics", "without_", "without_title", "full-seed", "full-seedx", "full-8"])
def test_other_names_are_refused(name: str) -> None:
    """The error says which names there are."""
    with pytest.raises(ValueError, match="wanted full, without_self_similarity"):
        variant_of(name)


@pytest.mark.parametrize("names", [[], ["without_lyrics"], ["full", "full"], ["full", "half"]])
def test_the_full_model_is_always_trained(names: list[str]) -> None:
    """Others are compared with it: it comes first, and none comes twice."""
    with pytest.raises(ValidationError):
        Variants(talkplay=names)
