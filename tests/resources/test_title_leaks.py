import pytest

from resources.title_leaks import names_title, title_leaks, words


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
        ("Élan Vital", "the one called elan vital"),
        ("Sodermalm Øst", "sødermalm ost please"),
        ("Rain & Copper", "rain and copper please"),
        ("Rain and Copper", "Rain & Copper please"),
        ("(I Never Saw) Harbours", "the harbours one"),
        ("(I Never Saw) Harbours - Live", "i never saw harbours"),
        ("Thank You", "play ‘Thank You’ please"),
        ("Thank You", "play Thank You by them"),
        ("Don't", "play the one called don't"),
        ("Happy", "play Happy by the same band"),
        ("Happy", "put on “Happy (Radio Edit)”"),
        ("1999", "put on “1999” again"),
        ("Love Copper", "a love copper thing"),
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
        ("Good", "Good, that goes well with it"),
        ("Hello", "Hello! I need something slow"),
        ("Oh", "Oh, I had forgotten that one"),
        ("Perfect", "Perfect. Now something slow"),
        ("Thank You", "Thank you, that was right"),
        ("Yeah", "yeah, more of that"),
        ("Don't", "I don't like that one"),
        ("I'm", "well, I'm here for the slow ones"),
        ("Happy", "something happy for a run"),
        ("Blue", "the last one by Deep Blue was nice"),
        ("Christmas", "something for Christmas"),
        ("1999", "something from 1999"),
        ("120", "at 120 bpm"),
        ("Élan", "the elanders"),
        ("What It Is", "tell me what it is"),
        ("???", "really ???"),
        ("", "anything"),
    ],
)
def test_words_apart_or_everyday_words_do_not_leak(title, text):
    """Only the whole title in a row counts, and a title of everyday words or numbers not in passing."""
    assert not title_leaks(title, text)


@pytest.mark.parametrize(
    ("title", "text", "told"),
    [
        ("Golden Ship (Live)", "“Golden Ship” was great", "Golden Ship"),
        ("Golden Ship", "“Golden Ship” by them", "Golden Ship (Live)"),
        ("Golden Ship", "I liked Golden Ship Sails", "Golden Ship Sails"),
        ("What It Is (Live)", "“What It Is” was great", "What It Is"),
    ],
)
def test_a_name_that_was_told_gives_nothing_away(title, text, told):
    """A title within a name that was told before is no leak in that name's place, and still one beside it."""
    assert title_leaks(title, text)
    assert not title_leaks(title, text, told=[told])
    assert title_leaks("Golden Ship", "after Golden Ship Sails the Golden Ship", told=["Golden Ship Sails"])
    assert title_leaks("Golden Ship", "Golden Ship", told=["Ship"])


def test_a_title_is_named_by_its_words():
    """Everyday words name a title too, suffixes may be left out, and what has no words must be there as it is."""
    assert names_title("Good - Remastered 2011", "Here is Good by them")
    assert names_title("???", "Here is ??? by them")
    assert not names_title("Golden Ship", "Here is Golden by them")
    assert not names_title("???", "Here is it")


def test_words_are_folded():
    """Words compare without case, punctuation and apostrophes."""
    assert words("Don’t STOP_now, Ána!") == ["dont", "stop", "now", "ána"]
