"""What requests would take, before any is made: calls, tokens and dollars."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from resources.answer_rules import answer_text
from resources.desk.calls import STOP, Prompt, Reply
from resources.desk.prices import BYTES_PER_TOKEN, Price, cost_usd, likely_tokens, most_tokens
from resources.desk.prompts import COMPLAINT_CHARACTERS, call_key, first_prompt
from resources.desk_settings import Answers
from resources.language_model import Request, request_id

SAMPLE = 200  # requests of a partition that are written out; the others are taken to be like them


class Estimate(NamedTuple):
    """Requests to be made, likely tokens and dollars, and the most that they may cost; `kept` have a reply already.

    The most: answers as long as they may be, cut off, made longer, and asked for again as often as allowed; calls that
    end without a reply are left out.
    """

    requests: float = 0.0
    kept: float = 0.0
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    likely_usd: float = 0.0
    most_usd: float = 0.0

    def plus(self, other: "Estimate") -> "Estimate":
        """Both together."""
        return Estimate(*(one + another for one, another in zip(self, other, strict=True)))


def estimate(
    requests: Sequence[Request],
    settings: Answers,
    *,
    model: str,
    price: Price | None,
    batch_from: int,
    found: Callable[[Sequence[str]], Collection[str]],
    usual: Mapping[str, float],
) -> Estimate:
    """The estimate for the requests of one partition, from an even sample of them.

    `model` is the name that replies are kept under, `found` tells which call keys are kept, without `price` all is
    free, from `batch_from` missing requests on they go at the price of batches. Likely answers have the `usual` tokens
    of their task, else they are as long as those of the rules.
    """
    sample = requests[:: -(-len(requests) // SAMPLE)] if requests else []
    prompts = [first_prompt(request, settings) for request in sample]
    keys = [call_key(model, prompt) for prompt in prompts]
    kept = found(keys)
    scale = len(requests) / len(sample) if sample else 1.0
    missing = [(request, prompt) for request, prompt, key in zip(sample, prompts, keys, strict=True) if key not in kept]
    is_batch = 0 < batch_from <= scale * len(missing)
    total = Estimate(kept=float(len(sample) - len(missing)))
    for request, prompt in missing:
        tokens = Reply("", STOP, likely_tokens(prompt), round(usual.get(request.task) or _rules_tokens(request)))
        likely = cost_usd(price, tokens, is_batch=is_batch) if price else 0.0
        most = _most_usd(price, prompt, settings.re_asks, is_batch=is_batch) if price else 0.0
        total = total.plus(Estimate(1.0, 0.0, tokens.input_tokens, tokens.output_tokens, likely, most))
    return Estimate(*(scale * value for value in total))


def _rules_tokens(request: Request) -> int:
    written = answer_text(request.task, request.payload, seed=0, identity=request_id(request))
    return -(-len(written.encode()) // BYTES_PER_TOKEN)


def _most_usd(price: Price, prompt: Prompt, re_asks: int, *, is_batch: bool) -> float:
    """A first call, a longer one, and re-asks that each send what came back before."""
    longer = 2 * prompt.max_output_tokens
    calls = [(0, prompt.max_output_tokens), (0, longer)]
    calls += [((longer + COMPLAINT_CHARACTERS) * re_ask, longer) for re_ask in range(1, re_asks + 1)]
    first = most_tokens(prompt)
    return sum(cost_usd(price, Reply("", STOP, first + more, out), is_batch=is_batch) for more, out in calls)
