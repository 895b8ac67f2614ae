"""The page as HTML: templates and files that the package carries, and the headers they go with.

Takes plain values, which are shown as text whatever they hold; gives HTML. The content security
policy lets the page load its own files and nothing else, and lets no script make HTML from text.
Knows nothing of requests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

STATIC: Mapping[str, str] = {
    "/static/page.css": "text/css; charset=utf-8",
    "/static/page.mjs": "text/javascript; charset=utf-8",
    "/static/icon.svg": "image/svg+xml",
}
HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
ASKED = ("q", "mode", "k", "where")
READ = ("passage", "start", "end", "version")


@cache
def static(path: str) -> bytes:
    """A file of the page, by its path in ``STATIC``."""
    return files("dpr.serve").joinpath(path.lstrip("/")).read_bytes()


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("dpr.serve"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _addresses() -> dict[str, str]:
    """Where the files are. Each address changes with what it holds, so that it can be kept."""
    names = {"style": "page.css", "script": "page.mjs", "icon": "icon.svg"}
    return {
        name: f"/static/{file}?v={hashlib.sha256(static(f'/static/{file}')).hexdigest()[:12]}"
        for name, file in names.items()
    }


def html(template: str, **values: Any) -> str:
    """A template, filled."""
    made = _environment().get_template(f"{template}.html.j2")
    return made.render(files=_addresses(), **values).strip() + "\n"


def message(
    title: str,
    detail: str = "",
    *,
    places: Sequence[Mapping[str, Any]] = (),
    sign_in: str | None = None,
    wrong: bool = False,
) -> str:
    """A page that says one thing.

    Args:
        places: in the request, and what is wrong there.
        sign_in: the query of what was asked, to come back to it from a form for a key; None: no
            such form.
        wrong: the key that was given is not known.
    """
    action = None if sign_in is None else _with("/signin", sign_in, ASKED + READ)
    values = {"title": title, "detail": detail, "places": places, "wrong": wrong}
    return html("message", sign_in=action, **values)


def back(query: str) -> str:
    """Where a query was asked: a question, or a passage to read. No other place, whatever it is."""
    path, names = ("/document", READ) if dict(_pairs(query)).get("passage") else ("/", ASKED)
    return _with(path, query, names)


def _with(path: str, query: str, names: Sequence[str]) -> str:
    kept = [(name, value) for name, value in _pairs(query) if name in names]
    return f"{path}?{urlencode(kept)}" if kept else path


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, max_num_fields=16)
    except ValueError:
        return []
