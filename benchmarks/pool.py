"""The questions and the pool of passages that the project's retrieval figures are measured on.

The pool: the unique (title, text) of the SQuAD, QED and PolicyQA paragraphs of at most 400 words
and of all FairytaleQA sections, each kept whole. The tests: the questions of ``squad/test``,
``fairytaleqa/validation`` and ``qed`` that have a gold passage in the pool: all but two of ``qed``,
whose paragraphs are longer than 400 words.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_WORDS = 400
SQUAD_FILES = (
    "squad/train.json",
    "squad/validation.json",
    "squad/test.json",
    "qed/natural-questions.json",
    "policyqa/dev.json",
    "policyqa/test.json",
)
FAIRYTALE_SPLITS = ("train", "validation")

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class TestQuestion:
    """A question, its accepted answers, and the (title, text) of its gold passages."""

    text: str
    answers: tuple[str, ...]
    golds: tuple[Key, ...]


def paragraphs(path: Path) -> Iterator[tuple[str, str, list[dict]]]:
    """(title, text, questions) of each paragraph of a SQuAD JSON."""
    for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            yield article["title"].replace("_", " "), paragraph["context"], paragraph["qas"]


def sections(folder: Path) -> list[tuple[str, Key]]:
    """Id and (title, text) of each FairytaleQA section; one id of the train split comes twice,
    with different texts, and both are sections."""
    rows = map(json.loads, (folder / "corpus.jsonl").open(encoding="utf-8"))
    return [(row["_id"], (row["title"], row["text"])) for row in rows]


def load_pool(data: Path) -> list[Key]:
    """The passages, each once, in the order in which the files hold them."""
    pool: dict[Key, None] = {}
    for name in SQUAD_FILES:
        for title, text, _ in paragraphs(data / name):
            if len(text.split()) <= MAX_WORDS:
                pool[title, text] = None
    for split in FAIRYTALE_SPLITS:
        pool |= dict.fromkeys(key for _, key in sections(data / "fairytaleqa" / split))
    return list(pool)


def squad_questions(path: Path) -> list[TestQuestion]:
    return [
        TestQuestion(
            qa["question"], tuple(dict.fromkeys(a["text"] for a in qa["answers"])), ((title, text),)
        )
        for title, text, qas in paragraphs(path)
        for qa in qas
    ]


def fairytale_questions(folder: Path) -> list[TestQuestion]:
    keys = dict(sections(folder))
    golds: dict[str, list[Key]] = {}
    with (folder / "qrels" / "test.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            golds.setdefault(row["query-id"], []).append(keys[row["corpus-id"]])
    rows = map(json.loads, (folder / "queries.jsonl").open(encoding="utf-8"))
    return [
        TestQuestion(row["text"], tuple(row["metadata"]["answers"]), tuple(golds[row["_id"]]))
        for row in rows
    ]


def load_tests(data: Path, pool: list[Key]) -> dict[str, list[TestQuestion]]:
    """The three test sets, by the name they are reported under."""
    known = set(pool)
    sets = {
        "squad/test": squad_questions(data / "squad" / "test.json"),
        "fairytaleqa/validation": fairytale_questions(data / "fairytaleqa" / "validation"),
        "qed": squad_questions(data / "qed" / "natural-questions.json"),
    }
    return {
        name: [question for question in questions if known.intersection(question.golds)]
        for name, questions in sets.items()
    }
