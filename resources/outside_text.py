"""Text that came from outside (titles, lyrics, names), made safe to quote, and the check of what a model wrote."""

import re
import unicodedata

MARKED_CHARACTERS = 200
# Removed: controls, formats (bidi overrides, zero-width and tag characters), surrogates, private use.
UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co"})
HARMLESS = frozenset("\n\t\u200d")  # a model may break a line, or join emoji
# Every token of our vocabularies and of the usual models' opens with < or is a capitalised word in square brackets.
OPENING_BRACKET = re.compile("[<\uff1c\ufe64](?!3)")  # "<3" is a heart, and nothing can close it any more
CLOSING_BRACKET = re.compile("[>\uff1e\ufe65]")
BRACKETED_TOKEN = re.compile(r"\[(/?[A-Z][A-Z_]+)\]")
SPECIAL_TOKEN = re.compile(r"<\||\|>|<!--|<[/!a-zA-Z_][^<>]*>|[\uff1c\ufe64][^\uff1e\ufe65]*[\uff1e\ufe65]|```")
PLAIN = re.compile(r"[ -;=?-Z^_a-~]*")  # printable ASCII without < > [ \ ] and `


def marked(text: str, *, characters: int = MARKED_CHARACTERS) -> str:
    """Text from outside made safe to quote: one line of visible characters, cut, with nothing that reads as a token.

    Angle brackets become ‹ and ›, `[INST]` becomes `(INST)`; what is left can be neither a token nor an end of one.
    """
    line = " ".join(text.split())
    if PLAIN.fullmatch(line):
        return line[:characters].rstrip()
    seen = "".join(character for character in line if unicodedata.category(character) not in UNSEEN_CATEGORIES)
    quoted = CLOSING_BRACKET.sub("›", OPENING_BRACKET.sub("‹", seen))
    return " ".join(BRACKETED_TOKEN.sub(r"(\1)", quoted).replace("```", "'''")[:characters].split())


def has_special_token(text: str) -> bool:
    """Whether a text holds what a tokenizer, terminal or page would obey: token, tag, fence or hidden character."""
    if SPECIAL_TOKEN.search(text) or BRACKETED_TOKEN.search(text):
        return True
    return not text.isprintable() and any(
        unicodedata.category(character) in UNSEEN_CATEGORIES for character in set(text) - HARMLESS
    )
