"""The experiment's files from where they are published, as ``files.json`` says.

    python download.py --to DIR [--files FILES.json]

A download that was interrupted goes on where it stood, if the server still has the same file. It
gets its name when it is whole: as long as the server said, of as many lines or samples and of the
SHA-256 that ``files.json`` knows; null there means that nobody has told us. The SHA-256 that was
found is kept in DIR/downloaded.json. A file that is there already is taken as it is, unless its
SHA-256 is known there and another.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
import zlib
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from dpr.corpus.lines import open_bytes
from dpr.errors import DPRError
from dpr.questions.files import read_records

HERE = Path(__file__).resolve().parent
KEPT = "downloaded.json"
CHUNK = 1 << 20
TRIES = 5
WAIT_SECONDS = 5.0
TIMEOUT_SECONDS = 60.0


class Failed(Exception):
    """A file that cannot be had, or is not what it should be; in words."""


def fetch(url: str, path: Path, tries: int = TRIES, wait: float = WAIT_SECONDS) -> Path:
    """Downloads beside ``path``, going on with what is there of it, until all is there; gives where
    it lies."""
    part = path.with_name(f"{path.name}.part")
    for attempt in range(1, tries + 1):
        try:
            if _more(url, part):
                return part
            why = "the connection ended early"
        except HTTPError as error:
            if error.code < 500:
                raise Failed(f"{url}: the server says {error.code} {error.reason}") from error
            why = str(error)
        except (URLError, HTTPException, OSError) as error:
            why = str(error)
        if attempt < tries:
            time.sleep(wait)
    raise Failed(
        f"{url}: {why}; run it again to go on, name another address (--files), or put the file "
        f"itself at {path}"
    )


def _more(url: str, part: Path) -> bool:
    """Appends what the server gives; whether all is there then."""
    mark = part.with_name(f"{part.name}.mark")  # what the server calls this version of the file
    known = mark.read_text(encoding="utf-8") if mark.is_file() and part.is_file() else ""
    start = part.stat().st_size if known else 0
    headers = {"Accept-Encoding": "identity"}  # a .gz is to come as it is
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": known}
    try:
        answer = urlopen(Request(url, headers=headers), timeout=TIMEOUT_SECONDS)
    except HTTPError as error:
        if error.code != 416 or not start:
            raise
        mark.unlink()  # all is there, or more: then the next try begins anew
        return bool(error.headers.get("Content-Range") == f"bytes */{start}")
    with answer:
        if answer.status != 206:
            start = 0
        elif not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise Failed(f"{url}: the server gives another part of the file than was asked for")
        length = answer.headers.get("Content-Length")
        with part.open("ab" if start else "wb") as file:
            if not start:
                version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
                mark.write_text("" if version.startswith("W/") else version, encoding="utf-8")
            while data := answer.read(CHUNK):
                file.write(data)
    done = length is None or part.stat().st_size == start + int(length)
    if done:
        mark.unlink(missing_ok=True)
    return done


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check(path: Path, known: dict[str, Any]) -> str:
    """The SHA-256 of a file that holds what ``known`` says.

    Raises:
        Failed: it does not.
    """
    found = sha256_of(path)
    if known.get("sha256") not in (None, found):
        raise Failed(f"{path}: has the SHA-256 {found}, known is {known['sha256']}")
    for what, count in (("lines", _lines), ("samples", _samples)):
        if known.get(what) is None:
            continue
        try:
            number = count(path)
        except (DPRError, EOFError, OSError, zlib.error) as error:
            raise Failed(f"{path}: cannot be read to its end: {error}") from error
        if number != known[what]:
            raise Failed(f"{path}: has {number:,} {what}, known are {known[what]:,}")
    return found


def _lines(path: Path) -> int:
    count, last = 0, b"\n"
    with open_bytes(path) as stream:
        while data := stream.read(CHUNK):
            count += data.count(b"\n")
            last = data[-1:]
    return count + (last != b"\n")


def _samples(path: Path) -> int:
    return sum(1 for _ in read_records(path))


def get(name: str, known: dict[str, Any], folder: Path) -> str:
    """Sees to it that one file is there; gives its SHA-256."""
    path = folder / name
    if path.is_file():
        found = check(path, {"sha256": known.get("sha256")})
        print(f"{name}: there already, SHA-256 {found}", flush=True)
        return found
    print(f"{name}: {known['what']}, from {known['url']}", flush=True)
    part = fetch(known["url"], path)
    try:
        found = check(part, known)
    except Failed:
        part.replace(path.with_name(f"{name}.wrong"))  # to look at; the next try begins anew
        raise
    part.replace(path)
    told = "as known" if known.get("sha256") else "no other is known to compare with"
    print(f"{name}: {path.stat().st_size:,} bytes, SHA-256 {found} ({told})", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--files", type=Path, default=HERE / "files.json")
    args = parser.parse_args()
    args.to.mkdir(parents=True, exist_ok=True)
    kept = args.to / KEPT
    before = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    for name, known in json.loads(args.files.read_text(encoding="utf-8")).items():
        try:
            given = known if known.get("sha256") else known | {"sha256": before.get(name)}
            before[name] = get(name, given, args.to)
        except Failed as error:
            sys.exit(str(error))
        temporary = kept.with_name(f"{KEPT}.tmp")
        temporary.write_text(json.dumps(before, indent=2) + "\n", encoding="utf-8")
        temporary.replace(kept)


if __name__ == "__main__":
    main()
