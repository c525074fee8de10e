"""The least that conversations take at the desk: what a client without any time of its own would need.

Both floors count the very latencies that the sample server draws for the prompts' first calls.
"""

import heapq
from collections.abc import Sequence
from itertools import count

from resources.desk.calls import Prompt
from resources.desk.pace import BURST_S, WINDOW_S
from resources.profile import EMBEDDED
from resources.sample.gemini.requests import Asked
from resources.sample.gemini.server import DEFAULT_SEED
from resources.sample.gemini.service import Latency


def latency_floor_s(prompts: Sequence[Prompt], latency: Latency, *, at_once: int) -> float:
    """When the last reply would be there if each prompt went to the first free slot, in order and in no time."""
    free_at_s = [0.0] * at_once
    for prompt in prompts:
        heapq.heapreplace(free_at_s, free_at_s[0] + latency_s(prompt, latency))
    return max(free_at_s)


def latency_s(prompt: Prompt, latency: Latency) -> float:
    """What the server draws for the prompt's first call."""
    return latency.drawn(DEFAULT_SEED, f"{identity(prompt)}/0")


def identity(prompt: Prompt) -> str:
    """What the server knows the prompt by."""
    model, temperature = EMBEDDED.gemini.model, EMBEDDED.gemini.temperature
    return Asked(model, prompt.instructions, prompt.messages, None, temperature, prompt.max_output_tokens).identity


def rate_floor_s(prompts: Sequence[Prompt], calls: int, latency: Latency, *, per_minute: int) -> float:
    """When the last reply would be there if the burst went at once and the rest at the limit, in order, in no time.

    Calls beyond one a prompt (the faults') fall evenly among them.
    """
    burst = per_minute * BURST_S / (WINDOW_S + BURST_S)
    sent_s = (max(number * calls / len(prompts) - burst, 0.0) / per_minute * WINDOW_S for number in count(1))
    return max(sent + latency_s(prompt, latency) for sent, prompt in zip(sent_s, prompts, strict=False))
