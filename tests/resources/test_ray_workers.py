"""Workers on a real Ray cluster: two nodes on this machine, with a token."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from resources.checkpoints import CheckpointError
from resources.model_settings import WorkersSection
from resources.ray_cluster import ClusterError, _check, _join, _use_token, connected
from resources.ray_workers import RayPool, WorkersError
from resources.refusals import Refusal
from resources.stations import Order, Station

ROOT = Path(__file__).parents[2]
SINES = "tests.resources.ray_test_workers:Sines"
AUTH = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes; this process joins them as a person's would, by RAY_ADDRESS and RAY_AUTH_TOKEN."""
    import ray
    from ray.cluster_utils import Cluster

    ray.shutdown()
    patch = pytest.MonkeyPatch()
    for name in AUTH:
        patch.delenv(name, raising=False)
    patch.setenv("RAY_AUTH_MODE", "token")
    patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    _use_token()  # ray may have been imported before, and has read its environment
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "num_gpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1, num_gpus=1)
    patch.setenv("RAY_ADDRESS", cluster.address)
    yield cluster
    ray.shutdown()
    agents = [child for node in cluster.list_all_nodes() for child in _children(_raylet(node))]
    cluster.shutdown()
    _kill(agents)  # they wait for minutes for the head node to come back
    patch.undo()


@pytest.fixture
def pool(cluster: Any, tmp_path: Path) -> Iterator[RayPool]:
    """One worker, of class Sines, that keeps its files in tmp_path."""
    pool = RayPool(SINES, str(tmp_path), section=WorkersSection(count=1, preparers=0))
    yield pool
    pool.close()


def _orders(*items: str) -> list[Order]:
    return [Order(item, ("sine", "again")) for item in items]


def _all(pool: RayPool, batches: list[list[Order]]) -> dict[int, list[dict[str, Any]]]:
    outcomes = list(pool.stream(batches))
    assert sorted(number for number, _ in outcomes) == list(range(len(batches)))
    return dict(outcomes)


def _bits(outcomes: list[dict[str, Any]]) -> list[dict[str, bytes]]:
    return [{want: vector.tobytes() for want, vector in outcome.items()} for outcome in outcomes]


def test_results_are_those_of_a_station_to_the_bit(pool: RayPool, tmp_path: Path) -> None:
    """A cluster gives what a Station in this process gives, for every batch, even an empty one."""
    batches = [_orders("one", "three"), _orders("four"), []]
    station = Station(SINES, str(tmp_path), preparers=0)

    outcomes = _all(pool, batches)

    assert [_bits(outcomes[number]) for number in range(3)] == [_bits(station.do(batch)) for batch in batches]


def test_models_load_once_for_two_streams(pool: RayPool, tmp_path: Path) -> None:
    """A pool of one worker makes it once, however many batches and streams there are."""
    _all(pool, [_orders(f"track {number}") for number in range(5)])
    _all(pool, [_orders("another")])

    assert len(list(tmp_path.glob("born-*"))) == 1


def test_a_killed_worker_changes_nothing(pool: RayPool, tmp_path: Path) -> None:
    """A worker is killed while it has two batches: another does them, and every result is there."""
    batches = [_orders("one"), _orders("two", "die_once:mark"), _orders("three")]

    outcomes = _all(pool, batches)

    expected = Station(SINES, str(tmp_path), preparers=0)
    assert [_bits(outcomes[number]) for number in range(3)] == [_bits(expected.do(batch)) for batch in batches]
    assert len(list(tmp_path.glob("born-*"))) == 3  # two workers, and the station here


def test_a_poisonous_order_is_refused_alone(pool: RayPool) -> None:
    """What kills every worker is refused for all that is wanted of it; its batch and the others are done."""
    outcomes = _all(pool, [_orders("one"), _orders("two", "die:always"), _orders("three")])

    poison = outcomes[1][1]
    assert {want: (value.source, value.reason) for want, value in poison.items()} == {
        "sine": (SINES, "worker_died"),
        "again": (SINES, "worker_died"),
    }
    others = [*outcomes[0], outcomes[1][0], *outcomes[2]]
    assert not any(isinstance(value, Refusal) for outcome in others for value in outcome.values())


def test_an_error_of_a_worker_arrives_as_it_was(pool: RayPool) -> None:
    """Its type and message are kept, a note says where it came from, and finished batches come before it."""
    stream = pool.stream([_orders("one"), _orders("raise:another file")])

    number, _ = next(stream)
    with pytest.raises(CheckpointError) as caught:
        list(stream)

    assert number == 0
    assert type(caught.value) is CheckpointError
    assert str(caught.value) == "another file"
    assert "in _act" in caught.value.__notes__[0]


def test_an_error_of_a_constructor_arrives_as_it_was(cluster: Any, tmp_path: Path) -> None:
    """A worker that can't be made raises what its constructor raised."""
    pool = RayPool(SINES.replace("Sines", "Unmakable"), str(tmp_path / "there"), section=WorkersSection(preparers=0))

    with pytest.raises(ConnectionError, match="no way to there") as caught:
        list(pool.stream([_orders("one")]))

    assert type(caught.value) is ConnectionError
    assert str(caught.value) == "no way to there"


