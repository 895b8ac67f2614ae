"""Training files for dpr-mini from the public sets: DPR JSON lines with BM25 hard negatives.

    python prepare.py --data DIR --to DIR

DIR holds the sets as described in README.md beside this file. Only the training splits are read,
and squad/validation and 32 whole stories of fairytaleqa/train for choosing; no test question.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from dpr.samples.files import Context, SampleCounts, TrainingSample, read_samples, sample_to_json
from dpr.samples.mining import mine
from dpr.samples.negatives import MiningSettings, Pool
from dpr.samples.searchers import BM25Searcher

HELD_OUT_STORIES = 32
SEED = 20


def fairytales(folder: Path) -> Iterator[tuple[TrainingSample, str]]:
    """Samples of a FairytaleQA folder with their kind (explicit or implicit)."""
    corpus = {}
    for line in (folder / "corpus.jsonl").open(encoding="utf-8"):
        row = json.loads(line)
        corpus[row["_id"]] = Context(row["text"], row["title"], row["_id"])
    golds: dict[str, list[Context]] = {}
    with (folder / "qrels" / "test.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            golds.setdefault(row["query-id"], []).append(corpus[row["corpus-id"]])
    for line in (folder / "queries.jsonl").open(encoding="utf-8"):
        row = json.loads(line)
        answers = tuple(row["metadata"]["answers"])
        sample = TrainingSample(
            row["text"], answers, tuple(golds[row["_id"]]), dataset="fairytaleqa"
        )
        yield sample, row["metadata"]["kind"]


def from_squad(path: Path, name: str) -> list[TrainingSample]:
    counts = SampleCounts()
    samples = [replace(s, dataset=name) for s in read_samples(path, counts, on_error="skip")]
    if counts.misplaced:
        print(f"{path.name}: left out {counts.misplaced} questions with a misplaced answer")
    return samples


def with_negatives(
    samples: list[TrainingSample], pool: Iterable[Context], count: int
) -> list[TrainingSample]:
    """Adds the highest BM25 passages that are not gold and hold none of the answers."""
    ranked = Pool(pool)
    return list(mine(samples, ranked, [BM25Searcher(ranked)], MiningSettings(negatives=count)))


def passages(samples: Iterable[TrainingSample]) -> list[Context]:
    return [context for sample in samples for context in sample.positives]


def write(path: Path, samples: Iterable[TrainingSample]) -> None:
    lines = [json.dumps(sample_to_json(sample), ensure_ascii=False) for sample in samples]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    print(f"{path.name}: {len(lines)} samples")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    args = parser.parse_args()
    args.to.mkdir(parents=True, exist_ok=True)
    rng = random.Random(SEED)

    squad = from_squad(args.data / "squad" / "train.json", "squad")
    squad_dev = from_squad(args.data / "squad" / "validation.json", "squad")
    tales = list(fairytales(args.data / "fairytaleqa" / "train"))
    stories = sorted({sample.positives[0].title for sample, _ in tales})
    held_out = set(rng.sample(stories, HELD_OUT_STORIES))
    tales_train = [(s, kind) for s, kind in tales if s.positives[0].title not in held_out]
    tales_dev = [s for s, _ in tales if s.positives[0].title in held_out]

    train = with_negatives(
        squad + [s for s, _ in tales_train], passages(squad + [s for s, _ in tales_train]), 8
    )
    dev = with_negatives(
        squad_dev + tales_dev,
        passages(squad_dev + tales_dev + squad + [s for s, _ in tales_train]),
        1,
    )
    write(args.to / "retriever-train.jsonl", train)
    write(args.to / "retriever-dev.jsonl", dev)

    explicit = [kind == "explicit" for _, kind in tales_train]
    spoken = [s for s, yes in zip(train[len(squad) :], explicit, strict=True) if yes]
    policy = from_squad(args.data / "policyqa" / "dev.json", "policyqa")
    covid = from_squad(args.data / "covidqa" / "covidqa.json", "covidqa")
    reader = train[: len(squad)] + spoken + rng.sample(policy, 1000) + covid
    # Negatives teach relevance and cost as much as positives: a sixth of the questions has them.
    reader = [
        s if rng.random() < 1 / 6 else replace(s, hard_negatives=(), negatives=()) for s in reader
    ]
    write(args.to / "reader-train.jsonl", reader)
    write(args.to / "reader-dev.jsonl", squad_dev)


if __name__ == "__main__":
    main()
