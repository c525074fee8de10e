"""What an asset would ask of its language model, looked up without asking it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import polars as pl

from resources.desk_settings import LanguageModelName
from resources.profile import Profile
from resources.tables import Table

if TYPE_CHECKING:
    from resources.language_model import Request


class Reading(Protocol):
    """One partition and the tables that its asset reads: a part under way, or one that is only looked at."""

    @property
    def key(self) -> str:
        """The partition."""

    def read(self, table: Table, *, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The same partition of a table that is cut alike, or the whole of any other declared table."""


class Asks(NamedTuple):
    """What an asset asks: the language model by the profile's name for it, and the requests of one partition."""

    model: Callable[[Profile], LanguageModelName]
    requests: Callable[[Reading, Profile], Sequence["Request"]]
