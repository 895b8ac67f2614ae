"""A miniature of recipes/natural-questions: its inputs, a BERT, and what runs it."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "natural-questions"
STEPS = [
    *("download", "check", "train-1", "encode-1", "mine", "train-2", "encode-2", "tune", "search"),
    *("evaluate", "reader-samples", "train-reader", "calibrate", "answer"),
]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"natural_questions_{name}", RECIPE / name)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


# The miniature: places of whose king one passage tells; of every second place another passage names
# another one, who is the accepted one of half of these among the dev and test questions: so some
# answers are wrong, and less sure, which calibration needs.

PLACES = ["".join(pair) for pair in product(("bal", "dor", "fen", "gil", "hum"), ("ka", "lo", "mi",
    "nu", "pe", "ri", "so", "tu"))]  # fmt: skip
KINGS = [f"{place[::-1]}x" for place in PLACES]
OTHERS = [f"{place[::-1]}z" for place in PLACES]
TEMPLATES = {
    "train": ["who was king of {}", "the name of king {}"],
    "dev": ["who ruled as king {}", "king name of the {}", "who was the king {}"],
    "test": ["the king who ruled {}"],
}
WORDS = "who was king of the name ruled as old and river wide song snow bread".split()


def passages() -> list[dict[str, str]]:
    rows = []
    for number, (place, king, other) in enumerate(zip(PLACES, KINGS, OTHERS, strict=True)):
        rows += [
            {"title": place, "text": f"the king was {king} who ruled {place} ."},
            {"title": place, "text": f"{place} was old and the river was wide ."},
            {"title": place, "text": f"the king was {other} who ruled {place} ."}
            if number % 2
            else {"title": place, "text": f"the song of {place} was of snow and bread ."},
        ]
    return [row | {"passage_id": str(number)} for number, row in enumerate(rows, 1)]


def asked(part: str) -> list[tuple[str, int, str]]:
    """Questions, numbers of places, and answers."""
    return [
        (template.format(place), number, OTHERS[number] if swapped else KINGS[number])
        for number, place in enumerate(PLACES)
        for template in TEMPLATES[part]
        for swapped in [part != "train" and number % 4 == 3]
    ]


def sample(question: str, number: int, answer: str) -> dict[str, Any]:
    """A record with the keys of the original's training files."""
    rows = [row | {"score": 9.5, "title_score": 0} for row in passages()]
    own = rows[3 * number : 3 * number + 3]
    return {
        "dataset": "nq_train_psgs_w100",
        "question": question,
        "answers": [answer],
        "positive_ctxs": [one | {"score": 1000} for one in own if answer in one["text"]],
        "negative_ctxs": [rows[(3 * number + 31) % len(rows)], rows[(3 * number + 62) % len(rows)]],
        "hard_negative_ctxs": own[1:2],
    }


def write_data(folder: Path) -> Path:
    """All six files, under the original's names."""
    for part in TEMPLATES:
        with (folder / f"nq-{part}.qa.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, delimiter="\t")
            rows.writerows([text, repr([answer])] for text, _, answer in asked(part))
    for part, few in (("train", 80), ("dev", 60)):
        records = [sample(*one) for one in asked(part)[:few]]
        with gzip.open(folder / f"biencoder-nq-{part}.json.gz", "wt", encoding="utf-8") as file:
            json.dump(records, file, indent=4)
    with gzip.open(folder / "psgs_w100.tsv.gz", "wt", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, delimiter="\t")
        rows.writerow(["id", "text", "title"])
        rows.writerows([row["passage_id"], row["text"], row["title"]] for row in passages())
    return folder


def write_bert(folder: Path) -> Path:
    """A BERT with random weights that knows the words."""
    import torch

    from dpr.models import DPRConfig, DPRQuestionEncoder
    from dpr.tokens import DPRQuestionEncoderTokenizer

    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", *WORDS, *PLACES, *KINGS, *OTHERS]
    config = DPRConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.2,  # so that a model as small as this learns in a few steps
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    torch.manual_seed(0)
    DPRQuestionEncoder(config).save_pretrained(folder)
    vocabulary = {token: number for number, token in enumerate(tokens)}
    DPRQuestionEncoderTokenizer(vocabulary).save_pretrained(folder)
    return folder


SMALL = {
    "NQ_RETRIEVER": "--epochs 2 --batch-size 4 --learning-rate 2e-3 --passage-length 24 "
    "--question-length 24 --checkpoint-seconds 0.1",
    "NQ_MINE": "--negatives 4 --last-rank 20",
    "NQ_READER_SAMPLES": "--depth 40",
    "NQ_READER": "--epochs 1 --batch-size 4 --passages 4 --max-length 32 --stride 8 "
    "--learning-rate 2e-3 --evaluations 1",
    "NQ_EVALUATE": "--resamples 200",
    "NQ_ANSWER": "--resamples 200 --read 10",
}


@dataclass
class Runner:
    """Runs the recipe in one folder."""

    to: Path
    data: Path
    start: Path
    more: dict[str, str] = field(default_factory=dict)

    def command(self, *arguments: object) -> tuple[list[str], dict[str, str]]:
        places = ["--to", self.to, "--data", self.data, "--start", self.start]
        quiet = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "DPR_DEVICE": "cpu"}
        environment = os.environ | SMALL | quiet | {"PYTHON": sys.executable} | self.more
        return [str(one) for one in (RECIPE / "run.sh", *places, *arguments)], environment

    def __call__(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        command, environment = self.command(*arguments)
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def kill_when(self, there: Path) -> None:
        """Starts the recipe, and kills all of it once something is there."""
        command, environment = self.command()
        process = subprocess.Popen(
            command,
            env=environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 120
        while not there.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        assert there.exists()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
