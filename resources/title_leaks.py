"""Whether a query gives away the title that it should lead to: the check that keeps learning honest."""

import re
import unicodedata

WORD = re.compile(r"[^\W_]+")
APOSTROPHES = re.compile("['’‘`´]")
# What follows the title proper: "- Remastered 2011", "(feat. ...)", "[Live]", "feat. ...".
SUFFIX = re.compile(r"\s+(?:[-–—(\[/]|feat\b|ft\b)", re.IGNORECASE)
QUOTES = '"“”«»„'
# A title made of these alone ("You", "What It Is") is met in any sentence, so it is given away only in quotation marks.
FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a about after again all am an and any are as at be been but by can could did do does done down feel feels
        for from get gets go got had has have he her here him his how i if im in into is it its just keep last let
        like me more my new next no not now of off on one or our out play she so some something than that thats
        the their them then there these they this to too track up us very want was we were what when where which
        who why will with would you your
        """,
    )
)


def words(text: str) -> list[str]:
    """The words of a text for comparing: compatibility forms folded, lower case, apostrophes dropped.

    >>> words("Don't Stop (Live)")
    ['dont', 'stop', 'live']
    """
    return WORD.findall(APOSTROPHES.sub("", unicodedata.normalize("NFKC", text)).casefold())


def title_leaks(title: str, text: str) -> bool:
    """Whether the text holds the title's words in a row, suffixes such as "- Remastered" left aside.

    A title of function words alone counts only in quotation marks; a title without words never counts.
    """
    proper = SUFFIX.split(title, maxsplit=1)[0]
    title_words = words(proper) or words(title)
    if not title_words:
        return False
    if FUNCTION_WORDS.issuperset(title_words):
        quoted = " ".join(re.escape(word) for word in proper.split())
        return re.search(f"[{QUOTES}]{quoted}[{QUOTES}]", text, re.IGNORECASE) is not None
    return f" {' '.join(title_words)} " in f" {' '.join(words(text))} "
