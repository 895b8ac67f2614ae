"""The report of an evaluation: one HTML file, and the same figures as JSON, CSV and Markdown."""

from __future__ import annotations

from dpr.evaluation.report.card import model_card
from dpr.evaluation.report.markdown import to_markdown
from dpr.evaluation.report.page import to_html
from dpr.evaluation.report.serial import read_json, write_json
from dpr.evaluation.report.tables import write_csv
from dpr.evaluation.report.writing import check_extras, write_report

__all__ = [
    "check_extras",
    "model_card",
    "read_json",
    "to_html",
    "to_markdown",
    "write_csv",
    "write_json",
    "write_report",
]
