"""What calls cost."""

import pytest

from resources.desk import prices
from resources.desk.calls import Message, Prompt, Reply
from resources.desk.prices import Price, cost_usd, likely_tokens, most_tokens, most_usd
from resources.desk_settings import DeskSection, Gemini


def price_of(model: str, **own: float) -> Price:
    """The model's price, where the settings have these."""
    return prices.price_of(Gemini(model=model), DeskSection.model_validate(own))


def prompt(text: str = "", *, instructions: str = "", most: int = 100) -> Prompt:
    """A prompt of one message."""
    return Prompt("task", instructions, (Message("user", text),), {}, most)


def test_a_million_tokens_cost_what_the_table_says() -> None:
    """2.5 Flash: 0.30 dollars in, 2.50 out; half of it as a batch."""
    price = price_of("gemini-2.5-flash")
    reply = Reply("", "stop", 1_000_000, 1_000_000)
    assert cost_usd(price, reply, is_batch=False) == pytest.approx(2.8)
    assert cost_usd(price, reply, is_batch=True) == pytest.approx(1.4)


def test_long_prompts_cost_more_where_the_model_says_so() -> None:
    """2.5 Pro beyond 200,000 tokens: 2.50 and 15 instead of 1.25 and 10."""
    price = price_of("gemini-2.5-pro")
    assert cost_usd(price, Reply("", "stop", 200_000, 1000), is_batch=False) == pytest.approx(0.25 + 0.01)
    assert cost_usd(price, Reply("", "stop", 200_001, 1000), is_batch=False) == pytest.approx(0.5 + 0.015, rel=1e-5)


@pytest.mark.parametrize(
    ("model", "like"),
    [
        ("models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("gemini-2.0-flash-001", "gemini-2.0-flash"),
        ("gemini-2.5-flash-preview-05-20", "gemini-2.5-flash"),
        ("gemini-2.5-flash-lite-preview-06-17", "gemini-2.5-flash-lite"),
        ("gemini-2.5-pro-exp-03-25", "gemini-2.5-pro"),
    ],
)
def test_a_version_costs_what_its_model_costs(model: str, like: str) -> None:
    """By the longest name that it begins with."""
    assert price_of(model) == price_of(like)


@pytest.mark.parametrize("model", ["gemini-9-flash", "gemini-2.5-flash-image", "gemini-2.5-flash-preview-tts", ""])
def test_an_unknown_model_is_refused(model: str) -> None:
    """With the settings that would make it known; another kind of a known model is unknown."""
    with pytest.raises(
        ValueError,
        match=r"set desk.usd_per_million_input and desk.usd_per_million_output \(MUSIC_DESK__USD_PER_MILLION_INPUT",
    ):
        price_of(model)


def test_the_settings_prices_come_first() -> None:
    """Both for any model; one of them beside the table's other."""
    own = price_of("any", usd_per_million_input=1, usd_per_million_output=2)
    assert cost_usd(own, Reply("", "stop", 1_000_000, 1_000_000), is_batch=False) == 3
    half = price_of("gemini-2.5-pro", usd_per_million_input=1)
    assert (half.input_usd, half.long_input_usd, half.output_usd, half.long_output_usd) == (1, 1, 10, 15)
    with pytest.raises(ValueError, match="no price is known"):
        price_of("any", usd_per_million_input=1)


def test_bounds_count_bytes() -> None:
    """Ten bytes more are ten tokens more at most, and 2.5 likely ones; a letter of two bytes counts twice."""
    assert most_tokens(prompt("x" * 30)) - most_tokens(prompt("x" * 20)) == 10
    assert most_tokens(prompt("é" * 10)) == most_tokens(prompt("x" * 20)) == most_tokens(prompt(instructions="x" * 20))
    assert likely_tokens(prompt("x" * 398)) == (398 + 2) / 4  # and the empty schema, {}
    assert most_tokens(prompt("")) > 0


def test_the_schema_counts() -> None:
    """It is sent with every call."""
    bare = prompt("x")
    schema = Prompt("task", "", bare.messages, {"enum": ["a" * 100]}, 100)
    assert most_tokens(schema) >= most_tokens(bare) + 200
    assert likely_tokens(schema) >= likely_tokens(bare) + 25


def test_no_call_costs_more_than_its_bound() -> None:
    """Output up to the prompt's most tokens, input up to its bytes, in a batch half."""
    price = price_of("gemini-2.5-flash")
    asked = prompt("x" * 1000, most=50)
    bound = most_usd(price, asked, is_batch=False)
    assert bound >= cost_usd(price, Reply("", "stop", 1000, 50), is_batch=False)
    assert bound == pytest.approx((most_tokens(asked) * 0.3 + 50 * 2.5) / 1e6)
    assert most_usd(price, asked, is_batch=True) == bound / 2


def test_half_a_character_is_counted() -> None:
    """A model may have sent one, and it comes back in a complaint."""
    assert likely_tokens(prompt("\ud800")) > 0
