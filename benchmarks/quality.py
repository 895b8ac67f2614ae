"""Retrieval and reading quality on the three test sets, in one table made by one command.

    python benchmarks/quality.py --data DIR --model dpr-mini --minilm DIR [--json FILE]

Rows: BM25 (bm25s, English stemmer and stop words, k1 0.9, b 0.4, title + text), MiniLM as it comes
(mean pooling, cosine, "title. text"; the start of dpr-mini before any training of ours), and the
model. Then the reader: EM and F1 given the gold paragraph, and end to end over the pool.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import bm25s
import numpy as np
import Stemmer
import torch
from pool import Key, TestQuestion, load_pool, load_tests

from dpr.encoding import ContextEncoder, EncodingSettings, QuestionEncoder
from dpr.evaluation.answers import exact_match, f1
from dpr.evaluation.measures import gold_ranks, summary
from dpr.indexes.flat import FlatIndex
from dpr.models import DPRQuestionEncoder
from dpr.models.dpr import pack
from dpr.reading import Reader
from dpr.records import Hit, Passage
from dpr.samples.files import Context, TrainingSample
from dpr.shipped import find_models
from dpr.tokens import DPRQuestionEncoderTokenizer
from dpr.tokens.batching import token_batches
from dpr.training.reader import read_gold

Tests = dict[str, list[TestQuestion]]
Rows = dict[str, dict[str, dict[str, float]]]
NOT_FOUND = 10**9
SHOWN = ("R@1", "R@5", "R@20", "MRR@10")  # BM25's lists end, so that it has no average rank


def bm25(pool: Sequence[Key], tests: Tests) -> dict[str, np.ndarray]:
    """The rank of each question's best gold passage."""
    options = {
        "stopwords": "en",
        "stemmer": Stemmer.Stemmer("english"),
        "show_progress": False,
    }
    index = bm25s.BM25(k1=0.9, b=0.4)
    index.index(bm25s.tokenize([f"{a} {b}" for a, b in pool], **options), show_progress=False)
    rows = {key: row for row, key in enumerate(pool)}
    ranks = {}
    for name, questions in tests.items():
        queries = bm25s.tokenize([q.text for q in questions], **options)
        found, _ = index.retrieve(queries, k=100, show_progress=False)
        ranks[name] = np.array(
            [
                next((i for i, row in enumerate(top) if row in golds), NOT_FOUND)
                for top, golds in zip(
                    found.tolist(),
                    ({rows.get(g, -1) for g in q.golds} for q in questions),
                    strict=True,
                )
            ]
        )
    return ranks


def mean_pooled(folder: Path, texts: Sequence[str]) -> np.ndarray:
    """Normalised mean-pooled vectors of a plain BERT folder, 256 tokens at most."""
    model = DPRQuestionEncoder.from_pretrained(folder, dtype="float32")
    tokenizer = DPRQuestionEncoderTokenizer.from_pretrained(folder)
    ids = tokenizer(list(texts), truncation=True, max_length=256)["input_ids"]
    vectors = np.empty((len(ids), model.config.hidden_size), np.float32)
    with torch.inference_mode():
        for batch in token_batches([len(one) for one in ids], 1536):
            tokens, layout = pack([ids[i] for i in batch])
            states = model.stack(tokens, layout).last.split([len(ids[i]) for i in batch])
            vectors[batch] = torch.stack([one.mean(0) for one in states]).numpy()
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def dense_ranks(
    questions: np.ndarray, passages: np.ndarray, pool: Sequence[Key], tests: Tests
) -> dict[str, np.ndarray]:
    rows = {key: row for row, key in enumerate(pool)}
    ranks, first = {}, 0
    for name, asked in tests.items():
        golds = [[rows[gold] for gold in q.golds if gold in rows] for q in asked]
        ranks[name] = gold_ranks(questions[first : first + len(asked)], passages, golds)
        first += len(asked)
    return ranks


def read_gold_paragraphs(reader: Reader, questions: Sequence[TestQuestion]) -> dict[str, float]:
    samples = [
        TrainingSample(q.text, q.answers, (Context(q.golds[0][1], q.golds[0][0]),))
        for q in questions
    ]
    return scores(read_gold(reader, samples), questions)


