"""Every question with answers of the shared data, and the passages to look for them in."""

from __future__ import annotations

import ast
import csv
import json
import random
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

SQUAD_FILES = (
    "squad/train.json",
    "squad/validation.json",
    "squad/test.json",
    "qed/natural-questions.json",
    "policyqa/dev.json",
    "policyqa/test.json",
    "covidqa/covidqa.json",
)
FAIRYTALE_SPLITS = ("train", "validation")
LONGEST = 400  # words; a longer passage is looked into whole by its own questions, else in pieces
PIECE = 100


@dataclass(frozen=True)
class Asked:
    """Accepted answers, and the passages that are said to hold them."""

    answers: list[str]
    golds: list[str] = field(default_factory=list)


def read_all(data: Path) -> list[Asked]:
    """All questions with answers, in the order of the files."""
    asked = [one for name in SQUAD_FILES for one in _squad(data / name)]
    asked += [one for split in FAIRYTALE_SPLITS for one in _fairytale(data / "fairytaleqa" / split)]
    for line in (data / "dpr" / "nq.dev.tsv").read_text("utf-8").splitlines():
        asked.append(Asked(ast.literal_eval(line.split("\t")[1])))
    return [one for one in asked if one.answers]


def _squad(path: Path) -> list[Asked]:
    articles = json.loads(path.read_text("utf-8"))["data"]
    return [
        Asked([answer["text"] for answer in qa["answers"]], [paragraph["context"]])
        for article in articles
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
    ]


def _fairytale(folder: Path) -> list[Asked]:
    texts = {row["_id"]: row["text"] for row in _rows(folder / "corpus.jsonl")}
    golds = defaultdict(list)
    with (folder / "qrels" / "test.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            golds[row["query-id"]].append(texts[row["corpus-id"]])
    return [
        Asked(row["metadata"]["answers"], golds[row["_id"]])
        for row in _rows(folder / "queries.jsonl")
    ]


def _rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def choose_passages(asked: list[Asked], each: int) -> tuple[list[str], list[list[int]]]:
    """The passages, and for each question the places of ``each`` of them to look in.

    A question looks in its golds; half of the others hold the rarest word of one of its answers, as
    far as there are such, and the rest are any.
    """
    rng = random.Random(0)
    places: dict[str, int] = {}
    for text in (text for one in asked for text in one.golds):
        words = text.split()
        places.setdefault(text, len(places))
        if len(words) > LONGEST:
            for start in range(0, len(words), PIECE):
                piece = " ".join(words[start : start + PIECE])
                places.setdefault(piece, len(places))
    passages = list(places)
    short = [at for at, text in enumerate(passages) if len(text.split()) <= LONGEST]
    holding = defaultdict(list)
    for at in short:
        for word in set(re.findall(r"\w+", passages[at].lower())):
            holding[word].append(at)
    chosen = []
    for one in asked:
        near: list[int] = []
        for answer in one.answers:
            words = [word for word in re.findall(r"\w+", answer.lower()) if word in holding]
            if words:
                near += holding[min(words, key=lambda word: len(holding[word]))]
        golds = [places[text] for text in one.golds]
        near = rng.sample(near, min(len(near), each // 2))
        some = dict.fromkeys([*golds, *near, *rng.sample(short, each)])
        chosen.append(list(some)[:each])
    return passages, chosen
