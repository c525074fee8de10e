"""The sockets of the sample Gemini server: HTTP/1.1 with keep-alive, and replies that are cut, garbled or never come.

It knows nothing of Gemini: a call goes to `handle`, which says what to send and how to fail at that.
"""

import os
import socket
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

JSON_TYPE = "application/json; charset=UTF-8"
HTML_TYPE = "text/html; charset=UTF-8"
Delivery = Literal["whole", "cut_body", "cut_chunks", "reset"]


@dataclass(frozen=True, slots=True)
class HttpCall:
    """What a client sent; names of headers in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What is sent back, and whether all of it is."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)
    delivery: Delivery = "whole"


Handle = Callable[[HttpCall], HttpReply]


class HttpServer(ThreadingHTTPServer):
    """One thread for each connection; closing it closes the connections too."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], handle: Handle) -> None:
        super().__init__(address, _Handler)
        self.handle, self._lock = handle, Lock()
        self._connections: set[socket.socket] = set()

    @property
    def endpoint(self) -> str:
        """Where it listens, as clients want it."""
        return f"http://127.0.0.1:{self.server_port}"

    def opened(self, connection: socket.socket) -> None:
        """A client is there."""
        with self._lock:
            self._connections.add(connection)

    def closed(self, connection: socket.socket) -> None:
        """A client has gone."""
        with self._lock:
            self._connections.discard(connection)

    def stop(self) -> None:
        """No new connections, and an end to the open ones."""
        self.shutdown()
        self.server_close()
        with self._lock:
            for connection in self._connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:  # it has ended by itself
                    continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is everyday life here; anything else is a mistake of ours."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: HttpServer

    def setup(self) -> None:
        super().setup()
        self.server.opened(self.connection)

    def finish(self) -> None:
        self.server.closed(self.connection)
        super().finish()

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
        """Nothing: lines would hold the URL."""

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        self._send(self.server.handle(HttpCall(self.command, url.path, query, headers, body)))

    def _send(self, reply: HttpReply) -> None:
        head = self._head(reply)
        half = reply.body[: len(reply.body) // 2]
        match reply.delivery:
            case "reset":
                self._reset()
            case "cut_body":
                self.wfile.write(head + half)
                self.close_connection = True
            case "cut_chunks":  # one chunk and no last one
                self.wfile.write(head + b"%x\r\n%b\r\n" % (len(half), half))
                self.close_connection = True
            case _:
                self.wfile.write(head + reply.body)  # one send: two would wait for each other's acknowledgement

    def _head(self, reply: HttpReply) -> bytes:
        length = (
            "Transfer-Encoding: chunked" if reply.delivery == "cut_chunks" else f"Content-Length: {len(reply.body)}"
        )
        lines = [
            f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}",
            f"Date: {self.date_time_string()}",
            f"Content-Type: {reply.content_type}",
            length,
            *(f"{name}: {value}" for name, value in reply.headers.items()),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _reset(self) -> None:
        """RST instead of FIN. The descriptor is closed here, for the parent would say goodbye properly."""
        self.close_connection = True
        self.server.closed(self.connection)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
