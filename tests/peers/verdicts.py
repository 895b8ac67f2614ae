"""What the peers say, as JSON on standard output of JSON on standard input.

Runs in the peers' environment and imports nothing of ours:

    python verdicts.py has_answer   Pyserini's has_answers
        takes {"regex": bool, "passages": [text], "questions": [{"answers": [text],
        "passages": [place in passages]}]}, gives a string of 0 and 1 for each question
    python verdicts.py squad        Transformers' SQuAD metrics
        takes {"pairs": [[accepted, given]], "evaluations": [{"threshold": float, "questions":
        [{"accepted": [text], "given": text, "no_answer": float}]}]}, gives {"pairs": [[exact, f1]],
        "evaluations": [what squad_evaluate gives]}
"""

from __future__ import annotations

import importlib.util
import json
import sys
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any


def pyserini_evaluation() -> ModuleType:
    """The one file, by itself: importing the package would start Java."""
    package = importlib.util.find_spec("pyserini")
    assert package is not None
    assert package.submodule_search_locations is not None
    path = Path(package.submodule_search_locations[0], "eval", "evaluate_dpr_retrieval.py")
    spec = importlib.util.spec_from_file_location("evaluate_dpr_retrieval", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Remembering:
    """Pyserini's tokenizer, asked once for each text; it gives the lower-cased words."""

    def __init__(self, tokenizer: Any) -> None:
        @cache
        def tokenize(text: str) -> SimpleNamespace:
            words = tokenizer.tokenize(text).words(uncased=True)
            return SimpleNamespace(words=lambda uncased: words)

        self.tokenize = tokenize


def has_answer(asked: dict[str, Any]) -> list[str]:
    peer = pyserini_evaluation()
    tokenizer = Remembering(peer.SimpleTokenizer())
    passages = asked["passages"]
    return [
        "".join(
            str(int(peer.has_answers(passages[at], question["answers"], tokenizer, asked["regex"])))
            for at in question["passages"]
        )
        for question in asked["questions"]
    ]


def squad(asked: dict[str, Any]) -> dict[str, Any]:
    from transformers.data.metrics import squad_metrics as peer

    evaluations = []
    for evaluation in asked["evaluations"]:
        questions = list(enumerate(evaluation["questions"]))
        evaluations.append(
            peer.squad_evaluate(
                [
                    SimpleNamespace(qas_id=at, answers=[{"text": one} for one in q["accepted"]])
                    for at, q in questions
                ],
                {at: q["given"] for at, q in questions},
                {at: q["no_answer"] for at, q in questions},
                evaluation["threshold"],
            )
        )
    pairs = [[peer.compute_exact(*pair), peer.compute_f1(*pair)] for pair in asked["pairs"]]
    return {"pairs": pairs, "evaluations": evaluations}


if __name__ == "__main__":
    json.dump(
        {"has_answer": has_answer, "squad": squad}[sys.argv[1]](json.load(sys.stdin)), sys.stdout
    )
