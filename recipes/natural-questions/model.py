"""A model folder of what training gave: both towers, and a reader where there is one.

    python model.py --retriever RUN/best [--reader RUN/best] --to DIR [--batch-tokens N]

Collections remember the folder, so a reader that is added later is found by them. ``batch_tokens``,
the tokens that are encoded or read at once, is set for the device; it decides no vector.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

SETTINGS = ("encoding.json", "reading.json")
TOWERS = ("encoder", "question_encoder", "ctx_encoder")


def put(part: Path, folder: Path, tokens: int) -> None:
    """Copies one part; its settings get the number of tokens. It is there as a whole or not."""
    there = folder / part.name
    temporary = folder / f".{part.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(part, temporary)
    for path in (temporary / name for name in SETTINGS):
        if tokens and path.is_file():
            settings = json.loads(path.read_text(encoding="utf-8")) | {"batch_tokens": tokens}
            path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(there, ignore_errors=True)
    temporary.replace(there)
    print(there)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--retriever", type=Path)
    parser.add_argument("--reader", type=Path)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--batch-tokens", type=int, default=0)
    args = parser.parse_args()
    args.to.mkdir(parents=True, exist_ok=True)
    parts = [args.retriever / name for name in TOWERS] if args.retriever else []
    parts += [args.reader / "reader"] if args.reader else []
    for part in filter(Path.is_dir, parts):
        put(part, args.to, args.batch_tokens)


if __name__ == "__main__":
    main()
