"""The page behind `python -m dagster_project.chat --page`: one file, no script or style from elsewhere.

The server listens on this machine alone, where any page that a browser has open may knock. So a request has to name
this server as its host, which no rebound domain name does, and as its origin if it has one; a question has to be JSON,
which a form can't send and a foreign script may not without a permission that is never given.
"""

import base64
import hashlib
import json
import re
import sys
import traceback
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from assets.training.recommender import Recommender, Reply

LOOPBACK = "127.0.0.1"
MOST_BYTES = 1024 * 1024
MOST_TURNS = 50
READ_S = 30  # a request that takes longer to arrive is given up
Text = Annotated[str, msgspec.Meta(max_length=20_000)]
TrackId = Annotated[str, msgspec.Meta(max_length=200)]
JSON = "application/json"


class Said(msgspec.Struct, forbid_unknown_fields=True):
    """A past turn as the page sends it."""

    query: Text
    track_id: TrackId | None
    response: Text
    others: Annotated[list[TrackId], msgspec.Meta(max_length=50)] = []


class Question(msgspec.Struct, forbid_unknown_fields=True):
    """What the page asks."""

    query: Text
    past: Annotated[list[Said], msgspec.Meta(max_length=MOST_TURNS)] = []
    is_sampled: bool = False


class QuestionError(Exception):
    """Why a request gets no answer: the HTTP status, and words for the person."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class Page(NamedTuple):
    """The page's bytes, and the policy that lets a browser run its own script and style and nothing else."""

    body: bytes
    policy: str


class ChatServer(ThreadingHTTPServer):
    """Serves the page and answers its questions. Raises OSError, naming the port, if another program has it."""

    daemon_threads = True

    def __init__(self, recommender: "Recommender", *, port: int, top: int, is_sampled: bool, seed: int) -> None:
        self.recommender, self.top, self.seed = recommender, top, seed
        self.page = _page({"tracks": recommender.tracks, "is_sampled": is_sampled, "most_turns": MOST_TURNS})
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except (OSError, OverflowError) as error:
            raise OSError(f"port {port} of {LOOPBACK}: {error}; choose another with --port, or 0 for any") from error

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{LOOPBACK}:{self.server_port}/"

    def answer(self, question: Question) -> "Reply":
        """The recommender's reply."""
        from assets.training.recommender import PastTurn

        past = [PastTurn(said.query, said.track_id, said.response, said.others) for said in question.past]
        return self.recommender.reply(
            past, question.query, top=self.top, is_sampled=question.is_sampled, seed=self.seed
        )


class _Handler(BaseHTTPRequestHandler):
    server: ChatServer
    timeout = READ_S
    server_version, sys_version = "chat", ""

    def do_GET(self) -> None:
        """The page."""
        try:
            self._check_caller()
            if self.path.partition("?")[0] != "/":
                raise QuestionError(404, "there is only one page here: /")
            self._send(200, self.server.page.body, "text/html; charset=utf-8")
        except QuestionError as error:
            self._refuse(error)

    def do_POST(self) -> None:
        """An answer to a question."""
        try:
            self._check_caller()
            if self.path != "/reply":
                raise QuestionError(404, "questions go to /reply")
            question = _question(self._body())
            try:
                reply = self.server.answer(question)
            except ValueError as error:
                raise QuestionError(400, str(error)) from error
            self._send(200, _written(reply), JSON)
        except QuestionError as error:
            self._refuse(error)
        except (ConnectionError, TimeoutError):
            self.close_connection = True  # the person has left
        except Exception:
            traceback.print_exc(file=sys.stderr)
            self._refuse(QuestionError(500, "the recommender failed; the terminal that serves this page says why"))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name for it
        """Nothing: what a person asks is not written down."""

    def _check_caller(self) -> None:
        hosts = [f"{name}:{self.server.server_port}" for name in (LOOPBACK, "localhost")]
        host, origin = self.headers.get("Host"), self.headers.get("Origin")
        if host not in hosts:
            raise QuestionError(403, f"this page is at {self.server.address} and under no other name")
        if origin is not None and origin != f"http://{host}":
            raise QuestionError(403, "only this page itself may ask")

    def _body(self) -> bytes:
        if self.headers.get_content_type() != JSON:
            raise QuestionError(415, f"a question is {JSON}")
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,9}", length) or "Transfer-Encoding" in self.headers:
            raise QuestionError(411, "a question states its length")
        if int(length) > MOST_BYTES:
            raise QuestionError(413, "this conversation is too long; begin a new one")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise QuestionError(400, "the question broke off")
        return body

    def _refuse(self, problem: QuestionError) -> None:
        self.close_connection = True  # what is unread of the request must not be taken for the next one
        self._send(problem.status, json.dumps({"error": str(problem)}).encode(), JSON)

    def _send(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": self.server.page.policy,
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _page(facts: Mapping[str, int]) -> Page:
    html = files("dagster_project").joinpath("chat.html").read_text(encoding="utf-8")
    html = html.replace("{facts}", json.dumps(facts))
    hashes = {
        part: base64.b64encode(hashlib.sha256(_inside(html, part).encode()).digest()).decode()
        for part in ("style", "script")
    }
    policy = "; ".join(
        [
            "default-src 'none'",
            *(f"{part}-src 'sha256-{digest}'" for part, digest in hashes.items()),
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
    return Page(html.encode(), policy)


def _inside(html: str, part: str) -> str:
    return html.partition(f"<{part}>")[2].partition(f"</{part}>")[0]


def _question(body: bytes) -> Question:
    try:
        # Not msgspec's own reader: it refuses half a surrogate pair, which a person's text may hold.
        return msgspec.convert(json.loads(body), Question)
    except (ValueError, RecursionError) as error:
        raise QuestionError(400, f"not a question: {error}") from error


def _written(reply: "Reply") -> bytes:
    suggestions = [track._asdict() for track in reply.suggestions]
    return json.dumps({**reply._asdict(), "suggestions": suggestions}).encode()
