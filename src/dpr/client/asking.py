"""``Client`` and ``AsyncClient``: calls to a service over HTTP, sent again where it says so.

Takes what ``calls`` makes; gives what its answers hold, or a ``ServiceError``. Knows nothing of
what is asked.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, Unpack
from urllib.parse import urlsplit

from dpr import __version__
from dpr.client import calls
from dpr.client.calls import Call, InputType, Narrowed
from dpr.client.results import Answered, Change, Found
from dpr.client.retrying import Course, RetrySettings
from dpr.errors import MissingExtraError, ServiceError, SettingsError
from dpr.records import Document

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2

T = TypeVar("T")

_SHOWN = 200  # characters of an answer that is no problem details


class Client:
    """Asks a service; safe to share between threads. Close it, or use it in a ``with``.

    Args:
        url: of the service, such as ``http://127.0.0.1:8000``.
        key: where the service wants one.
        retries: how long and how often a call is tried.
        transport: httpx2's, in place of the network.

    Raises:
        MissingExtraError: httpx2 is not installed.
        SettingsError: no URL of HTTP, or a key that no header can hold.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        retries: RetrySettings | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        made, self._url = _httpx2().Client, _shown(url)
        self._http = made(base_url=url, headers=_headers(key), transport=transport)
        self._retries = retries or RetrySettings()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def search(self, question: str, k: int = 10, **narrowed: Unpack[Narrowed]) -> Found:
        """The k best passages for a question.

        Args:
            narrowed: ``mode`` (``dense``, ``bm25``, ``hybrid``, ``auto``), ``where`` (filters, as
                ``Pipeline.search`` takes them: ``{"year": {">=": 1990}}``), ``per_document`` (at
                most so many passages of a document).

        Raises:
            ServiceError: the service refused, failed, or did not answer in time.
        """
        return self.search_many([question], k, **narrowed)[0]

    def search_many(
        self, questions: Iterable[str], k: int = 10, **narrowed: Unpack[Narrowed]
    ) -> list[Found]:
        """``search`` for many questions, in their order; sent 64 at a time, each with a deadline
        of its own. Results state the version that they are of."""
        return [one for call in calls.searches(questions, k, narrowed) for one in self._do(call)]

    def answer(self, question: str, k: int = 10, **narrowed: Unpack[Narrowed]) -> Answered:
        """The answers to a question, and the hits that they stand in; see ``search``."""
        return self.answer_many([question], k, **narrowed)[0]

    def answer_many(
        self, questions: Iterable[str], k: int = 10, **narrowed: Unpack[Narrowed]
    ) -> list[Answered]:
        """``answer`` for many questions; see ``search_many``."""
        return [one for call in calls.answers(questions, k, narrowed) for one in self._do(call)]

    def embed(self, texts: Iterable[str], input_type: InputType = "query") -> list[list[float]]:
        """Vectors of texts, as the model makes them: their inner products rank passages."""
        return [one for call in calls.embeddings(texts, input_type) for one in self._do(call)]

    def add(self, documents: Iterable[Document], *, replace: bool = False) -> Change:
        """Adds documents, by a key for changes; they can be found when it returns. Their ids,
        texts, titles and metadata are sent, and at most 256 at once.

        Args:
            replace: take the places of other sources' documents too.
        """
        return self._do(calls.adding(documents, replace))

    def remove(self, document: str) -> Change:
        """Removes a document, by a key for changes."""
        return self._do(calls.removing(document))

    def info(self) -> dict[str, Any]:
        """What is served, as ``/info`` says it."""
        return self._do(calls.telling())

    def _do(self, call: Call[T]) -> T:
        course = Course(self._retries)
        while True:
            try:
                with _told(self._url, course):
                    return _read(call, *self._once(call, course))
            except ServiceError as error:
                time.sleep(course.pause(error, harmless=call.harmless))

    def _once(self, call: Call[Any], course: Course) -> tuple[int, Mapping[str, str], bytes]:
        left, parts = course.left, []
        sent = _sent(call)
        with self._http.stream(call.method, call.path, timeout=left, **sent) as given:
            for part in given.iter_bytes():
                parts.append(part)
                if not course.left:  # httpx2 limits each part, and not all of them together
                    raise course.late()
            return given.status_code, given.headers, b"".join(parts)


