"""`dpr doctor` on the real sets beside the repository: findings of each kind, and how long it took.

The sets as they are, each against its test; and with the eight best BM25 passages as negatives, as
naive mining gives them (nothing is left out, not even the positives), and as `dpr mine --by bm25`
does; `--mined FILE` is one more, such as what recipes/dpr-mini mines. `--read 100` also prints so
many findings drawn at random, seven of each kind first, for a person to judge.

    python benchmarks/doctor_sets.py --to /tmp/sets --read 100
    python benchmarks/doctor_sets.py --to /tmp/sets --speed 6000

The second takes the time and memory for so many samples of the shape of the original's training
files: 49 negatives each, passages of at most 100 words, all drawn from the sets.

Figures that it gave are in docs/doctor.md.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import bm25s
import Stemmer

from dpr.samples.doctor import diagnose
from dpr.samples.files import TrainingSample
from dpr.samples.findings import KINDS, Diagnosis, Finding

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "recipes" / "dpr-mini"))
EACH = 7


def naive(samples: Sequence[TrainingSample], count: int = 8) -> list[TrainingSample]:
    """With the best BM25 passages as negatives, whatever they are."""
    pool = list({one.key: one for sample in samples for one in sample.positives}.values())
    options = {"stopwords": "en", "stemmer": Stemmer.Stemmer("english"), "show_progress": False}
    index = bm25s.BM25(k1=0.9, b=0.4)
    texts = [f"{one.title} {one.text}" for one in pool]
    index.index(bm25s.tokenize(texts, **options), show_progress=False)
    questions = bm25s.tokenize([sample.question for sample in samples], **options)
    found, _ = index.retrieve(questions, k=count, show_progress=False)
    return [
        replace(sample, hard_negatives=tuple(replace(pool[row], answers=()) for row in rows))
        for sample, rows in zip(samples, found.tolist(), strict=True)
    ]


def sets(data: Path, to: Path, mined: Path | None) -> list[tuple[str, Path, list[Path]]]:
    """Name, file and test of each; what is made lies in ``to``."""
    import prepare

    squad_test = [data / "squad" / "test.json", data / "squad" / "validation.json"]
    tales_test = [data / "fairytaleqa" / "validation"]
    policy_test = [data / "policyqa" / "test.json"]
    tales = [sample for sample, _ in prepare.fairytales(data / "fairytaleqa" / "train")]
    squad = prepare.from_squad(data / "squad" / "train.json", "squad")
    policy = prepare.from_squad(data / "policyqa" / "dev.json", "policyqa")
    qed = prepare.from_squad(data / "qed" / "natural-questions.json", "qed")
    tales_of_test = [one for one, _ in prepare.fairytales(data / "fairytaleqa" / "validation")]
    made = {
        "fairytaleqa-train": tales,
        "validation-of-fairytaleqa": tales_of_test,
        "squad-naive": naive(squad),
        "squad-mined": prepare.with_negatives(squad, prepare.passages(squad), 8),
        "fairytaleqa-naive": naive(tales),
        "fairytaleqa-mined": prepare.with_negatives(tales, prepare.passages(tales), 8),
        "policyqa-naive": naive(policy),
        "qed-naive": naive(qed),
    }
    paths = {name: to / f"{name}.jsonl" for name in made}
    for name, samples in made.items():
        prepare.write(paths[name], samples)
    plain = [
        ("squad/train", data / "squad" / "train.json", squad_test),
        ("squad/validation", squad_test[1], squad_test[:1]),
        ("squad/test", squad_test[0], []),
        ("policyqa/dev", data / "policyqa" / "dev.json", policy_test),
        ("policyqa/test", data / "policyqa" / "test.json", []),
        ("covidqa", data / "covidqa" / "covidqa.json", []),
        ("qed", data / "qed" / "natural-questions.json", [data / "dpr" / "nq.dev.tsv"]),
    ]
    tests = {"squad": squad_test, "fairytaleqa": tales_test, "policyqa": policy_test}
    plain += [(name, path, tests.get(name.split("-")[0], [])) for name, path in paths.items()]
    if mined:
        plain.append(("mined", mined, squad_test + tales_test))
    return plain


def speed(data: Path, to: Path, count: int) -> None:
    """The time for ``count`` samples of 49 negatives, against a test of 8,757 questions."""
    import prepare

    rng = random.Random(0)
    samples = prepare.from_squad(data / "squad" / "train.json", "squad")
    samples += [sample for sample, _ in prepare.fairytales(data / "fairytaleqa" / "train")]
    pool = [
        replace(one, text=" ".join(one.text.split()[:100]), answers=())
        for sample in samples
        for one in sample.positives
    ]
    rng.shuffle(samples)
    path = to / "speed.jsonl"
    some = (replace(one, hard_negatives=tuple(rng.sample(pool, 49))) for one in samples[:count])
    prepare.write(path, some)
    begin = time.process_time()
    found = diagnose([path], test_files=[data / "dpr" / "nq.dev.tsv"])
    seconds = time.process_time() - begin
    print(
        f"{found.samples:,} samples, {found.negatives:,} negatives, "
        f"{path.stat().st_size / 1e6:.0f} MB: {seconds:.1f} s of one core"
    )


def show(name: str, found: Diagnosis, seconds: float) -> None:
    counts = ", ".join(f"{one.kind.name} {one.count:,}" for one in found.found)
    print(
        f"{name}: {found.samples:,} samples, {found.negatives:,} negatives, "
        f"{found.test_questions:,} of the test; {seconds:.1f} s: {counts}",
        flush=True,
    )


def show_sample(findings: list[Finding], count: int, seed: int) -> None:
    rng = random.Random(seed)
    by_kind: dict[str, list[Finding]] = {name: [] for name in KINDS}
    seen = set()
    for one in findings:
        shown = one.kind, one.what.partition(" in ")[0], one.excerpts
        if shown not in seen:  # the same of another sample or set tells nothing more
            seen.add(shown)
            by_kind[one.kind].append(one)
    for some in by_kind.values():
        rng.shuffle(some)
    chosen = [one for some in by_kind.values() for one in some[:EACH]]
    rest = [one for some in by_kind.values() for one in some[EACH:]]
    chosen += rng.sample(rest, min(len(rest), max(0, count - len(chosen))))
    for number, one in enumerate(chosen, 1):
        print(f"\n{number}. {one.kind}: {one.file}, {one.place} {one.part}: {one.what}")
        for text in one.excerpts:
            print(f"      {text}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--to", type=Path, required=True, help="for the sets that are made")
    parser.add_argument("--mined", type=Path, help="one more file of samples")
    parser.add_argument("--read", type=int, default=0, help="findings to print for reading")
    parser.add_argument("--speed", type=int, default=0, help="only the time for so many samples")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.to.mkdir(parents=True, exist_ok=True)
    if args.speed:
        speed(args.data, args.to, args.speed)
        return
    findings: list[Finding] = []
    for name, path, tests in sets(args.data, args.to, args.mined):
        begin = time.process_time()
        found = diagnose([path], test_files=tests, examples=None if args.read else 0)
        show(name, found, time.process_time() - begin)
        findings += [one for kind in found.found for one in kind.examples]
    if args.read:
        show_sample(findings, args.read, args.seed)


if __name__ == "__main__":
    main()
