"""Conversations of the sample world through the whole desk and Gemini's own library: what our code costs beside them.

The server is a process of its own that speaks Gemini's protocol. It answers after 1 s in the median, which is several
times faster than a dialogue of Gemini's is written: the faster the answers, the larger our share. What is lost is
measured against floors that only a client without any time of its own would reach: both with the very
latencies that the server draws. With a bound number of calls at once they are dealt to the first free slot in order; at
a rate limit the desk's own burst goes at once and then the full limit. The desk's pace is 60/61 of the limit by design
(`resources.desk.pace`), and counts as lost here. Libraries are imported before, by both sides.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

from assets.catalog.tables import PLAYLIST_SPLITS, TRACKS
from assets.content.tables import CAPTIONS, LYRICS, RHYTHM, TAGS
from assets.content.track_facts import Content
from assets.conversations.dialogues import Dialogue, conversation_requests
from assets.conversations.synthesis import conversations
from assets.sources.tables import PLAYLIST_TRACKS, PLAYLISTS
from benchmarks.claims import Claim, median_s
from benchmarks.desk_floors import latency_floor_s, rate_floor_s
from resources.desk.calls import Prompt
from resources.desk.estimate import estimate
from resources.desk.ledger import Ledger
from resources.desk.opening import call_name, desk_folder, open_language_model
from resources.desk.prices import PRICES
from resources.desk.prompts import first_prompt
from resources.gemini import KEY_NAME
from resources.gemini_schema import gemini_schema
from resources.lake import Lake
from resources.language_model import Tally
from resources.profile import EMBEDDED, Profile
from resources.sample.gemini.server import KEY
from resources.sample.gemini.service import Latency
from resources.sample.world import WorldSize, make_world

PROJECT = Path(__file__).parent.parent
WORLD = WorldSize(playlists=560, tracks=240, listeners=4, plays=800, slice_size=560, audio_s=3)
CONVERSATIONS, CONVERSATIONS_A_ROUND, ROUNDS = 1000, 240, 3
LATENCY = Latency(1.0, 0.4)  # of 20 answers one takes twice the median
AT_ONCE, AT_ONCE_PACED = 16, 32  # the profile's own; and more than the limit lets be under way
REQUESTS_A_MINUTE = 1000  # Gemini's first paid tier
TOKENS_A_MINUTE = 4_000_000  # of the next: the first's million would halve the pace of requests of this size
FAULTS = [
    {"name": "rate_limit", "seconds": 1.0, "share": 0.01, "calls": None},
    {"name": "unavailable_503", "share": 0.02, "calls": None},
    {"name": "cut_body", "share": 0.01, "calls": None},
]
MOST_LOST, MOST_KEPT_S = 0.05, 5.0


class Run(NamedTuple):
    """Requests that were answered: wall time, processor time of this process, what the desk and the server counted."""

    wall_s: float
    cpu_s: float
    tally: Tally
    server: dict[str, Any]


def sample_dialogues(root: Path) -> list[Dialogue]:
    """Conversations to be written, as the stage asks for them, of a small world that was filled by the pipeline."""
    make_world(root / "sample", size=WORLD, seed=7)
    places = {"MUSIC_RAW": str(root / "sample"), "MUSIC_LAKE": str(root / "lake")}
    cuts = {"MUSIC_PARTITIONS__TRACK_SHARDS": "1", "MUSIC_PARTITIONS__LISTENER_BUCKETS": "1"}
    stages = ["--stages", "sources", "catalog", "content"]
    command = [sys.executable, "-W", "ignore", "-m", "dagster_project.run", *stages]
    subprocess.run(command, env={**os.environ, **places, **cuts}, cwd=PROJECT, capture_output=True, check=True)
    lake, settings = Lake(root=str(root / "lake")), EMBEDDED.conversations
    asked = conversation_requests(
        lake.read(PLAYLISTS),
        lake.read(PLAYLIST_TRACKS),
        lake.read(PLAYLIST_SPLITS),
        Content(*(lake.read(table) for table in (TRACKS, TAGS, RHYTHM, CAPTIONS, LYRICS))),
        dialogues=settings.dialogues,
        turns=(settings.min_turns, settings.max_turns),
        seed=settings.seed,
    )
    return asked.dialogues[:CONVERSATIONS]


@contextmanager
def served(latency: Latency, *options: str) -> Iterator[str]:
    """The endpoint of a sample Gemini server in a process of its own."""
    times = ["--latency-s", str(latency.median_s), "--latency-sigma", str(latency.sigma)]
    command = [sys.executable, "-W", "ignore", "-m", "resources.sample.gemini.server", *times, *options]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as server:
        try:
            endpoint = server.stdout.readline().strip() if server.stdout else ""
            if not endpoint:  # which would be Google's own
                raise RuntimeError(f"the sample server did not start: {' '.join(command)}")
            yield endpoint
        finally:
            server.kill()  # a process that was started with SIGTERM ignored would stay


def profile_for(endpoint: str, *, at_once: int, per_minute: int = 1_000_000) -> Profile:
    """The embedded profile with this server as Gemini; calls one by one, no batch jobs."""
    desk = {"budget_usd": 1000.0, "concurrency": at_once, "requests_per_minute": per_minute, "batch_from": 0}
    desk["tokens_per_minute"] = TOKENS_A_MINUTE if per_minute == REQUESTS_A_MINUTE else 1_000_000_000
    return EMBEDDED.model_copy(
        update={
            "gemini": EMBEDDED.gemini.model_copy(update={"endpoint": endpoint}),
            "desk": EMBEDDED.desk.model_copy(update=desk),
        }
    )


def through_desk(dialogues: Sequence[Dialogue], profile: Profile, lake: Path) -> Run:
    """Rows of conversations/turns by way of the desk, from its opening to its closing."""

    def work() -> Tally:
        with open_language_model("gemini", profile, lake=lake, log=lambda _line: None) as model:
            conversations(dialogues, model, part="benchmark")
            return model.tally

    return _timed(work, profile.gemini.endpoint)


def library_alone(prompts: Sequence[Prompt], profile: Profile) -> Run:
    """The same prompts in a pool of threads, read as JSON: nothing is kept, checked, paced or counted."""
    from google.generativeai.client import configure
    from google.generativeai.generative_models import GenerativeModel

    settings = profile.gemini
    configure(api_key=KEY, transport="rest", client_options={"api_endpoint": settings.endpoint})

    def one(prompt: Prompt) -> object:
        config: Any = {
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_output_tokens": prompt.max_output_tokens,
            "response_mime_type": "application/json",
            "response_schema": gemini_schema(prompt.schema),
        }
        model = GenerativeModel(settings.model, generation_config=config, system_instruction=prompt.instructions)
        contents: Any = [{"role": message.role, "parts": [message.text]} for message in prompt.messages]
        return json.loads(model.generate_content(contents).text)

    def work() -> Tally:
        with ThreadPoolExecutor(profile.desk.concurrency) as pool:
            return Tally(requests=len(list(pool.map(one, prompts))), calls=len(prompts))

    return _timed(work, settings.endpoint)


def at_latency(
    dialogues: Sequence[Dialogue], root: Path, *, latency: Latency = LATENCY, rounds: int = ROUNDS
) -> list[Claim]:
    """A bound number of calls at once, no limit and no faults: ours and the library alone in turn."""
    prompts = [first_prompt(dialogue.request, EMBEDDED.answers) for dialogue in dialogues]
    floor_s = latency_floor_s(prompts, latency, at_once=AT_ONCE)
    ours, alone = [], []
    for number in range(rounds):
        with served(latency) as endpoint:
            ours.append(through_desk(dialogues, profile_for(endpoint, at_once=AT_ONCE), root / f"lake-{number}"))
            print(_line(f"the desk, {AT_ONCE} at once", ours[-1], floor_s))
        with served(latency) as endpoint:
            alone.append(library_alone(prompts, profile_for(endpoint, at_once=AT_ONCE)))
            print(_line(f"the library alone, {AT_ONCE} at once", alone[-1], floor_s))
    our_s, alone_s = (statistics.median(run.wall_s for run in runs) for runs in (ours, alone))
    our_cpu_s, alone_cpu_s = (statistics.median(run.cpu_s for run in runs) for runs in (ours, alone))
    lost, lost_alone = 1 - floor_s / our_s, 1 - floor_s / alone_s
    share, share_alone = our_cpu_s / our_s, alone_cpu_s / alone_s
    is_small = share - share_alone <= MOST_LOST
    name = f"{len(dialogues)} conversations, {AT_ONCE} at once (library alone)"
    return [
        _claim(f"{name}: wall time", our_s, alone_s, "ratio >= .95", alone_s / our_s >= 1 - MOST_LOST, "s"),
        _claim(f"{name}: lost", lost, lost_alone, "<= .05", lost <= MOST_LOST, "of 1"),
        _claim(f"{name}: one core's share", share, share_alone, "<= .05 more", is_small, "of 1"),
    ]


def at_rate_limit(dialogues: Sequence[Dialogue], root: Path, *, latency: Latency = LATENCY) -> list[Claim]:
    """All conversations under the server's rate limits and faults; then once more, all kept."""
    limits = ["--requests-per-minute", str(REQUESTS_A_MINUTE), "--tokens-per-minute", str(TOKENS_A_MINUTE)]
    with served(latency, *limits, "--faults", json.dumps(FAULTS)) as endpoint:
        profile = profile_for(endpoint, at_once=AT_ONCE_PACED, per_minute=REQUESTS_A_MINUTE)
        run = through_desk(dialogues, profile, root / "lake-paced")
        again = through_desk(dialogues, profile, root / "lake-paced")
    with Ledger(desk_folder(profile, root / "lake-paced"), profile.desk) as ledger:
        usd = sum(entry.usd for entry in ledger.spent())
    prompts = [first_prompt(dialogue.request, EMBEDDED.answers) for dialogue in dialogues]
    floor_s = rate_floor_s(prompts, run.tally.calls, latency, per_minute=REQUESTS_A_MINUTE)
    floor_s = max(floor_s, run.server["call_s"] / AT_ONCE_PACED)
    print(_line(f"the desk, {REQUESTS_A_MINUTE} calls a minute, faults", run, floor_s))
    print(_line("the desk, all kept", again, 0.0))
    asked, billed_usd = len(dialogues), run.server["usd"]
    is_fast, is_safe = floor_s / run.wall_s >= 1 - MOST_LOST, usd >= billed_usd - 1e-9
    is_kept = again.tally.calls == 0 and again.wall_s <= MOST_KEPT_S
    return [
        _claim(
            f"{asked} conversations, rate limits, faults (floor)", run.wall_s, floor_s, "ratio >= .95", is_fast, "s"
        ),
        Claim(
            "dollars in the ledger, faults (billed by the server)",
            usd,
            billed_usd,
            usd / billed_usd,
            ">= billed",
            is_safe,
            "usd",
        ),
        _claim(
            f"{asked} kept conversations again (written)", again.wall_s, run.wall_s, "0 calls, <= 5 s", is_kept, "s"
        ),
    ]


