import pytest

from resources.title_leaks import title_leaks, words


@pytest.mark.parametrize(
    ("title", "text"),
    [
        ("Golden Ship", "Could you play golden ship?"),
        ("Golden Ship", "GOLDEN, ship"),
        ("Don't Go", "the one called dont go please"),
        ("Harbour - Remastered 2011", "something like harbour"),
        ("Harbour (feat. Somebody)", "that harbour one"),
        ("Harbour feat. Somebody", "that harbour one"),
        ("What It Is", "play “What It Is” for me"),
        ("You", 'play "you" for me'),
        ("ＷＩＤＥ Road", "the wide road one"),
    ],
)
def test_a_title_in_the_query_leaks(title, text):
    """Case, punctuation, width and suffixes do not hide a title; function words count in quotation marks."""
    assert title_leaks(title, text)


@pytest.mark.parametrize(
    ("title", "text"),
    [
        ("Golden Ship", "golden and then a ship"),
        ("Golden Ship", "marigolden ships"),
        ("You", "could you play it"),
        ("What It Is", "tell me what it is"),
        ("???", "really ???"),
        ("", "anything"),
    ],
)
def test_words_apart_or_everyday_words_do_not_leak(title, text):
    """Only the whole title in a row counts, and a title of function words not in passing."""
    assert not title_leaks(title, text)


def test_words_are_folded():
    """Words compare without case, punctuation and apostrophes."""
    assert words("Don’t STOP_now, Ána!") == ["dont", "stop", "now", "ána"]
