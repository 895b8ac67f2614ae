"""What is sent for each thing that a service can be asked, and how to read what comes back.

Takes questions, texts and documents; gives ``Call`` records. Knows nothing of how they are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Generic, Literal, TypedDict, TypeVar
from urllib.parse import quote

from dpr.client import results
from dpr.client.results import Answered, Change, Found
from dpr.errors import SettingsError
from dpr.records import Document

T = TypeVar("T", covariant=True)
Mode = Literal["auto", "dense", "bm25", "hybrid"]
InputType = Literal["query", "passage"]

AT_ONCE = 64  # questions, or texts, in one request


class Narrowed(TypedDict, total=False):
    """How a search differs from the usual; see ``Client.search``."""

    mode: Mode
    where: Mapping[str, Any] | None
    per_document: int | None


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request.

    Attributes:
        body: to be sent as JSON; None: no body.
        read: parsed JSON to what the call gives; raises as ``dpr.client.results`` says.
        harmless: it changes nothing, and so may be done twice.
    """

    method: str
    path: str
    body: Any
    read: Callable[[Any], T]
    harmless: bool = True


def searches(questions: Iterable[str], k: int, narrowed: Narrowed) -> Iterator[Call[list[Found]]]:
    """Calls that together search for all questions, in their order."""
    return _asking("/v1/search", questions, k, narrowed, results.found)


def answers(questions: Iterable[str], k: int, narrowed: Narrowed) -> Iterator[Call[list[Answered]]]:
    """Calls that together answer all questions, in their order."""
    return _asking("/v1/answer", questions, k, narrowed, results.answered)


def embeddings(texts: Iterable[str], input_type: InputType) -> Iterator[Call[list[list[float]]]]:
    """Calls that together make vectors of all texts, in their order."""
    for some in _pieces(texts, "texts"):
        body = {"inputs": some, "prompt_name": input_type}
        yield Call("POST", "/embed", body, partial(results.vectors, count=len(some)))


def adding(documents: Iterable[Document], replace: bool) -> Call[Change]:
    """One change, with all documents."""
    given = [
        {"id": one.id, "text": one.text, "title": one.title, "metadata": dict(one.metadata)}
        for one in documents
    ]
    body = {"documents": given, "replace": replace}
    return Call("POST", "/v1/documents", body, results.change, harmless=False)


def removing(document: str) -> Call[Change]:
    """One change, without a document.

    Raises:
        SettingsError: a URL cannot name it.
    """
    if document in ("", ".", ".."):  # another request would be sent
        raise SettingsError(
            f"document={document!r} cannot be removed through a service, since no URL can name it; "
            "use `dpr remove`"
        )
    path = "/v1/documents/" + quote(document, safe="")
    return Call("DELETE", path, None, results.change, harmless=False)


def telling() -> Call[dict[str, Any]]:
    """What is served."""
    return Call("GET", "/info", None, dict)


def _asking(
    path: str,
    questions: Iterable[str],
    k: int,
    narrowed: Narrowed,
    each: Callable[[Mapping[str, Any]], T],
) -> Iterator[Call[list[T]]]:
    how = {name: value for name, value in narrowed.items() if value is not None}
    if unknown := sorted(set(how) - set(Narrowed.__annotations__)):
        allowed = ", ".join(Narrowed.__annotations__)
        raise SettingsError(f"cannot narrow a search by {', '.join(unknown)}; allowed: {allowed}")
    for some in _pieces(questions, "questions"):
        body = {"question": some, "k": k, **how}
        yield Call("POST", path, body, partial(results.results, each=each, count=len(some)))


def _pieces(texts: Iterable[str], what: str) -> Iterator[Sequence[str]]:
    if isinstance(texts, str):  # which would be taken for a list of its letters
        raise SettingsError(f"{what} is one text; give a list of them")
    rest = iter(texts)
    while some := list(islice(rest, AT_ONCE)):
        yield some
