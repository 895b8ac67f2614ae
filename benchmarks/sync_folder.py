"""How long `dpr sync` takes where a few of many files changed, and how many passages it encodes.

Makes a folder of text files out of SQuAD's paragraphs, indexes it (minutes, once: --work keeps it),
then changes some files, adds one and removes one, and syncs in a process of its own, as a person
would: the time includes starting Python and loading the model. The processor's time, which other
programs do not lengthen as they do the wall's, stands beside it. Every tenth file is long, and
those that change are among them, so that most of their passages stay as they are.

    python benchmarks/sync_folder.py --work /tmp/sync
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

LONG = 10  # every so many files


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, required=True, help="gets files and collections")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--changed", type=int, default=10)
    parser.add_argument("--model", default="dpr-mini")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args()


def paragraphs(data: Path) -> list[tuple[str, str]]:
    """Titles and texts of SQuAD's paragraphs, those of all its files."""
    found = []
    for file in sorted((data / "squad").glob("*.json")):
        for article in json.loads(file.read_text("utf-8"))["data"]:
            title = article["title"].replace("_", " ")
            found += [(title, paragraph["context"]) for paragraph in article["paragraphs"]]
    return found


def write_files(folder: Path, texts: list[tuple[str, str]], count: int) -> None:
    """Files of about 25 words; long ones of five paragraphs."""
    folder.mkdir(parents=True)
    for number in range(count):
        at = number * len(texts) // count
        title, text = texts[at]
        if number % LONG == 0:
            text = "\n\n".join(text for _, text in texts[at : at + 5])
        else:
            words = text.split()
            start = 25 * (number % max(1, len(words) // 25))
            text = " ".join(words[start : start + 25])
        path = folder / f"{number // 100:03}" / f"{number:05}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"# {title}\n\n{text}\n", encoding="utf-8")


def change(folder: Path, count: int, round_: int) -> None:
    """Appends to ``count`` long files, adds one file, removes one."""
    files = sorted(folder.rglob("*.md"))
    long = [path for path in files if int(path.stem) % LONG == 0 and int(path.stem) < 10**6]
    for path in long[:: max(1, len(long) // count)][:count]:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(f"\nThis line was added in round {round_}.\n")
    (folder / f"{10**6 + round_}.md").write_text(f"# New\n\nA file of round {round_}.\n")
    files[-1 - round_].unlink()


def processor_seconds() -> float:
    """Of the processes that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def dpr(*words: object) -> tuple[dict[str, Any], float, float]:
    """What a command prints, and the seconds of its process: the wall's, the processor's."""
    began, used = time.perf_counter(), processor_seconds()
    done = subprocess.run(
        [sys.executable, "-m", "dpr", *map(str, words), "--json"],
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout), time.perf_counter() - began, processor_seconds() - used


def main() -> None:
    options = arguments()
    folder, made = options.work / "files", options.work / "made.dpr"
    collection = options.work / "synced.dpr"
    if not folder.exists():
        write_files(options.work / "original", paragraphs(options.data), options.files)
    else:
        shutil.rmtree(folder)
    shutil.copytree(options.work / "original", folder)
    if not (made / "manifest.json").exists():
        index, seconds, _ = dpr("index", folder, "--to", made, "--model", options.model)
        print(
            f"index: {index['documents']} files, {index['passages']} passages, {seconds:.1f} s",
            flush=True,
        )
    shutil.rmtree(collection, ignore_errors=True)
    shutil.copytree(made, collection)
    figures = []
    for round_ in range(options.rounds + 1):
        if round_:
            change(folder, options.changed, round_)
        told, seconds, processor = dpr("sync", folder, "--to", collection)
        figures.append({**told, "seconds": seconds, "processor_seconds": processor})
        what = f"{options.changed} files changed, 1 new, 1 gone" if round_ else "nothing changed"
        passages = told["passages"]
        print(
            f"sync, {what}: {seconds:.2f} s ({processor:.2f} s of processor); "
            f"{passages['encoded']} passages encoded, {passages['taken_over']} taken over, "
            f"{passages['removed']} removed; version {told['version']}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
