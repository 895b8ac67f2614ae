"""How far the scores of answers can be believed: before and after they are calibrated.

    python benchmarks/answers.py --data DIR --work DIR [--model dpr-mini] [--picture FILE]

The pool (pool.py) is indexed as users index it and searched as it is by default; what the reader
makes of each question's passages is kept in --work, so that choosing again takes seconds. Weights,
map and threshold are chosen on the questions of squad/validation and of the 32 stories held out of
fairytaleqa/train (recipes/dpr-mini/prepare.py), those whose answer stands in their passage; then
squad/test, which none of this saw, is answered with the settings as they are and as they are
chosen. "as they are" is what the model has in its reading.json; "sums" are bare shares of the
posterior, as before there was any calibration.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from pool import Key, TestQuestion, fairytale_questions, load_pool, load_tests, squad_questions

from dpr.confidence import Calibrated, Case, Evidence, calibrate
from dpr.evaluation.answers import exact_match
from dpr.evaluation.calibration import (
    accuracy_at,
    auroc,
    calibration_error,
    coverage_curve,
    reliability,
    risk_area,
)
from dpr.evaluation.records import Bin
from dpr.pipeline import Pipeline
from dpr.pipeline.building import index_if_changed
from dpr.pipeline.calibrating import holds, read_cases
from dpr.reading import MAP, Reading, ReadingSettings, Span, combine, confidence
from dpr.records import Document, Hit, Passage, Question, QuestionSet

SEED, HELD_OUT_STORIES = 20, 32  # of recipes/dpr-mini/prepare.py
READ_WITH = ("passages", "max_answer_tokens", "spans_per_passage", "max_length", "stride")
SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)


def dev_questions(data: Path) -> list[TestQuestion]:
    """The questions to choose on."""
    tales = fairytale_questions(data / "fairytaleqa" / "train")
    stories = sorted({question.golds[0][0] for question in tales})
    held_out = set(random.Random(SEED).sample(stories, HELD_OUT_STORIES))
    asked = squad_questions(data / "squad" / "validation.json")
    asked += [question for question in tales if question.golds[0][0] in held_out]
    return [q for q in asked if any(holds(text, q.answers) for _, text in q.golds)]


def question_set(name: str, questions: Sequence[TestQuestion], ids: dict[Key, str]) -> QuestionSet:
    asked = [Question(f"{name}/{n}/{q.text}", q.text, q.answers) for n, q in enumerate(questions)]
    golds = {
        question.id: {ids[gold]: 1 for gold in q.golds if gold in ids}
        for question, q in zip(asked, questions, strict=True)
    }
    return QuestionSet(name, tuple(asked), golds)


def cached_cases(
    pipeline: Pipeline, asked: QuestionSet, work: Path, model: str, only: bool = False
) -> list[Case]:
    """The cases of a set, read where the folder does not have them yet, or only those that it has;
    a case a line."""
    reader = pipeline.reader
    assert reader is not None
    ways = asdict(reader.settings)
    same = [reader.fingerprint, pipeline.collection.manifest.encoder_fingerprint]
    same += [ways[name] for name in READ_WITH] + [pipeline.collection.manifest.search]
    digest = hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:12]
    path = work / f"{model}.{asked.name.replace('/', '-')}.{digest}.jsonl"
    lines: dict[str, dict] = {}
    if path.exists():
        text = path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]  # a line that was cut short is read for again
        if whole != text:
            path.write_text(whole, encoding="utf-8")
        lines = {one["id"]: one for one in map(json.loads, whole.splitlines())}
    if only:
        asked = replace(asked, questions=tuple(q for q in asked.questions if q.id in lines))
    left = tuple(one for one in asked.questions if one.id not in lines)
    with path.open("a", encoding="utf-8") as file:
        told = replace(asked, questions=left)
        for case in read_cases(pipeline, told, lambda text: print(f"{asked.name}: {text}")):
            lines[case.question.id] = saved(case)
            file.write(json.dumps(lines[case.question.id]) + "\n")
            file.flush()
    passages = {passage.id: passage for passage in pipeline.collection}
    return [loaded(lines[question.id], question, passages) for question in asked.questions]


def saved(case: Case) -> dict:
    def rows(readings: Sequence[tuple[Hit, Reading]]) -> list:
        return [
            {
                "hit": [hit.passage.id, hit.score, hit.dense_score, hit.bm25_score],
                "relevance": reading.relevance,
                "spans": [[s.start, s.end, s.log_probability, s.logits] for s in reading.spans],
            }
            for hit, reading in readings
        ]

    return {
        "id": case.question.id,
        "about": case.about,
        "found": rows(case.found),
        "without": rows(case.without),
    }


def loaded(line: dict, question: Question, passages: dict[str, Passage]) -> Case:
    def pairs(rows: list) -> Iterator[tuple[Hit, Reading]]:
        for number, row in enumerate(rows):
            one, score, dense, words = row["hit"]
            hit = Hit(passages[one], score, dense_score=dense, bm25_score=words)
            spans = tuple(Span(*span) for span in row["spans"])
            yield hit, Reading(number, row["relevance"], spans)

    found, without = (tuple(pairs(line[name])) for name in ("found", "without"))
    return Case(question, found, without, tuple(line["about"]))


def figures(cases: Sequence[Case], settings: ReadingSettings) -> dict:
    """Of the answers as users get them, however unsure."""
    free = replace(settings, no_answer_below=0.0)
    answers = [combine(case.found, free) for case in cases]
    accepted = [case.question.answers for case in cases]
    sure = [one[0].score if one else 0.0 for one in answers]
    right = [
        exact_match(one[0].text, wanted) if one else 0.0
        for one, wanted in zip(answers, accepted, strict=True)
    ]
    evidence = Evidence([case.found for case in cases], accepted)
    first = evidence.first(settings)
    sured = confidence(evidence.grounds(settings), settings)
    assert np.allclose(first.exact, right) and np.allclose(sured, sure)
    later = [
        (given.score, exact_match(given.text, wanted))
        for one, wanted in zip(answers, accepted, strict=True)
        for given in one[1:]
    ]
    unsure = [one[0].score if one else 0.0 for one in (combine(c.without, free) for c in cases)]
    limit = settings.no_answer_below
    bins = reliability(sure, right)
    return {
        "questions": len(cases),
        "EM": 100 * float(np.mean(right)),
        "F1": 100 * float(first.f1.mean()),
        "ECE": calibration_error(bins),
        "ECE by chance": chance(sure),
        "AUROC": auroc(sure, right),
        "risk area": risk_area(sure, right),
        **{f"right of the surest {s:.0%}": accuracy_at(sure, right, s) for s in SHARES},
        "half / all": accuracy_at(sure, right, 0.5) / max(float(np.mean(right)), 1e-9),
        "later answers, ECE": calibration_error(reliability(*zip(*later, strict=True))),
        "answered": float(np.mean(np.array(sure) >= limit)),
        "F1 kept": float(
            (first.f1 * (np.array(sure) >= limit)).mean() / max(first.f1.mean(), 1e-9)
        ),
        "silent without their passages": float(np.mean(np.array(unsure) < limit)),
        "bins": [asdict(one) for one in bins],
        "coverage": coverage_curve(sure, right),
    }


def chance(sure: Sequence[float], draws: int = 200) -> float:
    """The calibration error that so many answers have on average where their scores are exact."""
    rng = np.random.default_rng(0)
    drawn = [rng.random(len(sure)) < np.array(sure) for _ in range(draws)]
    return float(np.mean([calibration_error(reliability(sure, one.tolist())) for one in drawn]))


def show(report: dict[str, dict]) -> None:
    names = [name for name in next(iter(report.values())) if name not in ("bins", "coverage")]
    print(f"\n{'':32}" + "".join(f"{column:>14}" for column in report))
    for name in names:
        print(f"{name:32}" + "".join(f"{one[name]:14.4g}" for one in report.values()))


def spread(asked: QuestionSet, count: int | None) -> QuestionSet:
    """``count`` of the questions, evenly spread."""
    many = asked.questions
    if count is None or count >= len(many):
        return asked
    return replace(asked, questions=tuple(many[n * len(many) // count] for n in range(count)))


def told(chosen: Calibrated) -> dict:
    return {
        "settings": asdict(chosen.settings),
        "weights of the folds": {str(key): count for key, count in chosen.weights.items()},
        "silence": asdict(chosen.silence),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("runs/answers"))
    parser.add_argument("--model", default="dpr-mini")
    parser.add_argument("--reader", help="another reader than the model's own")
    parser.add_argument("--tests", nargs="*", default=["squad/test"])
    parser.add_argument("--questions", type=int, help="of each set, at most; default: all")
    parser.add_argument("--cached", action="store_true", help="only what was read before")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)

    pool = load_pool(args.data)
    ids = {key: f"p{row}" for row, key in enumerate(pool)}
    documents = [Document(ids[title, text], text, title) for title, text in pool]
    name = Path(args.model).name
    folder = args.work / f"{name}.dpr"
    index_if_changed(documents, folder, model=args.model, split="none")
    sets = {"dev": dev_questions(args.data)}
    tests = load_tests(args.data, pool)
    sets |= {test: tests[test] for test in args.tests}
    with Pipeline.open(folder, model=args.model, reader=args.reader) as pipeline:
        assert pipeline.reader is not None
        start = pipeline.reader.settings
        label = Path(args.reader).name if args.reader else name
        cases = {
            one: cached_cases(
                pipeline,
                spread(question_set(one, asked, ids), args.questions),
                args.work,
                label,
                args.cached,
            )
            for one, asked in sets.items()
        }
    chosen = calibrate(cases["dev"], start)
    report: dict = {"dev": told(chosen)}
    print(json.dumps(report["dev"], indent=2))
    bare = replace(start, **{f"confidence_{name}": float(name == "slope") for name in MAP})
    for test in args.tests:
        columns = {"sums": bare, "as they are": start, "as chosen": chosen.settings}
        report[test] = {key: figures(cases[test], one) for key, one in columns.items()}
        print(f"\n{test}", end="")
        show(report[test])
    if args.picture:
        from dpr.evaluation.report.calibration import draw_confidence

        shown = report[args.tests[0]]
        curves = {k: ([Bin(**b) for b in v["bins"]], v["coverage"]) for k, v in shown.items()}
        draw_confidence(args.picture, curves)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
