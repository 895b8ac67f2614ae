"""``/`` and ``/document``: what people look at, made here, so that it works without script.

Takes queries of forms and links; gives HTML, and the files that go with it.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from dpr.errors import InputError, SettingsError
from dpr.filters import Filters, parse_filters
from dpr.serve.conditions import apart
from dpr.serve.marking import Span, pieces
from dpr.serve.page import HEADERS, STATIC, html, static
from dpr.serve.problems import Refused
from dpr.serve.reading import Around, around
from dpr.serve.schemas import LONGEST_QUESTION, MOST_READ_HITS, Mode
from dpr.serve.service import Service
from dpr.serve.view import view
from dpr.serve.work import How

_MODES = {
    "auto": "What the collection prefers",
    "dense": "Meaning (vectors)",
    "bm25": "Words (BM25)",
    "hybrid": "Both",
}
_TITLES = {
    413: "That is too much",
    422: "That cannot be asked",
    429: "Too many are asking",
    503: "Not ready",
    504: "That took too long",
}
_EMPTY = "Ask a question. The answer is shown where it stands in the passages."
_CHANGED = "The collection has changed since this was found; answers are no longer marked."
_LONGEST_WHERE = 4096
_LONGEST_ID = 4096
_KEPT = {"cache-control": "public, max-age=31536000, immutable"}
# What a template of the page's script has where texts come.
_NO_HIT = dict.fromkeys(
    ("anchor", "title", "place", "retriever", "reader", "href", "citation"), ""
) | {"pieces": ()}
_BLANK: dict[str, Any] = _NO_HIT | dict.fromkeys(
    ("answer", "sure", "from", "from_href", "others", "facts"), ""
)
_BLANK |= {"hits": (), "found": True}
_ALWAYS = {"blank": _BLANK, "empty": _EMPTY, "longest": LONGEST_QUESTION, "most": MOST_READ_HITS}


@dataclass(frozen=True, slots=True)
class _Asked:
    """What stands in the form."""

    question: str
    mode: Mode
    k: int
    where: str

    @property
    def narrowed(self) -> bool:
        """Whether anything is not as usual."""
        return bool(self.where.strip()) or self.mode != "auto" or self.k != 10

    @property
    def href(self) -> str:
        """The page with it."""
        fields = {"q": self.question, "mode": self.mode, "k": self.k, "where": self.where}
        return f"/?{urlencode(fields)}"

    @property
    def filters(self) -> Filters:
        """What the filter spells.

        Raises:
            Refused: it spells nothing.
        """
        try:
            return parse_filters(apart(self.where))
        except SettingsError as error:
            detail = f"The filter is not understood: {error}."
            raise Refused(422, "schema", detail) from error


def routes(service: Service, *, keys: bool) -> APIRouter:
    """Two pages, and their files.

    Args:
        keys: people sign in, and may sign out.
    """
    router = APIRouter(tags=["Page"], default_response_class=HTMLResponse)

    @router.get("/")
    async def page(
        request: Request,
        q: Annotated[str, Query(max_length=LONGEST_QUESTION)] = "",
        mode: Mode = "auto",
        k: Annotated[int, Query(ge=1, le=MOST_READ_HITS)] = 10,
        where: Annotated[str, Query(max_length=_LONGEST_WHERE)] = "",
    ) -> Response:
        """The page, with the answer to a question if there is one."""
        asked = _Asked(q.strip(), mode, k, where if where.strip() else "")
        values: dict[str, Any] = {"result": None, "state": None}
        headers, status = dict(HEADERS), 200
        try:
            filters = asked.filters
            if asked.question:
                values = await _answered(service, asked, filters, request)
        except Refused as refused:
            request.scope["dpr"].code, status = refused.code, refused.status
            values["state"] = _state(refused)
            if refused.retry_after is not None:
                headers["retry-after"] = str(refused.retry_after)
        text = html("page", asked=asked, served=_served(service, keys), **_ALWAYS, **values)
        return HTMLResponse(text, status, headers)

    @router.get("/document")
    async def document(
        passage: Annotated[str, Query(min_length=1, max_length=_LONGEST_ID)],
        start: Annotated[int, Query(ge=0, description="Of an answer in the passage.")] = 0,
        end: Annotated[int, Query(ge=0)] = 0,
        version: Annotated[int, Query(ge=0, description="That the answer is of.")] = 0,
    ) -> Response:
        """A document at one of its passages."""

        def read(opened: Any) -> tuple[Around, int]:
            collection = opened.searcher.collection
            return around(collection, passage), collection.version

        try:
            found, current = await service.look(read)
        except InputError as error:
            detail = "There is no such passage, or not any longer."
            raise Refused(404, "no_passage", detail) from error
        same = version in (0, current)
        text = _document(service, found, Span(start, end, best=True) if same else None, current)
        return HTMLResponse(text, headers=dict(HEADERS))

    for path in STATIC:
        _add_file(router, path)
    return router


def _add_file(router: APIRouter, path: str) -> None:
    kind = STATIC[path]
    shown = {200: {"content": {kind.partition(";")[0]: {"schema": {"type": "string"}}}}}

    async def file() -> Response:
        return Response(static(path), media_type=kind, headers=_KEPT)

    name = path.rpartition("/")[2]
    router.add_api_route(
        path,
        file,
        methods=["GET"],
        response_class=Response,
        responses=shown,  # type: ignore[arg-type]
        name=name,
        description="A file of the page.",
    )


async def _answered(
    service: Service, asked: _Asked, filters: Filters, request: Request
) -> dict[str, Any]:
    """The result, or what is said where there is none."""
    service.check_ready()
    how = How(asked.k, asked.mode, filters)
    began = time.monotonic()
    [body] = await service.find(
        [asked.question], how, service.answers, request.scope["dpr"].deadline
    )
    took = 1e3 * (time.monotonic() - began)
    shown = view(json.loads(body), _name(service), took)
    if shown["hits"]:
        return {"result": shown, "state": None}
    detail = "No passage goes with this question"
    detail += " and the filter. Try it without the filter." if asked.where else "."
    state = {"title": "Nothing was found", "detail": detail, "retry_after": None}
    return {"result": None, "state": state}


def _state(refused: Refused) -> dict[str, Any]:
    return {
        "title": _TITLES.get(refused.status, "That did not work"),
        "detail": refused.detail,
        "retry_after": refused.retry_after,
    }


def _served(service: Service, keys: bool) -> dict[str, Any]:
    engine = service.engine
    name, count = _name(service), len(engine.opened.searcher.collection)
    modes = _MODES if engine.has_words else {name: _MODES[name] for name in ("auto", "dense")}
    about = f"\u2068{name}\u2069, version {engine.version}: {count} passages · {engine.model_id}"
    return {
        "collection": name,
        "answers": service.answers,
        "modes": list(modes.items()),
        "about": about,
        "signs_in": keys,
    }


def _name(service: Service) -> str:
    """What people know the collection by: its folder's own name, and not where that lies."""
    return service.engine.pipeline.collection.path.resolve().name


def _document(service: Service, found: Around, answer: Span | None, version: int) -> str:
    passage = found.passage
    place = [passage.section, passage.source, f"document {passage.document or passage.id}"]
    return html(
        "document",
        title=passage.title or passage.document or passage.id,
        place=" · ".join(f"\u2068{one}\u2069" for one in place if one),
        note="" if answer else _CHANGED,
        around=found,
        pieces=pieces(passage.text, [answer] if answer else []),
        served={"collection": _name(service)},
        facts=f"\u2068{_name(service)}\u2069, version {version} · passage {passage.id}, characters "
        f"{passage.start}–{passage.end}",
    )
