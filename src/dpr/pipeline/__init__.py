"""The one composer: documents to a collection, questions to hits and answers, all of it to figures.

Command line, server and library users all go through here. Takes names of sources, models and
folders, and settings; wires the rooms below together.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dpr.pipeline.asking import Pipeline, open
from dpr.pipeline.building import Indexed, index
from dpr.pipeline.changing import add, remove, sync
from dpr.pipeline.compacting import compact

if TYPE_CHECKING:
    from dpr.pipeline.evaluating import evaluate as evaluate
    from dpr.pipeline.figures import EvaluationSettings as EvaluationSettings
    from dpr.pipeline.reporting import report as report

__all__ = [
    "EvaluationSettings",
    "Indexed",
    "Pipeline",
    "add",
    "compact",
    "evaluate",
    "index",
    "open",
    "remove",
    "report",
    "sync",
]

# What asking does not need loads on first use.
_LATER = {"EvaluationSettings": "figures", "evaluate": "evaluating", "report": "reporting"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