def end_to_end(
    reader: Reader,
    vectors: np.ndarray,
    passages: np.ndarray,
    pool: Sequence[Key],
    questions: Sequence[TestQuestion],
) -> dict[str, float]:
    found, rows = FlatIndex([passages]).search(vectors, reader.settings.passages)
    hits = [
        [Hit(Passage(str(r), pool[r][1], pool[r][0]), float(s)) for s, r in zip(*one, strict=True)]
        for one in zip(found, rows, strict=True)
    ]
    limit, answers = reader.settings.no_answer_below, []
    reader.settings = replace(reader.settings, no_answer_below=0.0)  # SQuAD asks for an answer
    for start in range(0, len(questions), 64):
        part = slice(start, start + 64)
        answers += reader.answer_many([q.text for q in questions[part]], hits[part])
    given = [one[0].text if one else "" for one in answers]
    sure = [bool(one) and one[0].score >= limit for one in answers]
    return scores(given, questions) | {f"at least {limit} sure": 100 * float(np.mean(sure))}


def scores(given: Sequence[str], questions: Sequence[TestQuestion]) -> dict[str, float]:
    pairs = [(answer, q.answers) for answer, q in zip(given, questions, strict=True)]
    return {
        "EM": 100 * float(np.mean([exact_match(*pair) for pair in pairs])),
        "F1": 100 * float(np.mean([f1(*pair) for pair in pairs])),
    }


def show(rows: Rows) -> str:
    """The retrieval rows as a Markdown table."""
    names = list(next(iter(rows.values())))
    lines = [
        f"| {' / '.join(SHOWN)} | " + " | ".join(names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for system, sets in rows.items():
        cells = [" ".join(f"{sets[name][one]:.3f}" for one in SHOWN) for name in names]
        lines.append(f"| {system} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--minilm", type=Path, help="folder of the untrained start")
    parser.add_argument("--no-reader", action="store_true")
    parser.add_argument("--no-end-to-end", action="store_true", help="saves most of the time")
    parser.add_argument("--passages", type=int, help="read of each question; default: the model's")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    pool = load_pool(args.data)
    tests = load_tests(args.data, pool)
    asked = [q.text for questions in tests.values() for q in questions]
    print(f"pool: {len(pool)} passages; questions: { {k: len(v) for k, v in tests.items()} }")
    report: dict = {"pool": len(pool), "retrieval": {}, "reader": {}}
    rows: Rows = report["retrieval"]
    rows["BM25"] = {name: summary(ranks) for name, ranks in bm25(pool, tests).items()}
    if args.minilm:
        passages = mean_pooled(args.minilm, [f"{title}. {text}" for title, text in pool])
        ranks = dense_ranks(mean_pooled(args.minilm, asked), passages, pool, tests)
        rows["MiniLM, mean"] = {name: summary(one) for name, one in ranks.items()}
    for model in args.model or ["dpr-mini"]:
        names = find_models(model)
        settings = EncodingSettings(max_length=512)  # the pool's passages are kept whole
        began = time.monotonic()
        context = ContextEncoder.from_pretrained(names.context, settings)
        passages = context.encode([Passage("", text, title) for title, text in pool])
        questions = QuestionEncoder.from_pretrained(names.question).encode(asked)
        print(f"{model}: encoded in {time.monotonic() - began:.0f} s")
        ranks = dense_ranks(questions, passages, pool, tests)
        rows[model] = {name: summary(one) for name, one in ranks.items()}
        if names.reader and not args.no_reader:
            reader, squad = Reader.from_pretrained(names.reader), tests["squad/test"]
            if args.passages:
                reader.settings = replace(reader.settings, passages=args.passages)
            figures = {"squad/test, gold paragraph": read_gold_paragraphs(reader, squad)}
            if not args.no_end_to_end:
                name = f"squad/test, top {reader.settings.passages} of the pool"
                figures[name] = end_to_end(reader, questions[: len(squad)], passages, pool, squad)
            report["reader"][model] = figures
    print(show(rows))
    for model, figures in report["reader"].items():
        for name, values in figures.items():
            print(f"{model}, {name}: " + ", ".join(f"{k} {v:.1f}" for k, v in values.items()))
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
