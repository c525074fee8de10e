"""What a request goes through, whoever answers it: prompt, reply, reading, asked again, until an answer or a refusal.

A chain is a generator of prompts that is sent their replies, so that it neither knows nor waits for a model: the same
chain runs call by call (`drive`) and in rounds of many requests at once (`answer_in_rounds`).
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace

from resources.desk.calls import MAX_TOKENS, STOP, Call, CallError, Prompt, Reply
from resources.desk.prompts import asked_again, first_prompt
from resources.desk.reading import OUTSIDE_CLOSED_SET, SCHEMA_VIOLATION, UNKNOWN_TRACK, UNPARSABLE, read
from resources.desk_settings import Answers
from resources.language_model import Answer, Refused, Request, Tally, request_id
from resources.outside_text import marked

BLOCKED = "blocked"
EMPTY = "empty"
UNFINISHED = "unfinished"
UNAVAILABLE = "unavailable"
BAD_REQUEST = "bad_request"
UNKNOWN_TASK = "unknown_task"
BAD_PAYLOAD = "bad_payload"
# Beside these a refusal may have a reason of its request's own check.
REASONS = (
    UNPARSABLE,
    SCHEMA_VIOLATION,
    UNKNOWN_TRACK,
    OUTSIDE_CLOSED_SET,
    MAX_TOKENS,
    BLOCKED,
    EMPTY,
    UNFINISHED,
    UNAVAILABLE,
    BAD_REQUEST,
    UNKNOWN_TASK,
    BAD_PAYLOAD,
)
BLOCKED_FINISHES = frozenset({"safety", "recitation", "prohibited_content", "blocklist", "spii"})
DETAIL_CHARACTERS = 400

Chain = Generator[Prompt, Reply, Answer | Refused]


def chain(request: Request, settings: Answers, tally: Tally) -> Chain:
    """The prompts of one request; sent the reply of each, it returns the answer or refusal.

    A CallError thrown in refuses the request, as a bad request or as unavailable. It counts `requests`, `refused`,
    `asked_again` and `repaired`, in the thread that runs it; the calls are its caller's to count.
    """
    identity = request_id(request)
    tally.requests += 1
    prompt = first_prompt(request, settings)
    asked = 0
    while True:
        try:
            reply = yield prompt
        except CallError as error:
            reason = BAD_REQUEST if error.failure == BAD_REQUEST else UNAVAILABLE
            return _refused(identity, reason, str(error), tally)
        if reply.model_version:
            tally.versions.add(reply.model_version)
        if reply.finish == MAX_TOKENS and not prompt.is_lengthened:
            prompt = replace(prompt, max_output_tokens=2 * prompt.max_output_tokens, is_lengthened=True)
            continue
        if unusable := _unusable(reply):
            return _refused(identity, unusable, f"the reply ended as {reply.finish}", tally)
        result = read(request, reply.text)
        if isinstance(result, Answer):
            tally.repaired += bool(result.repairs)
            return result
        if asked == settings.re_asks:
            return _refused(identity, result.reason, result.detail, tally)
        asked += 1
        tally.asked_again += 1
        prompt = asked_again(prompt, reply.text, result)


def drive(chain: Chain, call: Call) -> Answer | Refused:
    """Runs a chain call by call."""
    step: Prompt | Answer | Refused = next(chain)
    while isinstance(step, Prompt):
        reply: Reply | CallError
        try:
            reply = call(step)
        except CallError as error:
            reply = error
        step = _step(chain, reply)
    return step


def answer_in_rounds(
    requests: Sequence[Request],
    settings: Answers,
    tally: Tally,
    replies: Callable[[Sequence[Prompt]], Iterable[Reply | CallError]],
) -> list[Answer | Refused]:
    """Runs the chains of all requests in step: each round asks for the replies of those that still want one.

    `replies` gives one for each prompt, in order; else ValueError.
    """
    chains = [chain(request, settings, tally) for request in requests]
    steps: list[Prompt | Answer | Refused] = [next(one) for one in chains]
    while waiting := {place: step for place, step in enumerate(steps) if isinstance(step, Prompt)}:
        came = list(replies(list(waiting.values())))
        if len(came) != len(waiting):
            raise ValueError(f"{len(came)} replies to {len(waiting)} prompts: wanted one for each, in order")
        for place, reply in zip(waiting, came, strict=True):
            steps[place] = _step(chains[place], reply)
    return [step for step in steps if not isinstance(step, Prompt)]


def _step(chain: Chain, reply: Reply | CallError) -> Prompt | Answer | Refused:
    try:
        return chain.throw(reply) if isinstance(reply, CallError) else chain.send(reply)
    except StopIteration as end:
        result: Answer | Refused = end.value
        return result


def _unusable(reply: Reply) -> str | None:
    """Why a reply is none, whatever its text says: only a clean stop with words counts."""
    if reply.finish == STOP:
        return None if reply.text.strip() else EMPTY
    if reply.finish in BLOCKED_FINISHES or reply.finish.startswith(BLOCKED):
        return BLOCKED
    return reply.finish if reply.finish in (MAX_TOKENS, EMPTY) else UNFINISHED


def _refused(identity: str, reason: str, detail: str, tally: Tally) -> Refused:
    tally.refused += 1
    return Refused(identity, reason, marked(detail, characters=DETAIL_CHARACTERS))  # it may quote the model
