"""A model folder of what training gave: both towers, and a reader where there is one.

    python model.py --retriever RUN/best [--reader RUN/best] --to DIR [--batch-tokens N]

Collections remember the folder, so a reader that is added later is found by them. ``batch_tokens``,
the tokens that are encoded or read at once, is set for the device; it decides no vector.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

from dpr.encoding import SETTINGS_NAME as ENCODING
from dpr.encoding import EncodingSettings
from dpr.reading import SETTINGS_NAME as READING
from dpr.reading import ReadingSettings
from dpr.settings import load_settings, save_settings

TOWERS = ("encoder", "question_encoder", "ctx_encoder")


def put(part: Path, folder: Path, tokens: int) -> None:
    """Copies one part; its settings get the number of tokens. It is there as a whole or not."""
    there = folder / part.name
    temporary = folder / f".{part.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(part, temporary)
    for kind, name in ((EncodingSettings, ENCODING), (ReadingSettings, READING)):
        settings = load_settings(kind, temporary / name)
        if settings is not None and tokens:
            save_settings(replace(settings, batch_tokens=tokens), temporary / name)
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
