"""Gemini over REST, one call at a time, through google-generativeai 0.8.6.

That library is no longer looked after (the Batch API is in `resources.gemini_batch`, through google-genai), and this
is the only file that knows it. Safety settings stay the service's own: its filters beside the model's own judgement
are off unless asked for, and what stops lyrics, recitation, is no setting.
"""

import re
import time
import warnings
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from threading import local
from typing import TYPE_CHECKING, Any

from resources.desk.calls import CallError, Prompt, Reply
from resources.desk_settings import DeskSection, Gemini
from resources.gemini_replies import error_of, reply_of, without_key
from resources.gemini_schema import gemini_schema

if TYPE_CHECKING:
    import requests

KEY_NAME = "GEMINI_API_KEY"
CHUNK_BYTES = 1 << 16


def api_key(environment: Mapping[str, str]) -> str:
    """The key; empty where it is not set, which is enough for replies that are kept.

    Raises ValueError, without showing it, where it can't be one.
    """
    key = environment.get(KEY_NAME, "").strip()
    if not re.fullmatch(r"[!-~]*", key):
        raise ValueError(f"{KEY_NAME} holds spaces, line breaks or other characters that no key has; set it again")
    return key


def no_key() -> CallError:
    """What a call without a key ends with, before anything is sent."""
    return CallError(
        "rejected", f"{KEY_NAME} is not set: wanted the key of a Google AI Studio project, in the environment"
    )


def checked_endpoint(settings: Gemini) -> str:
    """Where the service is, without a slash at the end; empty: Google's. Raises ValueError for what is no URL."""
    if settings.endpoint and not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", settings.endpoint):
        raise ValueError(f"gemini.endpoint={settings.endpoint!r}: wanted a URL, as http://127.0.0.1:8080, or nothing")
    if not re.fullmatch(r"(models/|tunedModels/)?[\w.-]+", settings.model):
        raise ValueError(f"gemini.model={settings.model!r}: wanted the id of a model, as in gemini-2.5-flash")
    return settings.endpoint.rstrip("/")


def reply_name(settings: Gemini) -> str:
    """What decides the replies. An endpoint of one's own does too: a server for trying things out is not Gemini."""
    name = f"gemini/{settings.model.removeprefix('models/')}/temperature={settings.temperature},top_p={settings.top_p}"
    return f"{name}, at {settings.endpoint}" if settings.endpoint else name


