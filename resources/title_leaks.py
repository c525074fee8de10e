"""Whether a text gives away a title that it should lead to: the check that keeps learning honest."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

WORD = re.compile(r"[^\W_]+")
APOSTROPHES = re.compile("['’‘`´]")
# What follows the title proper: "- Remastered 2011", "(feat. ...)", "[Live]", "feat. ...".
SUFFIX = re.compile(r"\s+(?:[-–—(\[/]|feat\b|ft\b)", re.IGNORECASE)
# What may come before it: "(I Can't Get No) Satisfaction" is called by its last word.
OPENING = re.compile(r"^[(\[][^()\[\]]*[)\]]\s*")
QUOTES = '"“”«»„'
SINGLE_QUOTES = re.compile(r"(?<!\w)['‘](?=\w)|(?<=[\w?!.,])['’](?!\w)")
ACCENTS = re.compile("[\u0300-\u036f]")
# Letters that no decomposition takes apart.
LETTERS = str.maketrans(dict(zip("øØłŁđĐı", "oOlLdDi", strict=True)) | {"æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE"})
# A title made of these alone ("You", "Thank You", "What It Is") is met in any sentence, so it is given away only where
# it is marked as a title. Contractions are written without their apostrophes.
FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a about after again ain aint all also am an and another any anything are arent as at be because been before
        but by bye can cant cool could couldnt did didnt do does doesnt doing done dont down each else even ever every
        everything feel feels fine for from get gets go goes going gonna good goodbye got gotta great had has hasnt
        have havent he hed hello her here heres hers hes hey hi him his hmm how i id if ill im in instead into is isnt
        it its itll ive just keep kind last let lets like little lot lovely make many may maybe me mine more most much
        my nah never new next nice no not nothing now of off oh ok okay on once one only or other our ours out over
        perfect play please really right said same say see she shes should shouldnt show so some someone something
        sorry still such sure take than thank thanks that thatll thats the their theirs them then there theres these
        they theyre theyve thing things this those time to today too track tune under until up us very wanna want
        wants was wasnt way we well were weve what whats when where wheres which while who whos why will with without
        wont would wouldnt wow yeah yep yes yet you youd youll your youre yours youve
        """,
    )
)
# So is a title that is one of these; in longer ones they tell something.
COMMON_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        acoustic alive alone amazing angry baby beautiful best better blue blues bright calm christmas crazy dance
        dancing dark day days different dream dreams drive easy energy fall fast fire free friday friends fun funky
        girl girls gold golden happy hard heart heavy high home hot hurt intro joy life light live lonely long lost
        love low magic mellow midnight mood moody morning music night nights old party peace piano power quiet rain
        rainy relax ride rock run running sad sexy simple slow smile smooth soft song soul sound spring stay strong
        summer sun sunday sunny sunshine sweet together tonight tough tropical upbeat walk walking warm wild winter
        wonderful words work young
        """,
    )
)
NUMBERS = re.compile(r"\d+s?")  # of years, tempos and decades
CAPITALS = frozenset({"i", "id", "ill", "im", "ive", "ok", "christmas", "friday", "sunday"})  # wherever they stand
CALLED = r"\b(?:called|titled|named)\s+"


def words(text: str) -> list[str]:
    """The words of a text for comparing: compatibility forms folded, lower case, apostrophes dropped.

    >>> words("Don't Stop (Live)")
    ['dont', 'stop', 'live']
    """
    return WORD.findall(APOSTROPHES.sub("", unicodedata.normalize("NFKC", text)).casefold())


def title_leaks(title: str, text: str, *, told: Iterable[str] = ()) -> bool:
    """Whether the text holds the title's words in a row, suffixes such as "- Remastered" left aside.

    Accents count as their letters and & as "and". A title of everyday words or numbers counts only in quotation marks,
    where something is called so, or in capitals within a sentence ("play Happy by ..."). Names that are `told` already
    give nothing away, though they hold the title; a title without words never counts.
    """
    for form in _forms(title):
        spoken = _spoken(text)
        if f" {form} " not in spoken:
            continue
        for name in _holding(form, told):
            spoken = spoken.replace(f" {name} ", " | ")
        if f" {form} " in spoken and (not _is_common(form) or _is_marked(form, text)):
            return True
    return False


def names_title(title: str, text: str) -> bool:
    """Whether the text says the title, common words or not; of one without words, whether it holds it as it is."""
    forms = _forms(title)
    return any(f" {form} " in _spoken(text) for form in forms) if forms else title.strip() in text


def proper_words(title: str) -> list[str]:
    """The words of a title without what follows it, accents as their letters; all of them where nothing else is left.

    >>> proper_words("Élan & Co (Live)")
    ['elan', 'and', 'co']
    """
    return (_spoken(SUFFIX.split(title, maxsplit=1)[0]) or _spoken(title)).split()


@lru_cache(maxsize=4096)
def _forms(title: str) -> tuple[str, ...]:
    """The ways to say a title: the title proper, and the same without what opens it in brackets."""
    whole, rest = (" ".join(proper_words(part)) for part in (title, OPENING.sub("", title)))
    return tuple(form for form in dict.fromkeys((whole, rest)) if form)


@lru_cache(maxsize=4096)
def _spoken(text: str) -> str:
    """The words of a text in a row, a space around each; nothing where there are none."""
    found = WORD.findall(_folded(text).casefold())
    return f" {' '.join(found)} " if found else ""


def _folded(text: str) -> str:
    """The text with letters for accents, "and" for &, double quotes for single ones, and no apostrophes; case stays."""
    if not text.isascii():
        unaccented = ACCENTS.sub("", unicodedata.normalize("NFKD", text))
        text = unicodedata.normalize("NFC", unaccented).translate(LETTERS)
    return APOSTROPHES.sub("", SINGLE_QUOTES.sub('"', text)).replace("&", " and ")


def _holding(form: str, told: Iterable[str]) -> list[str]:
    """The told names that hold the form, each in whole and as the title proper, the longest first."""
    names = {said for name in told for said in (_spoken(name).strip(), " ".join(proper_words(name)))}
    return sorted((name for name in names if f" {form} " in f" {name} "), key=lambda name: (-len(name), name))


def _is_common(form: str) -> bool:
    return form in COMMON_WORDS or all(word in FUNCTION_WORDS or NUMBERS.fullmatch(word) for word in form.split())


def _is_marked(form: str, text: str) -> bool:
    """Whether a text tells the words of a title from words of its own."""
    folded, said = _folded(text), r"\W+".join(form.split())
    quoted = rf"[{QUOTES}]{said}(?:\s+[-–—(\[][^{QUOTES}]*|[^\w\s]*)[{QUOTES}]"
    if re.search(rf"{quoted}|{CALLED}{said}\b", folded, re.IGNORECASE):
        return True
    name = r"\W+".join(map(str.capitalize, form.split()))
    # After a word in lower case, so that no sentence begins there, and not as part of a longer name.
    is_name = re.search(rf"\b[a-z]+,? {name}\b(?! [A-Z])", folded) is not None
    return is_name and not form.replace(" ", "").isdigit() and not CAPITALS.issuperset(form.split())
