"""The File API of the sample Gemini server: resumable uploads, and files by name."""

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from random import Random
from threading import Lock

from resources.sample.gemini.http import HttpCall, HttpReply
from resources.sample.gemini.protocol import ApiError, Json, bad_argument, encoded

LIFETIME = timedelta(hours=48)
CHUNK_BYTES = 262_144  # chunks but the last are multiples of this


@dataclass(frozen=True, slots=True)
class Stored:
    """A file. Only those that the service itself wrote may be downloaded."""

    name: str
    content: bytes
    mime_type: str
    display_name: str
    made_at: datetime
    is_generated: bool

    def card(self) -> Json:
        """What the service says of it."""
        digest = base64.b64encode(sha256(self.content).hexdigest().encode()).decode()
        uri = f"https://generativelanguage.googleapis.com/v1beta/{self.name}"
        card: Json = {
            "name": self.name,
            "displayName": self.display_name,
            "mimeType": self.mime_type,
            "sizeBytes": str(len(self.content)),
            "createTime": timestamp(self.made_at),
            "updateTime": timestamp(self.made_at),
            "expirationTime": timestamp(self.made_at + LIFETIME),
            "sha256Hash": digest,
            "uri": uri,
            "state": "ACTIVE",
            "source": "GENERATED" if self.is_generated else "UPLOADED",
        }
        return {**card, "downloadUri": f"{uri}:download?alt=media"} if self.is_generated else card


@dataclass(slots=True)
class Upload:
    """One upload under way."""

    name: str
    display_name: str
    mime_type: str
    size: int
    content: bytearray


class Files:
    """All files of a server, in memory."""

    def __init__(self, seed: int) -> None:
        self._lock, self._draw = Lock(), Random(f"{seed}/files")  # noqa: S311 - names, no secrets
        self._files: dict[str, Stored] = {}
        self._uploads: dict[str, Upload] = {}

    def fresh_name(self) -> str:
        """The last part of a resource's name."""
        with self._lock:
            return "".join(self._draw.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=12))

    def upload(self, call: HttpCall) -> HttpReply:
        """Both steps of a resumable upload: start, then chunks, the last one with `finalize`."""
        command = call.headers.get("x-goog-upload-command", "")
        if command == "start":
            return self._start(call)
        with self._lock:
            upload = self._uploads.get(call.query.get("upload_id", ""))
            if upload is None:
                raise ApiError(404, "NOT_FOUND", "The upload does not exist.")
            if int(call.headers.get("x-goog-upload-offset", 0)) != len(upload.content):
                raise bad_argument(f"The upload goes on at byte {len(upload.content)}.")
            upload.content += call.body
        if "finalize" not in command:
            if len(call.body) % CHUNK_BYTES:
                raise bad_argument(f"A chunk that is not the last must have a multiple of {CHUNK_BYTES} bytes.")
            return HttpReply(200, b"", headers={"X-Goog-Upload-Status": "active"})
        if len(upload.content) != upload.size:
            raise bad_argument(f"The upload has {len(upload.content)} bytes; {upload.size} were announced.")
        stored = self.store(
            bytes(upload.content), name=upload.name, mime_type=upload.mime_type, display_name=upload.display_name
        )
        del self._uploads[call.query["upload_id"]]
        return HttpReply(200, encoded({"file": stored.card()}), headers={"X-Goog-Upload-Status": "final"})

    def store(
        self, content: bytes, *, name: str, mime_type: str, display_name: str = "", is_generated: bool = False
    ) -> Stored:
        """Keep a file."""
        stored = Stored(name, content, mime_type, display_name, datetime.now(UTC), is_generated)
        with self._lock:
            self._files[name] = stored
        return stored

    def asked(self, call: HttpCall, name: str) -> Json:
        """List, get or delete."""
        if name == "files":
            with self._lock:
                cards = [stored.card() for stored in self._files.values()]
            return page_of("files", cards[::-1], call)
        if call.method == "DELETE":
            self.found(name)
            with self._lock:
                self._files.pop(name, None)
            return {}
        return self.found(name).card()

    def content(self, name: str) -> bytes:
        """What a download gives."""
        stored = self.found(name)
        if not stored.is_generated:
            raise bad_argument("Only generated files can be downloaded.")
        return stored.content

    def found(self, name: str) -> Stored:
        """The file of a name."""
        with self._lock:
            stored = self._files.get(name)
        if stored is None:  # as the service says it, whether the file is gone or another's
            file_id = name.removeprefix("files/")
            message = f"You do not have permission to access the File {file_id} or it may not exist."
            raise ApiError(403, "PERMISSION_DENIED", message)
        return stored

    def _start(self, call: HttpCall) -> HttpReply:
        try:
            asked = json.loads(call.body or b"{}").get("file", {})
            size = int(call.headers["x-goog-upload-header-content-length"])
        except (ValueError, KeyError, AttributeError) as error:
            raise bad_argument("An upload starts with a JSON object and the length in its headers.") from error
        mime_type = call.headers.get("x-goog-upload-header-content-type", "application/octet-stream")
        name = asked.get("name") or f"files/{self.fresh_name()}"
        upload_id = self.fresh_name()
        with self._lock:
            if name in self._files:
                raise ApiError(409, "ALREADY_EXISTS", f"File {name} already exists.")
            display_name = asked.get("displayName") or asked.get("display_name") or ""
            self._uploads[upload_id] = Upload(name, display_name, mime_type, size, bytearray())
        host = call.headers.get("host", "127.0.0.1")
        url = f"http://{host}{call.path}?upload_id={upload_id}&upload_protocol=resumable"
        return HttpReply(200, b"{}", headers={"X-Goog-Upload-Status": "active", "X-Goog-Upload-URL": url})


def page_of(field: str, rows: list[Json], call: HttpCall) -> Json:
    """One page of a list, and the token of the next."""
    start, size = int(call.query.get("pageToken") or 0), int(call.query.get("pageSize") or 50)
    if start + size < len(rows):
        return {field: list(rows[start : start + size]), "nextPageToken": str(start + size)}
    return {field: list(rows[start:])} if rows[start:] else {}


def timestamp(time: datetime) -> str:
    """RFC 3339 in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
