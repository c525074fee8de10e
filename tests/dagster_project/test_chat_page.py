"""The page talks to the recommender in a real browser, and to nobody else."""

import http.client
import importlib.util
import json
import os
import select
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from assets.training.recommender import MOST_CHARACTERS, PastTurn, Recommender
from dagster_project.chat_page import MOST_BYTES, MOST_TURNS, ChatServer, _page

SPEC = importlib.util.spec_from_file_location("tiny_recommender", Path(__file__).parents[1] / "tiny_recommender.py")
assert SPEC
assert SPEC.loader
tiny: ModuleType = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tiny)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=900,900",
]
PATIENCE_S = 120


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    """Random weights over eight tracks."""
    return tiny.recommender()


@pytest.fixture
def server(recommender: Recommender) -> Iterator[ChatServer]:
    """The page's server on a free port."""
    with ChatServer(recommender, port=0, top=3, is_sampled=False, seed=7) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server: ChatServer, body: object, **headers: str) -> tuple[int, dict[str, Any]]:
    """Status and content of a POST to /reply, with these headers besides (underscores for dashes) or instead."""
    given = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=PATIENCE_S)
    connection.request("POST", "/reply", body if isinstance(body, bytes) else json.dumps(body), given)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


class Browser:
    """One page of headless Chromium, driven through the DevTools pipe: JSON between zero bytes, no library needed."""

    def __init__(self, folder: Path) -> None:
        read_commands, self.commands = os.pipe()
        self.events, write_events = os.pipe()
        # Chromium reads commands from 3 and writes to 4; plain sh takes no descriptors above 9.
        shell = f'exec "$0" "$@" 3<&{read_commands} 4>&{write_events}'
        options = [*FLAGS, f"--user-data-dir={folder}", "--remote-debugging-pipe", "about:blank"]
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", shell, str(CHROMIUM), *options],
            pass_fds=(read_commands, write_events),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_commands)
        os.close(write_events)
        self.number, self.unread, self.session = 0, b"", ""
        pages = self.call("Target.getTargets")["targetInfos"]
        target = next(page["targetId"] for page in pages if page["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """The result of a command."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        message |= {"sessionId": self.session} if self.session else {}
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until the expression is true in the page."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.value(expression):
            assert time.monotonic() < deadline, f"{expression} is not true in:\n{self.value('document.body.innerText')}"
            time.sleep(0.05)

    def open(self, address: str) -> None:
        """Goes to a page, and waits until a person could type."""
        self.call("Page.navigate", url=address)
        self.wait(f"location.href === '{address}' && document.activeElement?.id === 'query'")

    def say(self, text: str) -> None:
        """Types into whatever has the focus, and presses Enter."""
        self.call("Input.insertText", text=text)
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r"
            )

    def close(self) -> None:
        """Ends the browser."""
        self.call("Browser.close")
        self.process.wait(timeout=PATIENCE_S)
        os.close(self.commands)
        os.close(self.events)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.unread:
            assert select.select([self.events], [], [], PATIENCE_S)[0], "Chromium says nothing"
            more = os.read(self.events, 1 << 16)
            assert more, "Chromium ended"
            self.unread += more
        message, _, self.unread = self.unread.partition(b"\0")
        return json.loads(message)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium; each test's server has a port, and so a page, of its own."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    browser = Browser(tmp_path_factory.mktemp("chat") / "chromium")
    yield browser
    browser.close()


def turn(number: int) -> str:
    """JavaScript that is true once so many turns have been answered."""
    return f"document.querySelectorAll('.turn .reply').length === {number} && !document.querySelector('.busy')"


def test_a_person_asks_sees_tracks_and_asks_on(server: ChatServer, browser: Browser) -> None:
    """Typed question, tracks and reply; the typed follow-up is answered as the recommender answers with the history."""
    browser.open(server.address)
    browser.say("a calm track")
    browser.wait(turn(1))
    first = server.recommender.reply([], "a calm track", top=3, seed=7)
    titles = "[...document.querySelectorAll('.turn:last-child .title')].map((title) => title.textContent)"
    assert browser.value(titles) == [track.title for track in first.suggestions]
    assert browser.value("document.querySelector('.reply').textContent") == first.response

    browser.say("something louder, please")
    browser.wait(turn(2))
    shown = [track.track_id for track in first.suggestions]
    past = [PastTurn("a calm track", shown[0], first.response, shown[1:])]
    second = server.recommender.reply(past, "something louder, please", top=3, seed=7)
    assert browser.value(titles) == [track.title for track in second.suggestions]
    assert browser.value("document.querySelector('.turn:last-child .reply').textContent") == second.response
    assert second != server.recommender.reply([], "something louder, please", top=3, seed=7)


def test_markup_in_a_title_is_text(server: ChatServer, browser: Browser) -> None:
    """A title with a tag in it is shown letter by letter; it makes no element and runs nothing."""
    server.top = len(tiny.TITLES)
    browser.open(server.address)
    browser.say("<b>all</b> of them")
    browser.wait(turn(1))
    assert tiny.MARKUP in browser.value("document.body.innerText")
    assert "<b>all</b> of them" in browser.value("document.querySelector('.asked').innerText")
    assert browser.value("document.querySelectorAll('img, b').length") == 0
    assert browser.value("document.title") == "Talk about music"


def test_an_error_is_shown_and_asked_again(server: ChatServer, browser: Browser) -> None:
    """A refused question says why in the page; what follows a repaired cause is answered."""
    browser.open(server.address)
    browser.value("past.push({query: 'before', track_id: 'gone', response: '', others: []})")
    browser.say("a calm track")
    browser.wait("document.querySelector('[role=alert]') !== null")
    assert "No track 'gone' in the catalog; begin a new conversation." in browser.value(
        "document.querySelector('[role=alert]').textContent"
    )
    browser.value("past.pop()")
    browser.value("document.querySelector('[role=alert] button').click()")
    browser.wait(turn(1))
    assert browser.value("document.querySelectorAll('.turn').length") == 1


def test_a_new_conversation_forgets(server: ChatServer, browser: Browser) -> None:
    """The button empties the page, and the next question has no history."""
    browser.open(server.address)
    browser.say("a calm track")
    browser.wait(turn(1))
    before = browser.value("document.querySelector('.tracks').textContent")
    browser.value("document.getElementById('new').click()")
    assert browser.value("document.querySelectorAll('.turn').length") == 0
    browser.say("a calm track")
    browser.wait(turn(1))
    assert browser.value("document.querySelector('.tracks').textContent") == before


def test_an_answer_is_that_of_the_recommender(server: ChatServer, recommender: Recommender) -> None:
    """Tracks with names, scores, reasons and tags, the response, and whether the tokens are a track's."""
    status, answer = ask(server, {"query": "a calm track"})
    reply = recommender.reply([], "a calm track", top=3, seed=7)
    assert status == 200
    assert answer["suggestions"] == [track._asdict() for track in reply.suggestions]
    assert (answer["response"], answer["is_exact"]) == (reply.response, True)


def test_half_a_surrogate_pair_is_answered(server: ChatServer) -> None:
    """Text that no tokenizer takes is repaired, as a question and in the history."""
    past = [{"query": "\ud83d", "track_id": "t1", "response": "\ude00"}]
    status, answer = ask(server, {"query": "calm \ud83d", "past": past})
    assert status == 200
    assert answer["suggestions"]


FOREIGN: list[Callable[[int], dict[str, str]]] = [
    lambda port: {"Host": f"music.example:{port}"},
    lambda port: {"Host": "127.0.0.1"},
    lambda port: {"Origin": "https://music.example"},
    lambda port: {"Origin": "null"},
    lambda port: {"Origin": f"http://127.0.0.1:{port + 1}"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_other_pages_are_refused(server: ChatServer, headers: Callable[[int], dict[str, str]]) -> None:
    """A host that is not this server's, as after DNS rebinding, or an origin that is not."""
    assert ask(server, {"query": "a calm track"}, **headers(server.server_port))[0] == 403


def test_the_page_itself_may_ask(server: ChatServer) -> None:
    """Under both names of this machine."""
    for name in ("127.0.0.1", "localhost"):
        host = f"{name}:{server.server_port}"
        assert ask(server, {"query": "a calm track"}, Host=host, Origin=f"http://{host}")[0] == 200


BAD = [
    (b'{"query": "a"}', {"Content_Type": "text/plain"}, 415, "application/json"),
    (b'{"query": "a"}', {"Content_Type": "application/x-www-form-urlencoded"}, 415, "application/json"),
    (b"{}", {}, 400, "query"),
    (b"[" * 50_000, {}, 400, "not a question"),
    (b'{"query": "a", "top": 9}', {}, 400, "top"),
    (b'{"query": " \\u0000 "}', {}, 400, "the question is empty"),
    (b"\xff", {}, 400, "not a question"),
    (b"{}", {"Content_Length": "-1"}, 411, "length"),
    (b"", {"Content_Length": str(MOST_BYTES + 1)}, 413, "too long"),
]


@pytest.mark.parametrize(("body", "headers", "status", "words"), BAD)
def test_a_bad_question_is_refused(
    server: ChatServer, body: bytes, headers: dict[str, str], status: int, words: str
) -> None:
    """With the fitting status and words that say what was wrong."""
    found, answer = ask(server, body, **headers)
    assert found == status
    assert words in answer["error"]


def test_sizes_are_limited(server: ChatServer) -> None:
    """Questions of many characters, long histories."""
    assert ask(server, {"query": "a" * (MOST_CHARACTERS + 1)})[0] == 400
    past = [{"query": "a", "track_id": None, "response": "b"}] * (MOST_TURNS + 1)
    assert ask(server, {"query": "a", "past": past})[0] == 400
    assert ask(server, {"query": "a", "past": past[1:]})[0] == 200


def test_only_the_page_is_served(server: ChatServer) -> None:
    """No file beside it; with a policy that lets nothing else into it."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=PATIENCE_S)
    connection.request("GET", "/")
    page = connection.getresponse()
    html = page.read().decode()
    assert page.status == 200
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "http" not in html
    for path in ("/chat.html", "/../pyproject.toml", "/reply"):
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        assert response.status == 404


def test_facts_stand_in_the_script() -> None:
    """What the server knows is part of what the policy's hash is of."""
    pages = [_page({"tracks": tracks}) for tracks in (8, 9)]
    assert b'const facts = {"tracks": 8};' in pages[0].body
    assert pages[0].policy != pages[1].policy


def test_a_taken_port_is_said(server: ChatServer, recommender: Recommender) -> None:
    """With the way out."""
    with pytest.raises(OSError, match=rf"port {server.server_port} .* choose another with --port"):
        ChatServer(recommender, port=server.server_port, top=3, is_sampled=False, seed=7)
