"""Writes phrases of the rule answerer's grammar: a symbol and known facts in, a phrase with its slots filled out.

Facts are filled in last and as they are, so nothing inside a title or a name is ever read as grammar.
"""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from resources.answer_phrases import GRAMMAR

MARK = re.compile(r"\[(\w+)\]|\{(\w+)\}")
FRESH_DRAWS = 3


class Written(NamedTuple):
    """A phrase and the names of the facts in it."""

    text: str
    slots: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)  # told apart by identity: hashing the parts takes longer than a phrase
class Phrase:
    """One phrase of a symbol: (text, symbol, slot) parts, of which one is filled, and the slots it needs."""

    parts: tuple[tuple[str, str, str], ...]
    slots: frozenset[str]


@dataclass(frozen=True, slots=True)
class Writer:
    """Draws phrases for one conversation, and rarely the same phrase twice."""

    draw: random.Random
    used: set[Phrase] = field(default_factory=set)

    def one_of(self, choices: tuple[str, ...]) -> str:
        """One of the words, evenly."""
        return choices[int(self.draw.random() * len(choices))]

    def phrase(self, symbol: str, facts: Mapping[str, str]) -> Written:
        """A phrase of the symbol whose slots are all among the facts."""
        choices = fitting(symbol, facts)
        for _ in range(FRESH_DRAWS):
            phrase = choices[int(self.draw.random() * len(choices))]
            if phrase not in self.used:
                break
        self.used.add(phrase)
        pieces: list[str] = []
        self._fill(phrase, facts, pieces)
        return Written("".join(pieces), phrase.slots)

    def _fill(self, phrase: Phrase, facts: Mapping[str, str], pieces: list[str]) -> None:
        for text, symbol, slot in phrase.parts:
            if symbol:
                choices = grammar()[symbol]
                self._fill(choices[int(self.draw.random() * len(choices))], facts, pieces)
            else:
                pieces.append(facts[slot] if slot else text)


@cache
def grammar() -> dict[str, tuple[Phrase, ...]]:
    """The phrases of every symbol.

    Raises ValueError for a symbol that has no phrases or that holds slots where another phrase uses it.
    """
    sources: dict[str, list[str]] = {}
    for paragraph in GRAMMAR.strip().split("\n\n"):
        symbol, phrases = " ".join(paragraph.split()).split(": ", 1)
        sources[symbol] = phrases.split(" | ")
    compiled = {symbol: tuple(_compiled(phrase) for phrase in phrases) for symbol, phrases in sources.items()}
    inner = {symbol for phrases in compiled.values() for phrase in phrases for _, symbol, _ in phrase.parts if symbol}
    for symbol in sorted(inner):
        if any(phrase.slots for phrase in compiled.get(symbol, (_compiled("{}"),))):
            raise ValueError(f"answer_phrases.GRAMMAR: {symbol} is used in a phrase; it must exist and have no slots")
    return compiled


def fitting(symbol: str, facts: Mapping[str, str]) -> tuple[Phrase, ...]:
    """The phrases of a symbol that need no other facts than these."""
    return _fitting(symbol, _slots(symbol).intersection(facts))


@cache
def _slots(symbol: str) -> frozenset[str]:
    return frozenset(slot for phrase in grammar()[symbol] for slot in phrase.slots)


@cache
def _fitting(symbol: str, known: frozenset[str]) -> tuple[Phrase, ...]:
    return tuple(phrase for phrase in grammar()[symbol] if phrase.slots <= known)


def _compiled(source: str) -> Phrase:
    parts: list[tuple[str, str, str]] = []
    end = 0
    for mark in MARK.finditer(source):
        parts += [(source[end : mark.start()], "", ""), ("", mark[1] or "", mark[2] or "")]
        end = mark.end()
    parts.append((source[end:], "", ""))
    return Phrase(tuple(part for part in parts if any(part)), frozenset(slot for _, _, slot in parts if slot))
