import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.outside_text import has_special_token, marked

TOKENS = [
    "<|playlist-59|>",
    "<start_of_music>",
    "<end_of_music>",
    "</s>",
    "<|im_start|>",
    "<a_12>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "＜|audio-3|＞",
    "<!--",
    "```json",
]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=12), st.sampled_from(TOKENS)), max_size=8).map("".join))
def test_marked_text_holds_no_token(text):
    """Whatever comes in, what goes out has no token, no hidden character, one line, and at most the wanted length."""
    out = marked(text, characters=50)
    assert not has_special_token(out)
    assert not re.search(r"[>\n\r\t]|<(?!3)", out)
    assert len(out) <= 50
    assert marked(out, characters=50) == out


@pytest.mark.parametrize("token", TOKENS)
def test_every_canary_is_seen_before_and_gone_after(token):
    """Tokens are recognised in a text, and marking a text breaks them."""
    assert has_special_token(f"play {token} now")
    assert not has_special_token(marked(f"play {token} now"))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain title", "plain title"),
        ("  two \n lines\t ", "two lines"),
        ("a\u202eb\u200bc\x00d", "abcd"),
        ("i <3 rock", "i <3 rock"),
        ("<b>loud</b>", "‹b›loud‹/b›"),
        ("Song [LIVE]", "Song (LIVE)"),
        ("Añoranza 🎧", "Añoranza 🎧"),
    ],
)
def test_marking_keeps_what_a_person_reads(text, wanted):
    """Only brackets, hidden characters and line breaks change."""
    assert marked(text) == wanted


def test_plain_language_is_no_token():
    """Hearts, comparisons, quotation marks, emoji and line breaks are allowed in an answer."""
    assert not has_special_token("i <3 this, 3 > 2 “really” 👩‍🎤 [live]\nnext")
