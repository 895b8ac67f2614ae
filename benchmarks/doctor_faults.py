"""Faults planted into a real training set, and whether `dpr doctor` finds every one.

The set is SQuAD's training split here with BM25 negatives (those of recipes/dpr-mini), the test
SQuAD's test split. Ten faults of each kind go into samples drawn at random, each fault into one of
its own, written as such faults come about: copied passages with other white space, case, titles or
Unicode, questions with a slip of the pen, texts read in the wrong encoding. A fault is found where
its kind is told of its line and passage, and was not told of it before.

    python benchmarks/doctor_faults.py

Figures that it gave are in docs/doctor.md.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpr.samples.doctor import diagnose
from dpr.samples.files import TrainingSample, read_samples, sample_to_json

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "recipes" / "dpr-mini"))
HARD = "hard_negative_ctxs"
Record = dict[str, Any]
Key = tuple[str, str, str]  # kind, place, part


@dataclass
class Plants:
    """The lines of the planted set, and where which finding is expected."""

    lines: list[str]
    test: list[TrainingSample]
    rng: random.Random

    def __post_init__(self) -> None:
        self.expected: list[tuple[str, list[Key]]] = []
        self.free = list(range(len(self.lines)))
        self.rng.shuffle(self.free)

    def take(self, fits: Callable[[Record], bool] = lambda record: True) -> tuple[int, Record]:
        """A sample that nothing is planted in yet."""
        for at, row in enumerate(self.free):
            record = json.loads(self.lines[row])
            if len(record[HARD]) == 8 and fits(record):
                del self.free[at]
                return row, record
        raise SystemExit("too few samples")

    def put(self, row: int, record: Record | str) -> None:
        text = record if isinstance(record, str) else json.dumps(record, ensure_ascii=False)
        self.lines[row : row + 1] = [text]

    def append(self, record: Record) -> int:
        self.lines.append(json.dumps(record, ensure_ascii=False))
        return len(self.lines) - 1

    def expect(self, name: str, row: int, part: str = "", kinds: tuple[str, ...] = ()) -> None:
        place = f"line {row + 1}"
        self.expected.append((name, [(kind, place, part) for kind in kinds or (name,)]))


def malformed(plants: Plants, at: int) -> None:
    row, record = plants.take()
    if at % 4 == 0:
        plants.put(row, json.dumps(record)[:-30])
    elif at % 4 == 1:
        del record["question"]
        plants.put(row, record)
    elif at % 4 == 2:
        plants.put(row, record | {"answers": "one"})
    else:
        record[HARD][3] = "a passage"
        plants.put(row, record)
    plants.expect("malformed", row)


def misplaced_answer(plants: Plants, at: int) -> None:
    row, record = plants.take(lambda one: one["positive_ctxs"][0]["answer_spans"][0][0] > 20)
    spans = record["positive_ctxs"][0]["answer_spans"]
    if at % 2:
        length = len(record["positive_ctxs"][0]["text"])
        spans[:] = [[length - 1, length + 7]]
        plants.put(row, record)
        plants.expect("misplaced-answer", row)
    else:
        spans[:] = [[0, 4]]
        record["answers"] = ["zyx" + answer for answer in record["answers"]]
        plants.put(row, record)
        plants.expect("misplaced-answer", row, "positive_ctxs[0]")


def empty_question(plants: Plants, at: int) -> None:
    row, record = plants.take()
    plants.put(row, record | {"question": ["", "  ", "?", "\u200b", "..."][at % 5]})
    plants.expect("empty-question", row)


def no_positive(plants: Plants, at: int) -> None:
    row, record = plants.take()
    plants.put(row, record | {"positive_ctxs": [] if at % 2 else None})
    plants.expect("no-positive", row)


def empty_text(plants: Plants, at: int) -> None:
    row, record = plants.take()
    record[HARD][at % 8]["text"] = ["", " ", "\n\t", "\u00a0", "\u200b"][at % 5]
    plants.put(row, record)
    plants.expect("empty-text", row, f"{HARD}[{at % 8}]")


def negative_is_positive(plants: Plants, at: int) -> None:
    row, record = plants.take()
    text = record["positive_ctxs"][0]["text"]
    changed = [
        text,
        text.upper(),
        "  " + text.replace(" ", "  ", 5) + "\n",
        text.replace(" ", "\u00a0"),
        text.replace("'", "’").replace("-", "–"),
        text.replace("a", "a\u200b", 3),
    ][at % 6]
    title = "" if at % 2 else record["positive_ctxs"][0]["title"]
    record[HARD][at % 8] |= {"text": changed, "title": title}
    plants.put(row, record)
    plants.expect("negative-is-positive", row, f"{HARD}[{at % 8}]")


def negative_near_positive(plants: Plants, at: int) -> None:
    row, record = plants.take(lambda one: len(one["positive_ctxs"][0]["text"].split()) > 60)
    words = record["positive_ctxs"][0]["text"].split()
    start, end = record["positive_ctxs"][0]["answer_spans"][0]
    answer = set(record["positive_ctxs"][0]["text"][start:end].split())
    if at % 3 == 0:  # a word is another
        word = next(i for i in range(30, len(words)) if words[i] not in answer)
        words[word] = "otherwise"
    elif at % 3 == 1:  # the same with more around it
        words = [*record[HARD][0]["text"].split(), *words]
    else:  # begins and ends elsewhere
        words = [*words[2:], "and", "so", "on"]
    record[HARD][at % 8]["text"] = " ".join(words)
    plants.put(row, record)
    kinds = ("negative-near-positive", "negative-resembles-positive")
    plants.expect("negative-near-positive", row, f"{HARD}[{at % 8}]", kinds)


def positive_elsewhere(plants: Plants, at: int) -> None:
    row, record = plants.take()
    positive = record[HARD][at % 8] | {"answer_spans": []}
    plants.append(record | {"positive_ctxs": [positive], "answers": [], HARD: []})
    plants.expect("negative-is-positive-elsewhere", row, f"{HARD}[{at % 8}]")


def repeated_negative(plants: Plants, at: int) -> None:
    row, record = plants.take(lambda one: len(one[HARD][0]["text"].split()) > 60)
    text = record[HARD][0]["text"]
    words = text.split()
    changed = [
        text,
        text.lower(),
        text.replace(" ", "\u00a0"),
        " ".join([*words[1:], "indeed"]),
        " ".join([*words[:30], "otherwise", *words[30:]]),
    ][at % 5]
    place = 1 + at % 7
    record[HARD][place] |= {
        "text": changed,
        "title": "" if at % 2 else record[HARD][place]["title"],
    }
    plants.put(row, record)
    plants.expect("repeated-negative", row, f"{HARD}[{place}]")


def repeated_positive(plants: Plants, at: int) -> None:
    row, record = plants.take(lambda one: len(one["positive_ctxs"][0]["text"].split()) > 60)
    text = record["positive_ctxs"][0]["text"]
    changed = [text, text.upper(), f" {text}\n", f"It is told that {text}"][at % 4]
    record["positive_ctxs"].append({"title": "" if at % 2 else "Another", "text": changed})
    plants.put(row, record)
    plants.expect("repeated-positive", row, "positive_ctxs[1]")


def answer_in_negative(plants: Plants, at: int) -> None:
    row, record = plants.take(lambda one: len(one["answers"][0]) > 3)
    question = record["question"].strip().rstrip("?")
    text = record[HARD][at % 8]["text"]
    said = f" As for {question}, it is known to be {record['answers'][0]}. "
    record[HARD][at % 8]["text"] = text + said if at % 2 else said + text
    plants.put(row, record)
    kinds = ("answer-in-negative", "answer-suspected")
    plants.expect("answer-in-negative", row, f"{HARD}[{at % 8}]", kinds)


def answer_suspected(plants: Plants, at: int) -> None:
    row, record = plants.take()
    answer = ["yes", "1", "two", "no", "the"][at % 5]
    text = record[HARD][at % 8]["text"]
    record[HARD][at % 8]["text"] = f"{answer} {text}"
    del record["positive_ctxs"][0]["answer_spans"]
    plants.put(row, record | {"answers": [answer]})
    plants.expect("answer-suspected", row, f"{HARD}[{at % 8}]")


def _test_sample(plants: Plants) -> Record:
    sample = plants.test.pop(plants.rng.randrange(len(plants.test)))
    return sample_to_json(sample)


def leaked_question(plants: Plants, at: int) -> None:
    record = _test_sample(plants)
    question = record["question"]
    changed = [
        question,
        question.lower().rstrip("?"),
        f"  {question}\u00a0",
        question.replace(" ", "  ", 2) + "?",
        question.replace("'", "’") + " ?",
    ][at % 5]
    plants.expect("leaked-question", plants.append(record | {"question": changed}))


def nearly_leaked_question(plants: Plants, at: int) -> None:
    record = _test_sample(plants)
    while len(record["question"]) < 35:
        record = _test_sample(plants)
    words = record["question"].split()
    if at % 3 == 0:  # two letters of the longest word change places
        longest = max(range(len(words)), key=lambda i: len(words[i]) * words[i].isalpha())
        word = words[longest]
        middle = len(word) // 2
        words[longest] = word[:middle] + word[middle + 1] + word[middle] + word[middle + 2 :]
    elif at % 3 == 1:  # a word more
        words = ["So", *words]
    else:  # a small word less
        small = [i for i, word in enumerate(words) if word in {"the", "a", "of", "did", "is"}]
        words = [word for i, word in enumerate(words) if i != (small or [len(words) - 1])[0]]
    changed = " ".join(words)
    row = plants.append(record | {"question": changed})
    plants.expect("leaked-question, nearly", row, kinds=("leaked-question",))


def question_in_test(plants: Plants, at: int) -> None:
    row, record = plants.take()
    plants.put(row, record | {"question": _test_sample(plants)["question"]})
    plants.expect("question-in-test", row)


def passage_in_test(plants: Plants, at: int) -> None:
    row, record = plants.take()
    positive = _test_sample(plants)["positive_ctxs"][0] | {"answer_spans": []}
    if at % 2:
        positive["text"] = " ".join([*positive["text"].split()[1:], "indeed"])
    plants.put(row, record | {"positive_ctxs": [positive]})
    plants.expect("passage-in-test", row, "positive_ctxs[0]")


def repeated_question(plants: Plants, at: int) -> None:
    _, record = plants.take()
    changed = record["question"].upper() if at % 2 else record["question"]
    plants.expect("repeated-question", plants.append(record | {"question": changed}))


def other_answers(plants: Plants, at: int) -> None:
    _, record = plants.take()
    _, other = plants.take(
        lambda one: (
            not set(" ".join(one["answers"]).lower().split())
            & set(" ".join(record["answers"]).lower().split())
        )
    )
    plants.expect("other-answers", plants.append(other | {"question": record["question"]}))


def positive_without_answer(plants: Plants, at: int) -> None:
    row, record = plants.take()
    del record["positive_ctxs"][0]["answer_spans"]
    plants.put(row, record | {"answers": [f"zyx{at}"]})
    plants.expect("positive-without-answer", row, "positive_ctxs[0]")


def blank_answer(plants: Plants, at: int) -> None:
    row, record = plants.take()
    plants.put(row, record | {"answers": [*record["answers"], ["", " ", ".", "\u200b"][at % 4]]})
    plants.expect("blank-answer", row)


def short_passage(plants: Plants, at: int) -> None:
    row, record = plants.take()
    record[HARD][at % 8]["text"] = ["See also", "Home", "1. Introduction", "Read more »"][at % 4]
    plants.put(row, record)
    plants.expect("short-passage", row, f"{HARD}[{at % 8}]")


def long_passage(plants: Plants, at: int) -> None:
    row, record = plants.take(lambda one: len(one[HARD][at % 8]["text"].split()) < 200)
    record[HARD][at % 8]["text"] = " ".join([*(one["text"] for one in record[HARD]), "end"] * 2)
    plants.put(row, record)
    plants.expect("long-passage", row, f"{HARD}[{at % 8}]")


def not_letters(plants: Plants, at: int) -> None:
    row, record = plants.take()
    numbers = " ".join(str(plants.rng.randrange(10**6)) for _ in range(40))
    text = [f"Table: {numbers}", "| --- " * 30 + "total", "... " * 40 + "end"][at % 3]
    record[HARD][at % 8]["text"] = text
    plants.put(row, record)
    plants.expect("not-letters", row, f"{HARD}[{at % 8}]")


def broken_characters(plants: Plants, at: int) -> None:
    row, record = plants.take()
    text = record[HARD][at % 8]["text"]
    if at % 2:
        said = f"{text} The café’s façade — it’s naïve."
        record[HARD][at % 8]["text"] = said.encode().decode("cp1252", "replace")
    else:
        record[HARD][at % 8]["text"] = text[:50] + "\ufffd" + text[50:]
    plants.put(row, record)
    plants.expect("broken-characters", row, f"{HARD}[{at % 8}]")


PLANTED = [
    malformed, misplaced_answer, empty_question, no_positive, empty_text, negative_is_positive,
    negative_near_positive, positive_elsewhere, repeated_negative, repeated_positive,
    answer_in_negative, answer_suspected, leaked_question, nearly_leaked_question,
    question_in_test, passage_in_test, repeated_question, other_answers, positive_without_answer,
    blank_answer, short_passage, long_passage, not_letters, broken_characters,
]  # fmt: skip


def findings(path: Path, test: Path) -> dict[Key, str]:
    found = diagnose([path], test_files=[test], examples=None).found
    return {(one.kind, one.place, one.part): one.what for kind in found for one in kind.examples}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--each", type=int, default=10, help="faults of each kind")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    import prepare

    squad = prepare.from_squad(args.data / "squad" / "train.json", "squad")
    samples = prepare.with_negatives(squad, prepare.passages(squad), 8)
    test = args.data / "squad" / "test.json"
    lines = [json.dumps(sample_to_json(sample), ensure_ascii=False) for sample in samples]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.jsonl"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        before = findings(path, test)
        plants = Plants(lines, list(read_samples(test)), random.Random(args.seed))
        for plant in PLANTED:
            for at in range(args.each):
                plant(plants, at)
        path.write_text("".join(f"{line}\n" for line in plants.lines), encoding="utf-8")
        begin = time.perf_counter()
        after = findings(path, test)
        seconds = time.perf_counter() - begin
    report(plants, before, after)
    print(f"{len(plants.lines):,} samples in {seconds:.1f} s")


def report(plants: Plants, before: dict[Key, str], after: dict[Key, str]) -> None:
    planted, missed = Counter(name for name, _ in plants.expected), []
    found: Counter[str] = Counter()
    wanted: set[Key] = set()
    for name, keys in plants.expected:
        wanted |= set(keys)
        if any(key in after and key not in before for key in keys):
            found[name] += 1
        else:
            missed.append((name, keys[0]))
    for name, count in planted.items():
        print(f"{name:32} {found[name]:3} of {count}")
    print(f"{'all':32} {found.total():3} of {planted.total()}")
    for name, key in missed:
        line = plants.lines[int(re.sub(r"\D", "", key[1])) - 1]
        print(f"missed: {name} at {key}: {line[:300]}")
    more = Counter(key[0] for key in after if key not in before and key not in wanted)
    print("told besides, as consequences of what was planted:", dict(more))


if __name__ == "__main__":
    main()
