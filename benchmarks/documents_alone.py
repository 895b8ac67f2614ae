"""What a retriever learns from documents alone: pairs made by a program, before and after training.

    python benchmarks/documents_alone.py --data DIR --minilm DIR --work DIR

The documents are the stories of fairytaleqa/train but for 32 that are held out, whose language the
start, MiniLM with the mean of all tokens in [CLS] (`recipes/dpr-mini/start.py`), was not trained
for. Each kind of pairs, and each mix, is made by `dpr pairs` and trained on by `dpr train
retriever` in the same way; what is best on people's questions about the held-out stories is then
measured on fairytaleqa/validation and on the two sets of Wikipedia's language, beside the start and
BM25. No question and no passage of the tests is trained on. What is done is kept in --work: the
same command goes on where it stood.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pool import Key, TestQuestion, fairytale_questions, load_pool, load_tests, sections
from quality import bm25, dense_ranks, show

from dpr.encoding import ContextEncoder, EncodingSettings, QuestionEncoder
from dpr.evaluation.measures import summary
from dpr.records import Passage
from dpr.shipped import find_models

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "dpr-mini"
HELD_OUT_STORIES, SEED = 32, 20  # as recipes/dpr-mini/prepare.py draws them
QUESTIONS = 32  # of different passages in a batch
KINDS = ("cloze", "sentence", "crops", "neighbours", "title", "pseudo", "keywords")
TRAINING = (
    *("--epochs", "1", "--learning-rate", "5e-5", "--warmup-steps", "50", "--freeze-embeddings"),
    *("--hard-negatives", "0", "--batching", "neighbours", "--neighbours", "4"),
    *("--question-length", "40", "--passage-length", "128"),
    *("--pack-tokens", "2048", "--tied"),
)

Measures = dict[str, dict[str, float]]


def held_out(folder: Path) -> set[str]:
    """The titles of the stories whose questions choose."""
    stories = sorted({gold[0] for q in fairytale_questions(folder) for gold in q.golds[:1]})
    return set(random.Random(SEED).sample(stories, HELD_OUT_STORIES))


def write_documents(folder: Path, apart: set[str], stories: int, path: Path) -> list[Key]:
    """The stories to learn from, as many as asked for, as JSON lines; gives their passages."""
    rows = [key for _, key in sections(folder) if key[0] not in apart]
    names = sorted({title for title, _ in rows})
    if stories:
        chosen = set(random.Random(SEED).sample(names, min(stories, len(names))))
        rows = [key for key in rows if key[0] in chosen]
    keys = list(dict.fromkeys(rows))
    lines = [
        json.dumps({"id": str(number), "title": title, "text": text}) + "\n"
        for number, (title, text) in enumerate(keys)
    ]
    path.write_text("".join(lines), encoding="utf-8")
    return keys


def dpr(*arguments: object) -> None:
    command = [sys.executable, "-m", "dpr", *map(str, arguments)]
    print("$ dpr", *map(str, arguments), flush=True)
    subprocess.run(command, check=True)


def train(kinds: str, documents: Path, run: Path, start: Path) -> Path:
    """Where the model lies that was trained on pairs of these kinds."""
    names, _, count = kinds.partition("@")
    per_passage = int(count or 1)
    if not (run / "done").is_file():
        run.mkdir(parents=True, exist_ok=True)
        pairs = run / "pairs.jsonl"
        asked = ("--kinds", names, "--per-passage", per_passage)
        dpr("pairs", documents, "--to", pairs, "--split", "none", "--overwrite", *asked)
        began = time.monotonic()
        how = (*TRAINING, "--batch-size", QUESTIONS * per_passage)
        dpr("train", "retriever", "--train", pairs, "--start", start, "--to", run, *how)
        (run / "done").write_text(f"{time.monotonic() - began:.0f} s\n", encoding="utf-8")
    return run / "best"


def measure(model: Path, pool: Sequence[Key], tests: dict[str, list[TestQuestion]]) -> Measures:
    """R@1, R@5, R@20 and MRR@10 of a model, passages whole."""
    names = find_models(str(model))
    context = ContextEncoder.from_pretrained(names.context, EncodingSettings(max_length=512))
    passages = context.encode([Passage("", text, title) for title, text in pool])
    asked = [q.text for questions in tests.values() for q in questions]
    questions = QuestionEncoder.from_pretrained(names.question).encode(asked)
    ranks = dense_ranks(questions, passages, pool, tests)
    return {name: summary(one) for name, one in ranks.items()}


def kept(path: Path, name: str, make: Callable[[], Measures]) -> Measures:
    """Figures that were measured before, or now."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if name not in known:
        known[name] = make()
        path.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    print(name, known[name], flush=True)
    return known[name]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--minilm", type=Path, required=True, help="folder of the untrained start")
    parser.add_argument("--work", type=Path, required=True, help="gets pairs, runs and figures")
    parser.add_argument(
        "--kinds",
        action="append",
        metavar="KINDS[@N]",
        help="as dpr pairs takes them, and how many pairs a passage gives; repeatable",
    )
    parser.add_argument("--stories", type=int, default=0, help="to learn from; 0: all")
    parser.add_argument("--no-test", action="store_true", help="stop after choosing")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    tales, work = args.data / "fairytaleqa" / "train", args.work
    work.mkdir(parents=True, exist_ok=True)
    start = work / "start"
    if not start.is_dir():
        command = [RECIPE / "start.py", "--minilm", args.minilm, "--to", start]
        subprocess.run([sys.executable, *map(str, command)], check=True)
    apart = held_out(tales)
    documents = work / f"documents-{args.stories or 'all'}.jsonl"
    known = write_documents(tales, apart, args.stories, documents)
    pool = list(dict.fromkeys(key for _, key in sections(tales) if key[0] in apart))
    asked = [q for q in fairytale_questions(tales) if q.golds[0][0] in apart]
    dev = {"held-out stories": asked}
    print(f"{len(known)} passages to learn from; {len(asked)} questions over {len(pool)} passages")

    figures = work / "dev.json"
    rows = {"BM25": {name: summary(ranks) for name, ranks in bm25(pool, dev).items()}}
    rows["start"] = kept(figures, "start", lambda: measure(start, pool, dev))
    models = {}
    for kinds in args.kinds or KINDS:
        name = f"{kinds}, {args.stories} stories" if args.stories else kinds
        run = work / "runs" / name.replace(":", "=").replace(", ", "-").replace(" ", "-")
        models[name] = train(kinds, documents, run, start)
        rows[name] = kept(figures, name, lambda at=models[name]: measure(at, pool, dev))
    print(show(rows))
    best = max(models, key=lambda name: rows[name]["held-out stories"]["R@5"])
    print(f"best by R@5: {best}")
    if args.no_test:
        return
    pool = load_pool(args.data)
    tests = load_tests(args.data, pool)
    figures = work / "test.json"
    rows = {"BM25": {name: summary(ranks) for name, ranks in bm25(pool, tests).items()}}
    print(show(rows), flush=True)
    rows[best] = kept(figures, best, lambda: measure(models[best], pool, tests))
    rows["start"] = kept(figures, "start", lambda: measure(start, pool, tests))
    print(show(rows))


if __name__ == "__main__":
    main()
