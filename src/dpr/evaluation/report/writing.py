"""All files of a report into a folder."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from dpr.errors import MissingExtraError
from dpr.evaluation.records import Evaluation
from dpr.evaluation.report.card import model_card
from dpr.evaluation.report.files import write_text
from dpr.evaluation.report.markdown import to_markdown
from dpr.evaluation.report.page import to_html
from dpr.evaluation.report.serial import write_json
from dpr.evaluation.report.tables import write_csv


def write_report(evaluation: Evaluation, folder: str | Path) -> list[Path]:
    """Writes ``report.html``, ``evaluation.json``, ``report.md``, ``card.md`` and the CSV files.

    What is drawn is drawn before anything is written; then each file is written whole.

    Raises:
        MissingExtraError: Jinja2 or matplotlib is not installed.
        InputError: a file cannot be written.
    """
    folder = Path(folder)
    texts = {
        "report.html": to_html(evaluation),
        "report.md": to_markdown(evaluation),
        "card.md": model_card(evaluation),
    }
    paths = [write_text(folder / name, text) for name, text in texts.items()]
    paths.insert(1, write_json(evaluation, folder / "evaluation.json"))
    return paths + write_csv(evaluation, folder)


def check_extras() -> None:
    """So that a missing package is met before an hour's work, not after it.

    Raises:
        MissingExtraError: jinja2 or matplotlib is not installed.
    """
    for name in ("jinja2", "matplotlib"):
        if find_spec(name) is None:
            raise MissingExtraError(name, "evaluate", "writing a report")