def estimated(dialogues: Sequence[Dialogue]) -> Claim:
    """What requests would take, from a sample of them, against all of them."""
    requests = [dialogue.request for dialogue in dialogues]
    model, price = call_name("gemini", EMBEDDED), PRICES[EMBEDDED.gemini.model]
    ask: dict[str, Any] = {"model": model, "price": price, "batch_from": 0, "found": frozenset, "usual": {}}
    ours = median_s(lambda: estimate(requests, EMBEDDED.answers, **ask))
    alternative = median_s(lambda: [estimate([request], EMBEDDED.answers, **ask) for request in requests])
    name = f"estimate of {len(requests)} conversations by a sample (by all)"
    return _claim(name, ours, alternative, "ratio >= 2", alternative / ours >= 2, "s")


def measure() -> list[Claim]:
    """All of it, in about four minutes."""
    import google.generativeai  # noqa: F401 - takes seconds, once in a process

    os.environ[KEY_NAME] = KEY
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        dialogues = sample_dialogues(root)
        claims = at_rate_limit(dialogues, root) + at_latency(dialogues[:CONVERSATIONS_A_ROUND], root)
        return [*claims, estimated(dialogues)]


def _timed(work: Callable[[], Tally], endpoint: str) -> Run:
    before_s, started_s = _cpu_s(), time.perf_counter()
    tally = work()
    wall_s, cpu_s = time.perf_counter() - started_s, _cpu_s() - before_s
    with urlopen(f"{endpoint}/_counters") as reply:  # noqa: S310 - the server that was started here
        return Run(wall_s, cpu_s, tally, json.load(reply))


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _line(name: str, run: Run, floor_s: float) -> str:
    tally, server = run.tally, run.server
    counts = f"{tally.calls} calls, {tally.retries} repeated, {tally.asked_again} asked again, {tally.refused} refused"
    times = f"{run.wall_s:.2f} s ({floor_s:.2f} s at least), {tally.requests / run.wall_s:.1f} requests/s"
    cpu = f"{1e3 * run.cpu_s / max(tally.calls, 1):.1f} ms of processor a call" if tally.calls else f"{run.cpu_s:.2f} s"
    money = f"{tally.usd:.4f} usd booked, {server['usd']:.4f} billed, {server['paid_twice']} calls billed twice"
    served_s = f"{server['call_s']:.1f} s in service, {server['most_at_once']} at once, statuses {server['statuses']}"
    return f"{name}: {times}; {counts}; {cpu}; {money}; {served_s}"


def _claim(name: str, ours: float, alternative: float, goal: str, holds: bool, unit: str) -> Claim:
    return Claim(name, ours, alternative, alternative / ours, goal, holds, unit)


if __name__ == "__main__":
    for claim in measure():
        print(*claim)
