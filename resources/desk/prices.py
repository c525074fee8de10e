"""What calls to Gemini cost: a dated table, and bounds for calls that have not been made yet.

Prices are Google's for the paid tier, text in and out, in dollars per million tokens; hidden thinking is paid as
output. A model that is not in the table needs its prices in the settings: a guess would make the budget worthless.
"""

import json
import math
import re
from typing import NamedTuple

from resources.desk.calls import Prompt, Reply
from resources.desk_settings import DeskSection, Gemini

PER_MILLION = 1_000_000
LONG_PROMPT_TOKENS = 200_000  # beyond it some models cost more
BATCH_SHARE = 0.5  # of the price, through the Batch API
BYTES_PER_TOKEN = 4  # of English text, about
MESSAGE_TOKENS = 32  # more than the marks around one message take
AS_OF = "2026-03"
# What may follow a model's name and leaves its price as it is; other suffixes (-image, -preview-tts) are other models.
VERSION = re.compile(r"(-\d{3}|-(preview|exp)(-\d{2,4})*)?")


class Price(NamedTuple):
    """Dollars per million tokens, the date of the price, and the price of prompts of over 200,000 tokens."""

    input_usd: float
    output_usd: float
    as_of: str
    long_input_usd: float
    long_output_usd: float


PRICES = {
    "gemini-2.5-pro": Price(1.25, 10.0, AS_OF, 2.5, 15.0),
    "gemini-2.5-flash": Price(0.3, 2.5, AS_OF, 0.3, 2.5),
    "gemini-2.5-flash-lite": Price(0.1, 0.4, AS_OF, 0.1, 0.4),
    "gemini-2.0-flash": Price(0.1, 0.4, AS_OF, 0.1, 0.4),
    "gemini-1.5-flash-002": Price(0.075, 0.3, AS_OF, 0.075, 0.3),
}


def price_of(gemini: Gemini, desk: DeskSection) -> Price:
    """The model's price: the settings' own, else the table's. Raises ValueError where neither knows it."""
    own_input, own_output = desk.usd_per_million_input, desk.usd_per_million_output
    if own_input and own_output:
        return Price(own_input, own_output, "settings", own_input, own_output)
    price = _from_table(gemini.model.removeprefix("models/"))
    if price is None:
        raise ValueError(
            f"gemini.model {gemini.model}: no price is known for it, so no budget could be kept: set "
            "desk.usd_per_million_input and desk.usd_per_million_output (MUSIC_DESK__USD_PER_MILLION_INPUT and "
            f"..._OUTPUT), or take one of {', '.join(PRICES)}"
        )
    if own_input:
        price = price._replace(input_usd=own_input, long_input_usd=own_input, as_of="settings")
    if own_output:
        price = price._replace(output_usd=own_output, long_output_usd=own_output, as_of="settings")
    return price


def cost_usd(price: Price, reply: Reply, *, is_batch: bool) -> float:
    """What the reply was billed."""
    return _usd(price, reply.input_tokens, reply.output_tokens, is_batch=is_batch)


def most_usd(price: Price, prompt: Prompt, *, is_batch: bool) -> float:
    """The most that a call with the prompt may cost."""
    return _usd(price, most_tokens(prompt), prompt.max_output_tokens, is_batch=is_batch)


def most_tokens(prompt: Prompt) -> int:
    """More tokens than the prompt can be: each takes a byte at least. The schema counts twice, for other spellings."""
    return _text_bytes(prompt) + 2 * _schema_bytes(prompt) + MESSAGE_TOKENS * (len(prompt.messages) + 1)


def likely_tokens(prompt: Prompt) -> int:
    """About as many tokens as the prompt is, for rate limits and estimates."""
    return math.ceil((_text_bytes(prompt) + _schema_bytes(prompt)) / BYTES_PER_TOKEN)


def _from_table(model: str) -> Price | None:
    for name in sorted(PRICES, key=len, reverse=True):
        if model.startswith(name) and VERSION.fullmatch(model, len(name)):
            return PRICES[name]
    return None


def _usd(price: Price, input_tokens: int, output_tokens: int, *, is_batch: bool) -> float:
    is_long = input_tokens > LONG_PROMPT_TOKENS
    input_usd, output_usd = (
        (price.long_input_usd, price.long_output_usd) if is_long else (price.input_usd, price.output_usd)
    )
    usd = (input_tokens * input_usd + output_tokens * output_usd) / PER_MILLION
    return usd * BATCH_SHARE if is_batch else usd


def _text_bytes(prompt: Prompt) -> int:
    texts = [prompt.instructions, *(message.text for message in prompt.messages)]
    return sum(len(text.encode(errors="surrogatepass")) for text in texts)


def _schema_bytes(prompt: Prompt) -> int:
    return len(json.dumps(prompt.schema))