class GeminiCalls:
    """Calls that each send one request and never repeat it; for any number of threads at once.

    Without a key every call is rejected.
    """

    def __init__(self, settings: Gemini, desk: DeskSection, key: str) -> None:
        self._settings, self._desk, self._key = settings, desk, key
        self._seen = local()
        self._client = self._connected(checked_endpoint(settings))

    @property
    def name(self) -> str:
        """The name that replies are kept under."""
        return reply_name(self._settings)

    def call(self, prompt: Prompt) -> Reply:
        """What the model replied, good or not. Raises CallError where there is no reply."""
        if not self._key:
            raise no_key()
        self._seen.most_output, self._seen.reply = prompt.max_output_tokens, None
        error = self._error_of_sending(prompt)
        if error is not None:  # here nothing points to what a library raised, which holds the key's header
            raise without_key(error, self._key)
        reply: Reply = self._seen.reply
        return reply

    def _error_of_sending(self, prompt: Prompt) -> CallError | None:
        import requests
        from google.api_core.timeout import ConstantTimeout
        from google.protobuf.json_format import ParseError  # type: ignore[import-untyped]
        from urllib3.exceptions import HTTPError, ReadTimeoutError

        limits = ConstantTimeout((self._desk.connect_timeout_s, self._desk.read_timeout_s))
        contents = [{"role": message.role, "parts": [message.text]} for message in prompt.messages]
        try:
            self._model(prompt).generate_content(contents, request_options={"timeout": limits, "retry": None})
        except ParseError:
            pass  # some field that we don't read; what we do was read before
        except CallError as error:
            return error
        except (requests.exceptions.ReadTimeout, ReadTimeoutError):
            return CallError("timeout", f"no reply within {self._desk.read_timeout_s:g} s")
        except (requests.exceptions.RequestException, HTTPError) as error:
            return _connection_error(error)
        return None

    def _model(self, prompt: Prompt) -> Any:
        from google.generativeai.generative_models import GenerativeModel

        config: Any = {
            "candidate_count": 1,
            "temperature": self._settings.temperature,
            "top_p": self._settings.top_p,
            "max_output_tokens": prompt.max_output_tokens,
            "response_mime_type": "application/json",
            "response_schema": gemini_schema(prompt.schema),
        }
        model = GenerativeModel(self._settings.model, generation_config=config, system_instruction=prompt.instructions)
        model._client = self._client  # its own would come from settings that all of the process share
        return model

    def _connected(self, endpoint: str) -> Any:
        """The library's client with a session of ours: one pool of connections, no cookies, no second calls."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # that support of the library has ended
            import google.generativeai  # noqa: F401 - here, where its warning is not shown
            from google.ai.generativelanguage import GenerativeServiceClient
            from google.ai.generativelanguage_v1beta.services.generative_service.transports.rest import (
                GenerativeServiceRestTransport,
            )
        from google.auth.credentials import AnonymousCredentials
        from requests.adapters import HTTPAdapter

        host = endpoint or GenerativeServiceClient.DEFAULT_ENDPOINT
        transport = GenerativeServiceRestTransport(host=host, credentials=AnonymousCredentials())
        session = transport._session
        # Once, not at every call: what the environment says of proxies and certificates.
        said = session.merge_environment_settings(transport._host, {}, None, None, None)
        session.trust_env, session.proxies, session.verify = False, said["proxies"], said["verify"]
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=self._desk.concurrency))
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # Here and not in credentials, whose headers the library writes into its log.
        session.auth = self._with_key
        # It sees each response first: before a redirect is followed with the key, or 401 is tried again.
        session.hooks["response"].append(self._read)
        return GenerativeServiceClient(transport=transport)

    def _with_key(self, request: "requests.PreparedRequest") -> "requests.PreparedRequest":
        request.headers["x-goog-api-key"] = self._key
        return request

    def _read(self, response: "requests.Response", **_: Any) -> None:
        """Reads the reply, or raises CallError."""
        body = self._body(response)
        response._content = body  # what is read from the connection is not there a second time
        if response.status_code != 200:
            raise error_of(response.status_code, body, retry_after=response.headers.get("Retry-After"))
        # No tokenizer makes more tokens of a text than it has bytes.
        sent = response.request.body
        most_input = len(sent) if isinstance(sent, str | bytes) else 0
        self._seen.reply = reply_of(body, most_input=most_input, most_output=self._seen.most_output)

    def _body(self, response: "requests.Response") -> bytes:
        """All of the body in time, however slowly it drips: the library's limit is one for each piece."""
        ends_s = time.monotonic() + self._desk.read_timeout_s
        pieces = []
        while piece := response.raw.read1(CHUNK_BYTES, decode_content=True):
            pieces.append(piece)
            if time.monotonic() > ends_s:
                raise CallError("timeout", f"the reply was not whole within {self._desk.read_timeout_s:g} s")
        return b"".join(pieces)


def _connection_error(error: Exception) -> CallError:
    """A call that failed below HTTP: before there was a connection, or later, when it may have been billed."""
    import requests
    from urllib3.exceptions import NewConnectionError

    reason = getattr(error.args[0] if error.args else None, "reason", None)
    detail = f"{type(error).__name__}: {reason or error}"
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader)):
        return CallError("rejected", "the request can't be sent; check gemini.endpoint and GEMINI_API_KEY")
    never = (requests.exceptions.ConnectTimeout, requests.exceptions.SSLError, requests.exceptions.ProxyError)
    if isinstance(error, never) or isinstance(reason, NewConnectionError):
        return CallError("outage", f"no connection; check the network and gemini.endpoint: {detail}")
    return CallError("bad_body", f"the connection broke off: {detail}")
