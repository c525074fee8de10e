"""A local server that speaks the Gemini REST protocol to the real SDKs, counts what it is paid and fails on demand.

In a test it is a context manager; other processes start `python -m resources.sample.gemini.server --port 0`, read its
endpoint from the first line and its counters from `GET /_counters`. It answers by the rules of
`resources.answer_rules`, so what comes back fits what was asked. Faults are told by name (`faults`).
"""

import argparse
import json
import threading
import time
from types import TracebackType
from typing import Any, Self

from resources.sample.gemini.answers import Answering, Model
from resources.sample.gemini.counters import Counters, Limits, Quota, bill_by_table
from resources.sample.gemini.faults import Fault, Script
from resources.sample.gemini.http import HttpServer
from resources.sample.gemini.service import Latency, Service

MODELS = ("gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-pro", "gemini-2.0-flash")
KEY = "test-key"
DEFAULT_SEED = 7


class GeminiServer:
    """Gemini for tests, in threads of this process. Counters can be read at any time, also after it has stopped.

    `answer` takes the place of the rules: it gets instructions, messages and schema, and its text comes back. The
    quotas hold for any `quota_window_s` seconds in proportion. A batch is done after `batch_looks` looks at it.
    """

    def __init__(  # noqa: PLR0913 - each is an option of its own
        self,
        *,
        key: str = KEY,
        models: tuple[str, ...] = MODELS,
        faults: tuple[Fault, ...] = (),
        latency_s: float = 0.0,
        latency_sigma: float = 0.0,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        quota_window_s: float = 60.0,
        concurrency: int | None = None,
        batch_looks: int = 1,
        answer: Answering | None = None,
        seed: int = DEFAULT_SEED,
        port: int = 0,
    ) -> None:
        limits = Limits(requests_per_minute, tokens_per_minute, concurrency, quota_window_s)
        self._script = Script(faults, seed)
        self.counters = Counters(limits, bill_by_table(models), time.monotonic)
        self._service = Service(
            key=key,
            models=models,
            seed=seed,
            model=Model(seed, answer),
            script=self._script,
            counters=self.counters,
            quota=Quota(limits, time.monotonic),
            latency=Latency(latency_s, latency_sigma),
            batch_looks=batch_looks,
        )
        self._port = port
        self._http: HttpServer | None = None

    def __enter__(self) -> Self:
        self._http = HttpServer(("127.0.0.1", self._port), self._service.handle)
        threading.Thread(target=self._http.serve_forever, args=(0.05,), name="gemini-server", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._service.stopping.set()
        if self._http:
            self._http.stop()

    @property
    def endpoint(self) -> str:
        """Address for `client_options` of google-generativeai and `base_url` of google-genai."""
        if self._http is None:
            raise RuntimeError("the server has not been started: use it as a context manager")
        return self._http.endpoint

    def script(self, *faults: Fault) -> None:
        """These faults behind those that wait already."""
        self._script.add(*faults)

    def forget_faults(self) -> None:
        """Nothing goes wrong from here on."""
        self._script.clear()

    @property
    def calls(self) -> int:
        """GenerateContent calls that arrived, whatever became of them."""
        return self.counters.by_endpoint["generateContent"]

    @property
    def paid_calls(self) -> int:
        """Billed replies, online or in batches, whether or not the client read them."""
        return self.counters.paid_calls

    @property
    def paid_twice(self) -> list[str]:
        """Requests (by SHA-256 of model, texts and length) that were billed more than once."""
        return self.counters.paid_twice()

    @property
    def usd(self) -> float:
        """Dollars billed, by the desk's price table."""
        return self.counters.usd

    def snapshot(self) -> dict[str, Any]:
        """All counters, as `GET /_counters` gives them."""
        return self.counters.snapshot()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="A local Gemini for tests and benchmarks.")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--key", default=KEY)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--latency-s", type=float, default=0.0)
    parser.add_argument("--latency-sigma", type=float, default=0.0, help="of a log-normal latency")
    parser.add_argument("--requests-per-minute", type=int)
    parser.add_argument("--tokens-per-minute", type=int)
    parser.add_argument("--quota-window-s", type=float, default=60.0)
    parser.add_argument("--concurrency", type=int)
    parser.add_argument("--batch-looks", type=int, default=1)
    example = '[{"name": "hang", "seconds": 2, "share": 0.1, "calls": null}]'
    parser.add_argument("--faults", type=json.loads, default=[], help=f"fields of faults.Fault: {example}")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    options = vars(parser.parse_args())
    options["models"] = tuple(options["models"])
    options["faults"] = tuple(Fault(**fields) for fields in options["faults"])
    with GeminiServer(**options) as server:
        print(server.endpoint, flush=True)  # noqa: T201 - the caller reads it
        threading.Event().wait()


if __name__ == "__main__":
    main()
