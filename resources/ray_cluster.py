"""The Ray cluster of this process: the one that RAY_ADDRESS names, or one of its own on this machine.

Ray's ports listen on every interface and run whatever they are sent; the token is the guard (faults.md C.1). So a
cluster of our own always has one, fresh for each process, and a cluster elsewhere is not joined without.
"""

import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REACH_TIMEOUT_S = 10.0
TO_BE_LET_IN = (
    "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH, a file) to what the cluster was started with"
)
NOT_LET_IN = f"Ray did not let us in; the token is missing or another: {TO_BE_LET_IN}"
ASK_TIMEOUT_S = 20.0  # a head node answers in less than a second
NO_TOKEN = 3
ASK = f"""
import sys, ray
try:
    ray._raylet.GcsClient(address=sys.argv[1])
except ray.exceptions.AuthenticationError:
    sys.exit({NO_TOKEN})
"""
_ONE_AT_A_TIME = threading.Lock()


class ClusterError(ConnectionError):
    """A Ray cluster that can't be reached, doesn't know us, or must not be joined without a token."""


def connected() -> Any:
    """The ray module, connected: to RAY_ADDRESS, or else to a cluster that ends with this process.

    The first call connects and later ones find it so; Ray itself disconnects when the process ends. Raises
    ClusterError.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    with _ONE_AT_A_TIME:
        if not ray.is_initialized():
            with _sigterm_kept():
                if is_own():
                    _start_own()
                else:
                    _join(os.environ["RAY_ADDRESS"])
    return ray


def is_own() -> bool:
    """Whether the cluster is, or will be, this process's own."""
    return os.environ.get("RAY_ADDRESS", "") in ("", "local")


def _start_own() -> None:
    import ray

    # Its processes inherit the token from this environment; nothing else that this process starts needs it.
    before = {name: os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")}
    os.environ.pop("RAY_AUTH_TOKEN_PATH", None)
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    try:
        _use_token()
        ray.init(
            address="local",
            num_cpus=os.cpu_count(),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _join(address: str) -> None:
    import ray

    head = _head_here() if address == "auto" else address
    named = address if head == address else f"{address} ({head})"
    _check(head)
    if _token_found():
        _use_token()
    _check_answers(head, named)
    try:
        ray.init(address=head, log_to_driver=False, logging_level=logging.ERROR)
    except ray.exceptions.AuthenticationError as error:
        raise ClusterError(f"RAY_ADDRESS={named}: {NOT_LET_IN}") from error
    except ConnectionError as error:
        raise ClusterError(f"RAY_ADDRESS={named}: the head node answers, but Ray could not join: {error}") from error


def _head_here() -> str:
    """Where the head node of a cluster on this machine listens."""
    from ray._private.services import canonicalize_bootstrap_address

    try:
        return str(canonicalize_bootstrap_address("auto"))
    except ConnectionError as error:
        raise ClusterError(
            "RAY_ADDRESS=auto: no Ray cluster was found on this machine; start one (ray start --head), name one by"
            " host:port, or unset RAY_ADDRESS for one of the run's own"
        ) from error


def _check(address: str) -> None:
    """Raises ClusterError for an address that is not host:port, that nobody answers at, or that needs a token."""
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        raise ClusterError(f"RAY_ADDRESS={address}: wanted host:port of the head node (6379 as a rule), auto or local")
    host = host.strip("[]")
    if not _is_this_machine(host) and not (_token_found() and os.environ.get("RAY_AUTH_MODE", "token") == "token"):
        raise ClusterError(f"RAY_ADDRESS={address}: another machine is not joined without a token; {TO_BE_LET_IN}")
    try:
        socket.create_connection((host, int(port)), timeout=REACH_TIMEOUT_S).close()
    except OSError as error:
        raise ClusterError(f"RAY_ADDRESS={address}: nobody answers there ({error}); is the cluster up?") from error


def _check_answers(address: str, named: str) -> None:
    """Raises ClusterError if no head node of a cluster answers there, or one that does not know us.

    Ray itself waits more than six minutes for something else that listens, and 20 seconds after a wrong token; it can
    be ended only as a process.
    """
    try:
        asked = subprocess.run(  # noqa: S603 - our own code
            [sys.executable, "-P", "-c", ASK, address], capture_output=True, timeout=ASK_TIMEOUT_S, check=False
        )
        status, answer = asked.returncode, asked.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    except subprocess.TimeoutExpired:
        status, answer = None, f"none within {ASK_TIMEOUT_S:g} s"
    if status == NO_TOKEN:
        raise ClusterError(f"RAY_ADDRESS={named}: {NOT_LET_IN}")
    if status != 0:
        raise ClusterError(
            f"RAY_ADDRESS={named}: something listens there, but did not answer as the head node of a Ray cluster"
            f" ({answer}); check the port: it is the one of ray start --head --port (6379 as a rule), not the"
            " dashboard's (8265) or the client's (10001)"
        )


def _token_found() -> bool:
    """Whether Ray will find a token: the three places that it looks at, in its order."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return True
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path.home() / ".ray" / "auth_token"
    is_there = path.is_file() and path.stat().st_size > 0
    if named and not is_there:
        raise ClusterError(f"RAY_AUTH_TOKEN_PATH={named}: no such file, or an empty one; {TO_BE_LET_IN}")
    return is_there


def _use_token() -> None:
    """Ray reads its environment once, when it is imported, and keeps the token: both are read anew."""
    import ray

    raylet: Any = ray._raylet
    os.environ["RAY_AUTH_MODE"] = "token"
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


def _is_this_machine(host: str) -> bool:
    """Only an address of this machine can be bound."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            probe.bind(address)
    except OSError:
        return False
    return True


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Ray puts a handler of its own in place of Dagster's, which ends a run in order."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if callable(before) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)
