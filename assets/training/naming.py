"""Names in responses: where a response opens a quotation, it goes on with the recommended track's own title and artist.

A track's codes don't say its name, and many tracks share some of them, so a model that is asked for a response invents
a title; TalkPlay's authors report responses that describe another song. What is written so is what the model sees as
its own words. The first quotation is the track's, as in the conversations that it is trained on; later ones are free.
"""

from typing import NamedTuple

from assets.shards.tokenizer import ExpandedTokenizer

QUOTES = {"“": "”", '"': '"', "«": "»", "„": "“"}


class Named(NamedTuple):
    """What a response is to call its track."""

    title: str
    artist: str


class Namer:
    """One response as it is written, token by token."""

    def __init__(self, named: Named, tokenizer: ExpandedTokenizer) -> None:
        self._named: Named | None = named
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._left: list[int] = []

    def written(self, drawn: int) -> int:
        """The token that is written where the model drew this one."""
        if not self._left:
            self._left = self._opened(drawn) if self._named else [drawn]
        token = self._left.pop(0)
        self._ids.append(token)
        return token

    def _opened(self, drawn: int) -> list[int]:
        """The tokens from here on: the drawn one, or with the name where it opens the first quotation."""
        before, text = self._text(self._ids), self._text([*self._ids, drawn])
        place = min((place for place in map(text.find, QUOTES) if place >= 0), default=-1)
        if place < 0 or not self._named:
            return [drawn]
        name = f"{self._named.title}{QUOTES[text[place]]} by {self._named.artist}"
        self._named = None
        if text.startswith(before) and len(before) <= place:
            return self._encoded(text[len(before) : place + 1] + name)
        # The quotation mark's first bytes were a token of their own.
        return [drawn, *self._encoded(name)] if place == len(text) - 1 else [drawn]

    def _encoded(self, text: str) -> list[int]:
        ids = self._tokenizer.encode_texts([text]).ids
        return [int(token) for token in ids[~self._tokenizer.is_control[ids]]]

    def _text(self, ids: list[int]) -> str:
        return str(self._tokenizer.tokenizer.decode(ids, clean_up_tokenization_spaces=False))
