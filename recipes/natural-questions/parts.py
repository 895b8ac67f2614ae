"""The passages in as many files as there are devices to encode them: row by row, turn by turn.

    python parts.py --passages psgs_w100.tsv.gz --parts N --to DIR

Gives DIR/0.tsv and so on, each with the header, when all are whole. What is encoded of them comes
together again by the passages' ids (``dpr import --ids``).
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

from dpr.corpus.settings import SourceSettings
from dpr.corpus.sources import read_documents
from dpr.questions.rows import write_row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=Path, required=True)
    parser.add_argument("--parts", type=int, required=True)
    parser.add_argument("--to", type=Path, required=True)
    args = parser.parse_args()
    args.to.mkdir(parents=True, exist_ok=True)
    paths = [args.to / f"{number}.tsv" for number in range(args.parts)]
    if all(path.is_file() for path in paths):
        return
    temporary = [path.with_suffix(".tmp") for path in paths]
    with ExitStack() as opened:
        files = [
            opened.enter_context(path.open("w", encoding="utf-8", newline="")) for path in temporary
        ]
        for file in files:
            file.write(write_row("id", "text", "title"))
        documents = read_documents(args.passages, SourceSettings(format="psgs"))
        for number, one in enumerate(documents):
            files[number % args.parts].write(write_row(one.id, one.text, one.title))
    for before, path in zip(temporary, paths, strict=True):
        before.replace(path)
    print(f"{args.to}: {number + 1:,} passages in {args.parts} files")


if __name__ == "__main__":
    main()
