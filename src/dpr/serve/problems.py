"""What a refusal looks like: problem details (RFC 9457), or as the clients of other APIs know it.

Takes a status, a code and a sentence; gives bytes. Holds neither paths nor what a client sent, save
what a sentence says. Knows nothing of why something is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from dpr.serve.page import HEADERS, message

Style = Literal["problem", "openai", "tei", "cohere", "page"]

# Routes that other clients know, and whose errors they know too; and what people look at.
_STYLES: Mapping[str, Style] = {
    "/v1/embeddings": "openai",
    "/v1/models": "openai",
    "/embed": "tei",
    "/rerank": "tei",
    "/v1/rerank": "cohere",
    "/": "page",
    "/document": "page",
    "/docs": "page",
}
_POSTED: Mapping[str, Style] = {"/": "tei"}

_TEI_TYPES = {413: "validation", 422: "validation", 429: "overloaded", 503: "unhealthy"}
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class Refused(Exception):
    """A request that is not answered, and why.

    Attributes:
        code: a word for programs, which also says it to the metrics.
        detail: a sentence for people: what was given, what is allowed, what to do.
        retry_after: seconds after which it may go better; None: it will not.
        errors: places in the body, and what is wrong there.
        headers: further headers.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        retry_after: int | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.retry_after, self.errors = retry_after, list(errors)
        self.headers = dict(headers or {})


class Place(BaseModel):
    """A place in the request, and what is wrong there."""

    place: str = Field(description="Names and numbers from the outside in, with dots between.")
    message: str


class Problem(BaseModel):
    """Problem details, RFC 9457."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["about:blank"] = "about:blank"
    title: str
    status: int
    detail: str
    code: str = Field(description="A word for programs.")
    request_id: str = Field(description="What the server's log knows the request by.")
    errors: list[Place] | None = None


class OpenAIFault(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None = None
    code: str


class OpenAIError(BaseModel):
    """An error as OpenAI's API shapes it."""

    error: OpenAIFault


class TEIError(BaseModel):
    """An error as text-embeddings-inference shapes it."""

    error: str
    error_type: str


class CohereError(BaseModel):
    """An error as Cohere's API shapes it."""

    message: str


SHAPES: Mapping[Style, type[BaseModel]] = {
    "problem": Problem,
    "openai": OpenAIError,
    "tei": TEIError,
    "cohere": CohereError,
}


def style(method: str, path: str) -> Style:
    """How errors of an operation look."""
    usual = _STYLES.get(path, "problem")
    return _POSTED.get(path, usual) if method == "POST" else usual


def media_type(style: Style) -> str:
    """The content type of errors in a style."""
    special = {"problem": "application/problem+json", "page": "text/html"}
    return special.get(style, "application/json")


def rendered(
    refused: Refused, style: Style, request_id: str, query: str = ""
) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of a refusal of what was asked with this query."""
    headers = {"content-type": media_type(style), "cache-control": "no-store", **refused.headers}
    if refused.retry_after is not None:
        headers["retry-after"] = str(refused.retry_after)
    if refused.status == 401:
        headers.setdefault("www-authenticate", "Bearer")
    if style == "page":
        headers |= {**HEADERS, "content-type": "text/html; charset=utf-8"}
        return _page(refused, query).encode(), headers
    return to_json(_body(refused, style, request_id)), headers


def _page(refused: Refused, query: str) -> str:
    if refused.status == 401:
        return message("Sign in", "This collection is asked with a key.", sign_in=query)
    return message(HTTPStatus(refused.status).phrase, refused.detail, places=refused.errors)


def _body(refused: Refused, style: Style, request_id: str) -> dict[str, Any]:
    detail = refused.detail
    places = "; ".join(f"{one['place']}: {one['message']}" for one in refused.errors)
    told = f"{detail} {places}" if places else detail
    if style == "openai":
        kind = _OPENAI_TYPES.get(
            refused.status, "server_error" if refused.status >= 500 else "invalid_request_error"
        )
        param = refused.errors[0]["place"] if refused.errors else None
        return {"error": {"message": told, "type": kind, "param": param, "code": refused.code}}
    if style == "tei":
        return {"error": told, "error_type": _TEI_TYPES.get(refused.status, refused.code)}
    if style == "cohere":
        return {"message": told}
    body = {
        "type": "about:blank",
        "title": HTTPStatus(refused.status).phrase,
        "status": refused.status,
        "detail": detail,
        "code": refused.code,
        "request_id": request_id,
    }
    return body | ({"errors": refused.errors} if refused.errors else {})