def test_an_error_that_cannot_travel_arrives_in_words(cluster: Any, tmp_path: Path) -> None:
    """An exception that can't be unpickled becomes a RuntimeError that names it."""
    pool = RayPool(SINES.replace("Sines", "Unspeakable"), str(tmp_path), section=WorkersSection(preparers=0))

    with pytest.raises(RuntimeError, match="TwoWordsError: two words"):
        list(pool.stream([_orders("one")]))


def test_a_module_that_is_missing_on_a_node_says_what_to_do(cluster: Any) -> None:
    """The error of an import names the module and asks for the same installation on every node."""
    pool = RayPool("no_such_module:Worker", "", section=WorkersSection(preparers=0))

    with pytest.raises(ModuleNotFoundError, match=r"'no_such_module'; every node .* same installation"):
        list(pool.stream([_orders("one")]))


def test_workers_that_never_live_are_not_made_for_ever(cluster: Any, tmp_path: Path) -> None:
    """Three workers die in their constructor: that is an error, which speaks of memory."""
    pool = RayPool(SINES.replace("Sines", "Stillborn"), str(tmp_path), section=WorkersSection(preparers=0))

    with pytest.raises(WorkersError, match=r"3 workers in a row died before they were ready. If memory"):
        list(pool.stream([_orders("one")]))


def test_two_batches_are_under_way_in_one_worker(pool: RayPool, tmp_path: Path) -> None:
    """Two orders of two batches wait for each other, in one process: neither finishes without the other."""
    outcomes = _all(pool, [_orders("meet:meet-1"), _orders("meet:meet-2")])

    assert not any(isinstance(value, Refusal) for batch in outcomes.values() for value in batch[0].values())
    assert len(list(tmp_path.glob("born-*"))) == 1


def test_a_stream_may_be_left_early(pool: RayPool, tmp_path: Path) -> None:
    """Whoever stops listening frees the worker from what it was at; the next stream gets its own results only."""
    stream = pool.stream([_orders("linger:mark"), _orders("two")])
    assert next(stream)[0] == 1
    stream.close()

    outcomes = _all(pool, [_orders("three")])

    assert _bits(outcomes[0]) == _bits(Station(SINES, str(tmp_path), preparers=0).do(_orders("three")))


@pytest.mark.parametrize("gpus_each", [0.0, 0.5])
def test_workers_spread_over_the_nodes(cluster: Any, tmp_path: Path, gpus_each: float) -> None:
    """Two workers are on two nodes, though one has room for both."""
    pool = RayPool(SINES, str(tmp_path), section=WorkersSection(count=2, preparers=0, gpus_each=gpus_each))

    _all(pool, [_orders("one"), _orders("two")])

    assert len({hand.node for hand in pool._hands}) == 2
    pool.close()


def test_workers_without_a_place_say_what_is_missing(cluster: Any, tmp_path: Path) -> None:
    """More GPUs than any node has: after the time given, the error counts what is there."""
    pool = RayPool(SINES, str(tmp_path), section=WorkersSection(gpus_each=2, preparers=0), start_timeout_s=1.0)

    with pytest.raises(WorkersError, match="0 of 1 workers placed: wanted 2 GPUs each, the cluster has 2 on 2 nodes"):
        list(pool.stream([_orders("one")]))


def test_a_share_of_several_gpus_is_refused() -> None:
    """Ray gives a share of one GPU or whole ones; a pool says so before it starts anything."""
    with pytest.raises(ValueError, match=r"workers.gpus_each=1.5: above 1 only whole GPUs"):
        RayPool(SINES, "", section=WorkersSection(gpus_each=1.5))


@pytest.mark.parametrize("token", ["0" * 64, ""])
def test_who_lacks_the_token_is_not_let_in(cluster: Any, tmp_path: Path, token: str) -> None:
    """Another token than the cluster's, or none: one clear error."""
    environment = {name: value for name, value in os.environ.items() if name not in AUTH or name == "RAY_ADDRESS"}
    environment |= {"HOME": str(tmp_path), "RAY_NUM_REDIS_GET_RETRIES": "1"} | (
        {"RAY_AUTH_TOKEN": token} if token else {}
    )

    printed = subprocess.run(
        [sys.executable, "-c", "from resources.ray_cluster import connected; connected()"],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    ).stderr  # fmt: skip

    assert "ClusterError: RAY_ADDRESS=" in printed.splitlines()[-1]
    assert "the token is missing or another: set RAY_AUTH_MODE=token" in printed.splitlines()[-1]


def test_no_other_machine_is_joined_without_a_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An address elsewhere is refused before anything is sent there, and so is a switched-off token."""
    for name in AUTH:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ClusterError, match="not joined without a token"):
        _check("203.0.113.7:6379")

    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(ClusterError, match="not joined without a token"):
        _check("203.0.113.7:6379")


@pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "head", "127.0.0.1:", ":6379"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    """Only host:port names a cluster: Ray's client protocol and its like are not supported."""
    with pytest.raises(ClusterError, match="wanted host:port"):
        _check(address)


