"""`python -m dagster_project.chat` talks in the terminal."""

import http.client
import importlib.util
import io
import runpy
import signal
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

from assets.catalog.tables import TRACKS
from assets.content.tables import TAGS
from assets.tokens.tables import TALKPLAY_TOKENS
from assets.training.recommender import PastTurn, Reply, Suggestion
from assets.training.tables import TALKPLAY_MODEL
from dagster_project.chat import main, past_turn, told
from dagster_project.chat_page import ChatServer
from resources.lake import Lake, Made

SPEC = importlib.util.spec_from_file_location("tiny_recommender", Path(__file__).parents[1] / "tiny_recommender.py")
assert SPEC
assert SPEC.loader
tiny: ModuleType = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tiny)

SETTINGS = {
    "MUSIC_PROFILE": "embedded",
    "MUSIC_RECOMMENDING__BEAMS": str(tiny.SETTINGS.beams),
    "MUSIC_RECOMMENDING__RESPONSE_TOKENS": str(tiny.SETTINGS.response_tokens),
    "MUSIC_SHARDS__CONTEXT_LENGTH": "256",
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with eight tracks and a model of random weights."""
    lake, catalog = Lake(root=str(tmp_path_factory.mktemp("chat") / "lake")), tiny.catalog()
    for table, frame in zip((TALKPLAY_TOKENS, TRACKS, TAGS), catalog, strict=True):
        lake.write(table, frame, partition="shard_000", attempt=lake.claim(table, "shard_000"))

    def build(folder: Path) -> Made:
        tiny.write(folder)
        return Made(1)

    lake.write_folder(TALKPLAY_MODEL, build, partition="full", attempt=lake.claim(TALKPLAY_MODEL, "full"))
    return lake


@pytest.fixture(autouse=True)
def environment(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment that names the lake, and the settings of the tiny recommender."""
    for name, value in {**SETTINGS, "MUSIC_LAKE": lake.root}.items():
        monkeypatch.setenv(name, value)


def answered(past: list[PastTurn], query: str, *, top: int = 5, is_sampled: bool = False, seed: int = 7) -> Reply:
    """What the recommender of these tests replies."""
    return tiny.recommender().reply(past, query, top=top, is_sampled=is_sampled, seed=seed)


def test_a_lone_question_is_answered(capsys: pytest.CaptureFixture[str]) -> None:
    """Tracks and reply go out, and nothing else; what is opened is said on the other channel."""
    assert main(["--say", "a calm track"]) == 0
    out, err = capsys.readouterr()
    assert out == told(answered([], "a calm track")) + "\n"
    assert err.startswith("opening training/talkplay_model/full in ")


def test_a_follow_up_knows_what_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Asked again, the second question is answered with the first turn as history."""
    assert main(["--top", "2", "--say", "a calm track", "--say", "louder"]) == 0
    first = answered([], "a calm track", top=2)
    second = answered([past_turn("a calm track", first)], "louder", top=2)
    assert capsys.readouterr().out == f"{told(first)}\n{told(second)}\n"


def test_tracks_are_sampled_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    """As published, with a seed of one's own."""
    assert main(["--sampled", "--seed", "3", "--say", "a calm track"]) == 0
    assert capsys.readouterr().out == told(answered([], "a calm track", is_sampled=True, seed=3)) + "\n"


def test_lines_are_turns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Line by line; /new forgets, a question that is refused is one line and no turn, an empty line ends."""
    typed = ["louder", "a" * 2001, "/new", "a calm track", "", "never asked"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(typed).encode())))
    assert main([]) == 0
    out, err = capsys.readouterr()
    assert out == "".join(told(answered([], query)) + "\n" for query in ("louder", "a calm track"))
    assert err.splitlines()[1:] == ["the question has 2,001 characters; wanted at most 2,000"]


def test_bytes_that_are_no_text_are_answered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipe may carry anything."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"calm \xff\xfe"), encoding="utf-8"))
    assert main([]) == 0
    assert capsys.readouterr().out == told(answered([], "calm \ufffd\ufffd")) + "\n"


def test_a_reply_is_told_in_lines() -> None:
    """Names, what spoke for the track and its tags where there are any, then the words."""
    suggestions = [
        Suggestion(
            "t1", "Slow Harbour", "Artist 1", "Tides", 0.5, ["playlist 83 %", "semantic 41 %"], ["calm", "piano"]
        ),
        Suggestion("t2", "Glass Lanterns", "Artist 2", None, 0.2, [], []),
    ]
    assert told(Reply(suggestions, "Here you are.", True)) == (
        "  1. Slow Harbour · Artist 1 · Tides\n"
        "     playlist 83 %, semantic 41 % · calm, piano\n"
        "  2. Glass Lanterns · Artist 2\n"
        "\n"
        "Here you are."
    )
    assert told(Reply([], "", True)) == "  No track fits that was not shown before."


def test_a_lake_without_the_model_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what to materialize; so does a variant that was not trained."""
    assert main(["--variant", "without_audio", "--say", "a"]) == 1
    assert "materialize training/talkplay_model first" in capsys.readouterr().err.splitlines()[-1]
    monkeypatch.setenv("MUSIC_LAKE", str(tmp_path / "empty"))
    assert main(["--say", "a"]) == 1
    assert "materialize training/talkplay_model first" in capsys.readouterr().err.splitlines()[-1]


def test_a_wrong_setting_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As for every command; and a variant that can't be."""
    assert main(["--variant", "without_words"]) == 1
    assert capsys.readouterr().err.startswith("no variant 'without_words'; wanted full")
    monkeypatch.setenv("MUSIC_PROFILE", "papers")
    assert main([]) == 1
    assert capsys.readouterr().err == "MUSIC_PROFILE=papers: wanted one of embedded, paper\n"


def test_a_folder_without_a_model_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As training leaves it where there are no playlists: a note alone."""
    lake = Lake(root=str(tmp_path / "lake"))

    def build(folder: Path) -> Made:
        (folder / "README.md").write_text("No model.\n")
        return Made(0)

    lake.write_folder(TALKPLAY_MODEL, build, partition="full", attempt=lake.claim(TALKPLAY_MODEL, "full"))
    monkeypatch.setenv("MUSIC_LAKE", lake.root)
    assert main(["--say", "a"]) == 1
    assert "holds no model, for there were no training rows" in capsys.readouterr().err.splitlines()[-1]


def test_the_page_is_served_until_it_is_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command says where; Ctrl+C, here from a thread that has seen the page, ends it without a traceback."""
    assert threading.current_thread() is threading.main_thread()
    ports: list[int] = []
    statuses: list[int] = []

    class Noted(ChatServer):
        """A server that says its port when it serves, not before."""

        def service_actions(self) -> None:
            """Called within serve_forever's loop."""
            if not ports:
                ports.append(self.server_port)
                threading.Thread(target=look).start()

    def look() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", ports[0], timeout=60)
        try:
            connection.request("GET", "/")
            statuses.append(connection.getresponse().status)
        finally:
            connection.close()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    monkeypatch.setattr("dagster_project.chat_page.ChatServer", Noted)
    monkeypatch.setattr(sys, "argv", ["chat", "--page", "--port", "0"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(Path(__file__).parents[2] / "dagster_project" / "chat.py"), run_name="__main__")
    out, err = capsys.readouterr()
    assert (ended.value.code, statuses) == (130, [200])
    assert out == f"http://127.0.0.1:{ports[0]}/  (Ctrl+C ends it)\n"
    assert "Traceback" not in err
