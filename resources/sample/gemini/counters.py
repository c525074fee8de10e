"""What the sample Gemini server counts, and the limits that it enforces; both safe for threads."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

from resources.desk.calls import Reply
from resources.sample.gemini.protocol import MINUTE_QUOTA, Written, over_quota, overloaded
from resources.sample.gemini.requests import Asked

TOKEN_QUOTA = "GenerateContentInputTokensPerModelPerMinute"  # noqa: S105 - a quota's name

Bill = Callable[[str, Reply, bool], float]  # model, reply, is_batch -> dollars


@dataclass(frozen=True, slots=True)
class Limits:
    """What the server refuses beyond. The two quotas hold for any `window_s` seconds, in proportion to a minute."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    window_s: float = 60.0


class Quota:
    """The sliding window of admitted calls."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits, self._clock, self._lock = limits, clock, Lock()
        self._admitted: deque[tuple[float, int]] = deque()
        self._tokens = 0

    def admit(self, tokens: int) -> None:
        """Count a call in, or raise ApiError 429 with the time until one more fits."""
        with self._lock:
            now = self._clock()
            while self._admitted and self._admitted[0][0] <= now - self._limits.window_s:
                self._tokens -= self._admitted.popleft()[1]
            share = self._limits.window_s / 60
            requests, most = self._limits.requests_per_minute, self._limits.tokens_per_minute
            if requests is not None and len(self._admitted) >= max(1, int(requests * share)):
                raise over_quota(MINUTE_QUOTA, retry_after_s=self._wait(now))
            if most is not None and self._admitted and self._tokens + tokens > most * share:
                raise over_quota(TOKEN_QUOTA, retry_after_s=self._wait(now))
            self._admitted.append((now, tokens))
            self._tokens += tokens

    def _wait(self, now: float) -> float:
        return max(0.001, self._admitted[0][0] + self._limits.window_s - now)


class Counters:
    """What happened so far. Busy seconds are those in which at least one call was under way."""

    def __init__(self, limits: Limits, bill: Bill, clock: Callable[[], float]) -> None:
        self._lock, self._limits, self._bill, self._clock = Lock(), limits, bill, clock
        self.by_endpoint: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self._asked: Counter[str] = Counter()
        self._answered: Counter[str] = Counter()
        self.times_paid: Counter[str] = Counter()
        self.paid_calls = self.input_tokens = self.output_tokens = 0
        self.usd = self.busy_s = self.call_s = 0.0
        self.at_once = self.most_at_once = self.keys_in_urls = 0
        self._busy_since = 0.0

    def arrived(self, endpoint: str, *, has_key_in_url: bool) -> None:
        """A call of any kind, whatever becomes of it."""
        with self._lock:
            self.by_endpoint[endpoint] += 1
            self.keys_in_urls += has_key_in_url

    def ended(self, status: int) -> None:
        """The HTTP status that it was answered with; 0 for none."""
        with self._lock:
            self.statuses[status] += 1

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Around one generateContent. Raises ApiError 503 where too many are."""
        with self._lock:
            if self._limits.concurrency is not None and self.at_once >= self._limits.concurrency:
                raise overloaded()
            start = self._clock()
            if not self.at_once:
                self._busy_since = start
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            yield
        finally:
            with self._lock:
                end = self._clock()
                self.at_once -= 1
                self.call_s += end - start
                if not self.at_once:
                    self.busy_s += end - self._busy_since

    def asked_before(self, identity: str) -> int:
        """How often the same was asked before this time: draws the fault."""
        with self._lock:
            self._asked[identity] += 1
            return self._asked[identity] - 1

    def answered_before(self, identity: str) -> int:
        """How often the same was answered before this time: draws the answer, so that refusals don't change it."""
        with self._lock:
            self._answered[identity] += 1
            return self._answered[identity] - 1

    def paid(self, asked: Asked, written: Written, *, is_batch: bool) -> None:
        """A billed reply, whether or not the client reads it. Hidden thinking is billed as output."""
        tokens = written.output_tokens + written.thought_tokens
        usd = self._bill(asked.model, Reply(written.text, "stop", asked.input_tokens, tokens), is_batch)
        with self._lock:
            self.times_paid[asked.identity] += 1
            self.paid_calls += 1
            self.input_tokens += asked.input_tokens
            self.output_tokens += tokens
            self.usd += usd

    def paid_twice(self) -> list[str]:
        """Requests, by their identity, that were billed more than once."""
        with self._lock:
            return self._paid_twice()

    def snapshot(self) -> dict[str, Any]:
        """All counts as JSON has them."""
        with self._lock:
            still = self._clock() - self._busy_since if self.at_once else 0.0
            return {
                "calls": self.by_endpoint["generateContent"],
                "calls_by_endpoint": dict(self.by_endpoint),
                "statuses": {str(status): count for status, count in self.statuses.items()},
                "paid_calls": self.paid_calls,
                "paid_twice": len(self._paid_twice()),
                "input_tokens": self.input_tokens,
                "output_tokens": self.output_tokens,
                "usd": self.usd,
                "most_at_once": self.most_at_once,
                "busy_s": self.busy_s + still,
                "call_s": self.call_s,
                "keys_in_urls": self.keys_in_urls,
            }

    def _paid_twice(self) -> list[str]:
        return sorted(identity for identity, times in self.times_paid.items() if times > 1)


def bill_by_table(models: tuple[str, ...]) -> Bill:
    """Dollars by the desk's own price table; a model that it does not know costs nothing here."""
    from resources.desk.prices import Price, cost_usd, price_of
    from resources.desk_settings import DeskSection, Gemini

    prices: dict[str, Price] = {}
    for model in models:
        try:
            prices[model] = price_of(Gemini(model=model), DeskSection())
        except ValueError:
            continue

    def dollars(model: str, reply: Reply, is_batch: bool) -> float:
        return cost_usd(prices[model], reply, is_batch=is_batch) if model in prices else 0.0

    return dollars
