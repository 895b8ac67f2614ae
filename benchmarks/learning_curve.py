"""The learning curve of FairytaleQA: what 100 to all training questions teach an untrained start.

    python benchmarks/learning_curve.py --data DIR --minilm DIR --work DIR

The start is MiniLM with the mean of all tokens in [CLS] (`recipes/dpr-mini/start.py`), which does
not know the language of these tales. Each size is trained on in the same way, with BM25's hard
negatives, and measured on fairytaleqa/validation and on qed, which shows what training costs
elsewhere, over the pool of ``pool.py``. Files are made, then `dpr learning-curve` runs as a user
would run it: it draws the picture, and the same command goes on where it stood. Questions of the
tests that the training split asks in the same words are left out of training.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from pool import TestQuestion, load_pool, load_tests

from dpr.samples.files import Context, TrainingSample

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "dpr-mini"
TESTS = ("fairytaleqa/validation", "qed")
TRAINING = (
    *("--epochs", "2", "--learning-rate", "5e-5", "--warmup-steps", "20", "--batch-size", "128"),
    *("--fewest-steps", "30"),  # more would only learn a few hundred questions by heart
    *("--hard-negatives", "1", "--batching", "neighbours", "--neighbours", "12"),
    *("--passage-length", "384", "--pack-tokens", "4096"),
)


def samples_of(questions: Iterable[TestQuestion]) -> list[TrainingSample]:
    return [
        TrainingSample(q.text, q.answers, tuple(Context(text, title) for title, text in q.golds))
        for q in questions
    ]


def make_files(data: Path, work: Path) -> None:
    """Training samples, tests and the pool, as the command takes them."""
    sys.path.insert(0, str(RECIPE))
    import prepare

    pool = load_pool(data)
    known = set(pool)
    asked = set()
    for name, questions in load_tests(data, pool).items():
        if name not in TESTS:
            continue
        in_pool = [
            TestQuestion(q.text, q.answers, tuple(one for one in q.golds if one in known))
            for q in questions
        ]
        prepare.write(work / f"{name.replace('/', '-')}.jsonl", samples_of(in_pool))
        asked |= {q.text for q in questions}
    tales = [sample for sample, _ in prepare.fairytales(data / "fairytaleqa" / "train")]
    kept = [sample for sample in tales if sample.question not in asked]
    print(f"{len(tales) - len(kept)} of {len(tales)} training questions are asked in the tests")
    prepare.write(work / "train.jsonl", prepare.with_negatives(kept, prepare.passages(kept), 8))
    lines = [
        json.dumps({"id": str(number), "title": title, "text": text}) + "\n"
        for number, (title, text) in enumerate(pool)
    ]
    (work / "pool.jsonl").write_text("".join(lines), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--minilm", type=Path, required=True, help="folder of the untrained start")
    parser.add_argument("--work", type=Path, required=True, help="gets files, runs and the picture")
    parser.add_argument("--sizes", default="100,300,1000,3000,all")
    parser.add_argument("--precision", default="float32", help="float32, bfloat16 or float16")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if not (args.work / "pool.jsonl").exists():  # which is written last
        make_files(args.data, args.work)
    start = args.work / "start"
    if not (start / "reader").exists():
        made = (RECIPE / "start.py", "--minilm", args.minilm, "--to", start)
        subprocess.run([sys.executable, *map(str, made)], check=True)
    command = [
        *(sys.executable, "-m", "dpr", "learning-curve", "--train", args.work / "train.jsonl"),
        *(
            part
            for name in TESTS
            for part in ("--test", args.work / f"{name.replace('/', '-')}.jsonl")
        ),
        *("--pool", args.work / "pool.jsonl", "--start", start, "--to", args.work / "curve"),
        *("--sizes", args.sizes, "--precision", args.precision, *TRAINING),
    ]
    print("$", *command, flush=True)
    subprocess.run([str(part) for part in command], check=True)


if __name__ == "__main__":
    main()