class AsyncClient:
    """``Client`` for asyncio: the same methods, to be awaited. Use it in an ``async with``."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        retries: RetrySettings | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        made, self._url = _httpx2().AsyncClient, _shown(url)
        self._http = made(base_url=url, headers=_headers(key), transport=transport)
        self._retries = retries or RetrySettings()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def search(self, question: str, k: int = 10, **narrowed: Unpack[Narrowed]) -> Found:
        """See ``Client.search``."""
        return (await self.search_many([question], k, **narrowed))[0]

    async def search_many(
        self, questions: Iterable[str], k: int = 10, **narrowed: Unpack[Narrowed]
    ) -> list[Found]:
        """See ``Client.search_many``."""
        made = calls.searches(questions, k, narrowed)
        return [one for call in made for one in await self._do(call)]

    async def answer(self, question: str, k: int = 10, **narrowed: Unpack[Narrowed]) -> Answered:
        """See ``Client.answer``."""
        return (await self.answer_many([question], k, **narrowed))[0]

    async def answer_many(
        self, questions: Iterable[str], k: int = 10, **narrowed: Unpack[Narrowed]
    ) -> list[Answered]:
        """See ``Client.answer_many``."""
        made = calls.answers(questions, k, narrowed)
        return [one for call in made for one in await self._do(call)]

    async def embed(
        self, texts: Iterable[str], input_type: InputType = "query"
    ) -> list[list[float]]:
        """See ``Client.embed``."""
        made = calls.embeddings(texts, input_type)
        return [one for call in made for one in await self._do(call)]

    async def add(self, documents: Iterable[Document], *, replace: bool = False) -> Change:
        """See ``Client.add``."""
        return await self._do(calls.adding(documents, replace))

    async def remove(self, document: str) -> Change:
        """See ``Client.remove``."""
        return await self._do(calls.removing(document))

    async def info(self) -> dict[str, Any]:
        """See ``Client.info``."""
        return await self._do(calls.telling())

    async def _do(self, call: Call[T]) -> T:
        course = Course(self._retries)
        while True:
            try:
                with _told(self._url, course):
                    async with asyncio.timeout(course.left):
                        given = await self._http.request(
                            call.method, call.path, timeout=course.left, **_sent(call)
                        )
                    return _read(call, given.status_code, given.headers, given.content)
            except ServiceError as error:
                await asyncio.sleep(course.pause(error, harmless=call.harmless))


def _httpx2() -> ModuleType:
    try:
        import httpx2
    except ImportError:
        raise MissingExtraError("httpx2", "client", "asking a service") from None
    return httpx2


def _shown(url: str) -> str:
    """The URL without a password, to be shown in errors.

    Raises:
        SettingsError: it is none of HTTP.
    """
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known or "@" in parts.path + parts.query + parts.fragment:
        # It may hold a password, wherever that went.
        raise SettingsError(
            "url is no address of HTTP, with a host behind http:// or https:// and characters of "
            "a password escaped; give one such as http://127.0.0.1:8000"
        )
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _headers(key: str | None) -> dict[str, str]:
    if key is not None and not re.fullmatch("[!-~]+", key):
        # httpx2 would fail at the first call, with an error that shows the key.
        raise SettingsError(
            f"the key has {len(key)} characters, and not all are printable ASCII without spaces; "
            "give it as the service knows it (of a file, without its line's end: .strip())"
        )
    headers = {"user-agent": f"dense-passage-retrieval/{__version__}"}
    return headers | ({"authorization": f"Bearer {key}"} if key else {})


def _sent(call: Call[Any]) -> dict[str, Any]:
    if call.body is None:
        return {}
    # ASCII, so that half of a surrogate pair is for the service to refuse.
    content = json.dumps(call.body, allow_nan=False).encode()
    return {"content": content, "headers": {"content-type": "application/json"}}


@contextmanager
def _told(url: str, course: Course) -> Iterator[None]:
    """httpx2's errors as this project's."""
    httpx2 = _httpx2()
    try:
        yield
    except (TimeoutError, httpx2.TimeoutException) as error:
        raise course.late() from error
    except httpx2.ConnectError as error:
        detail = f"cannot connect to {url}: {error}; is `dpr serve` running there?"
        raise ServiceError(0, "unreachable", detail) from error
    except httpx2.TransportError as error:
        detail = f"the connection to {url} broke: {error or type(error).__name__}"
        raise ServiceError(0, "broken", detail) from error


def _read(call: Call[T], status: int, headers: Mapping[str, str], body: bytes) -> T:
    if not 200 <= status < 300:
        raise refusal(status, headers, body)
    try:
        return call.read(json.loads(body))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        detail = f"what answers {call.path} is no `dpr serve`, or another version: {error!r}"
        raise ServiceError(status, "shape", detail) from error


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> ServiceError:
    """The error that an answer is: problem details, or what else stands in between."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    given = given if isinstance(given, dict) else {}
    error = given.get("error")  # /embed says its own way what went wrong
    detail = given.get("detail") or (error if isinstance(error, str) else None)
    places = given.get("errors")
    return ServiceError(
        status,
        str(given.get("code") or given.get("error_type") or "refused"),
        str(detail or body[:_SHOWN].decode("utf-8", "replace").strip() or "no reason given"),
        request_id=headers.get("x-request-id", ""),
        retry_after=_seconds(headers.get("retry-after", "")),
        places=[one for one in places if isinstance(one, dict)] if isinstance(places, list) else (),
    )


def _seconds(given: str) -> float | None:
    """``Retry-After``: seconds, or a date."""
    if given.strip().isascii() and given.strip().isdigit():
        return float(given)
    try:
        until = parsedate_to_datetime(given)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())
