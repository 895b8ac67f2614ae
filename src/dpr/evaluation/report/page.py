"""The report as one HTML file: no script, no request, nothing but itself.

The content security policy allows the page's own style sheet, by its hash, and nothing else: what
stands in a document cannot make the page do anything. Needs the extra ``evaluate``.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from dpr.errors import MissingExtraError
from dpr.evaluation.records import Evaluation
from dpr.evaluation.report.numbers import Own, printable
from dpr.evaluation.report.view import view


def to_html(evaluation: Evaluation) -> str:
    """The report of an evaluation; the same evaluation gives the same bytes.

    Raises:
        MissingExtraError: Jinja2 or matplotlib is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        raise MissingExtraError("jinja2", "evaluate", "writing a report") from None
    folder = files("dpr.evaluation.report")
    style = folder.joinpath("style.css").read_text(encoding="utf-8").strip()
    template = folder.joinpath("template.html.j2").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    text = environment.from_string(template).render(
        view=view(evaluation),
        style=Own(style),
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    )
    return f"{text.strip()}\n"
