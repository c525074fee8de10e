"""The first quotation of a response is the recommended track's name."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.shards.tokenizer import ExpandedTokenizer, expand_tokenizer, train_tokenizer
from assets.tokens.vocabulary import Vocabulary
from assets.training.naming import QUOTES, Named, Namer

NAMED = Named("Slow Harbour", "The Ferries")
TEXT = "here is “Glass Lanterns” by Someone Else, a calm one like “Amber”"
# One has the quotation mark as a token, joined to the space or the letter beside it; the other writes its bytes.
TOKENIZERS = {
    name: expand_tokenizer(train_tokenizer(texts, vocabulary_size=size), Vocabulary(("playlist",), (3,)))
    for name, texts, size in (("words", [TEXT, "try “Gl", " “Gl", "“Gl"] * 20, 400), ("bytes", ["calm"], 263))
}


def written(drawn: str, tokenizer: ExpandedTokenizer, named: Named = NAMED, *, more: int = 60) -> str:
    """The response that comes of drawing a text's tokens one after the other, then spaces."""
    ids = tokenizer.encode_texts([drawn + " " * more]).ids.tolist()
    namer = Namer(named, tokenizer)
    return str(tokenizer.tokenizer.decode([namer.written(token) for token in ids], clean_up_tokenization_spaces=False))


@pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)
def test_the_first_quotation_is_the_tracks_name(tokenizer: ExpandedTokenizer) -> None:
    """Whether the mark is a token, a part of one or several; what was drawn meanwhile is left out."""
    assert written(TEXT, tokenizer).startswith("here is “Slow Harbour” by The Ferries")
    assert "Lanterns” by" not in written(TEXT, tokenizer)


@pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)
@pytest.mark.parametrize("mark", QUOTES)
def test_each_kind_of_mark_is_closed_by_its_own(tokenizer: ExpandedTokenizer, mark: str) -> None:
    """French, German and straight marks too."""
    said = written(f"try {mark}Iron Meadow", tokenizer)
    assert said.startswith(f"try {mark}Slow Harbour{QUOTES[mark]} by The Ferries")


@pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)
def test_a_response_without_a_quotation_is_as_drawn(tokenizer: ExpandedTokenizer) -> None:
    """Nothing is named that the model does not name."""
    assert written("a calm one, as you like it", tokenizer, more=0) == "a calm one, as you like it"


@settings(max_examples=60, deadline=None)
@given(
    before=st.text(st.characters(exclude_characters="".join({*QUOTES, *QUOTES.values()}), exclude_categories=["Cs"])),
    title=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20),
)
def test_any_words_and_any_title(before: str, title: str) -> None:
    """What was said before stays, and the title follows whole, whatever its script; control tokens are letters."""
    for tokenizer in TOKENIZERS.values():
        said = written(f"{before}“x", tokenizer, Named(title, "<|playlist-1|>"), more=400)
        assert said.startswith(f"{before}“{title}” by <|playlist-1|>")