def test_an_address_where_nobody_answers_is_refused_at_once() -> None:
    """Ray alone would try for 20 seconds, and say less."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ClusterError, match="nobody answers there"):
            _check(f"127.0.0.1:{unused.getsockname()[1]}")


@pytest.mark.parametrize("answer", [b"HTTP/1.0 400 Bad Request\r\n\r\n", b""])
def test_an_address_where_something_else_answers_is_refused(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    """A web server, or who says nothing: Ray alone would try for more than six minutes."""
    monkeypatch.setattr("resources.ray_cluster.ASK_TIMEOUT_S", 4.0)
    with ThreadPoolExecutor(1) as threads, socket.create_server(("127.0.0.1", 0)) as server:
        threads.submit(_answer_all, server, answer)
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ClusterError, match=rf"RAY_ADDRESS={address}: something listens there.* check the port"):
            _join(address)
        server.shutdown(socket.SHUT_RDWR)


def _answer_all(server: socket.socket, answer: bytes) -> None:
    connections = []
    with suppress(OSError):
        while True:
            connections.append(server.accept()[0])
            connections[-1].sendall(answer)
            if answer:
                connections[-1].close()


def test_a_port_of_ray_that_is_not_the_head_nodes_is_refused(cluster: Any) -> None:
    """The raylet's own answers, but knows nothing of what the head node is asked."""
    address = f"127.0.0.1:{connected().nodes()[0]['NodeManagerPort']}"
    with pytest.raises(ClusterError, match="did not answer as the head node"):
        _join(address)


def test_auto_without_a_cluster_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """No word of tokens, which would help nobody."""
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", set)
    monkeypatch.setattr("ray._private.services.find_bootstrap_address", lambda _: None)
    with pytest.raises(ClusterError, match=r"RAY_ADDRESS=auto: no Ray cluster was found on this machine"):
        _join("auto")


def test_the_token_is_in_no_log(cluster: Any) -> None:
    """None of the files that Ray wrote for this session holds the token."""
    token = os.environ["RAY_AUTH_TOKEN"].encode()
    files = [path for path in Path(cluster.head_node.get_session_dir_path()).rglob("*") if path.is_file()]

    assert len(files) > 5
    assert not [path for path in files if token in path.read_bytes()]


@pytest.mark.parametrize("is_own", [True, False])
def test_a_killed_driver_leaves_no_worker_behind(cluster: Any, tmp_path: Path, is_own: bool) -> None:
    """Its worker ends with it, on a cluster of its own and on one that was there; and it printed nothing."""
    environment = {name: value for name, value in os.environ.items() if name not in AUTH or not is_own}
    code = (
        "import sys\nfrom resources.model_settings import WorkersSection\nfrom resources.ray_workers import RayPool\n"
        "from resources.stations import Order\n"
        f"pool = RayPool({SINES!r}, sys.argv[1], section=WorkersSection(preparers=0))\n"
        "list(pool.stream([[Order('linger:mark', ('sine',))]]))\n"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], env=environment, cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    _wait_until((tmp_path / "mark").exists)
    (born,) = tmp_path.glob("born-*")
    agents = [agent for child in _children(driver.pid) for agent in _children(child)]

    driver.kill()

    try:
        _wait_until(lambda: _state(born.name.removeprefix("born-"))[0] == "Z")
        assert driver.communicate(timeout=30)[0] == ""
    finally:
        _kill(agents)


def test_a_killed_node_changes_nothing(cluster: Any, tmp_path: Path) -> None:
    """All processes of one of two nodes are killed, as when a machine fails: the other does its work."""
    pool = RayPool(SINES, str(tmp_path), section=WorkersSection(count=2, preparers=0))
    _all(pool, [_orders("warm"), _orders("up")])
    batches = [_orders("linger:mark-1"), _orders("linger:mark-2"), _orders("three"), _orders("four")]
    stream = pool.stream(batches)
    outcomes = dict([next(stream), next(stream)])

    assert len({hand.node for hand in pool._hands}) == 2
    (node,) = cluster.worker_nodes
    _kill([_raylet(node), *_children(_raylet(node))])
    (tmp_path / "let-go").touch()
    outcomes |= dict(stream)

    expected = Station(SINES, str(tmp_path), preparers=0)
    assert [_bits(outcomes[number]) for number in range(4)] == [_bits(expected.do(batch)) for batch in batches]
    pool.close()


def _state(pid: str) -> tuple[str, str]:
    """A process's state and its parent; Z for one that has ended, whether or not its parent asked how."""
    try:
        state, parent = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[:2]
    except FileNotFoundError:
        return "Z", ""
    return state, parent


def _children(pid: int) -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if _state(path.name)[1] == str(pid)]


def _raylet(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _wait_until(is_so: Callable[[], bool], *, timeout_s: float = 60.0) -> None:
    end = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)
