"""Downloading the files of recipes/natural-questions, from a server on this machine."""

from __future__ import annotations

import gzip
import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from .miniature import load


class Served(BaseHTTPRequestHandler):
    """Gives one file, its parts too; may break off."""

    content = b""
    tag = '"one"'
    break_after: int | None = None
    ranges: list[str | None]

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        type(self).ranges.append(wanted)
        start = 0
        if wanted and self.headers.get("If-Range") == self.tag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if wanted and start >= len(self.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(self.content)}")
            self.end_headers()
            return
        body = self.content[start:]
        self.send_response(206 if start else 200)
        if start:
            last = len(self.content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(self.content)}")
        self.send_header("ETag", self.tag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.break_after])
        type(self).break_after = None

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[type[Served], str]]:
    kind = type("ServedHere", (Served,), {"ranges": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield kind, f"http://127.0.0.1:{serving.server_port}/file"
        serving.shutdown()
        thread.join()


def test_a_download_goes_on_where_it_stood(
    server: tuple[type[Served], str], tmp_path: Path
) -> None:
    kind, url = server
    kind.content, kind.break_after = os.urandom(300_000), 100_000
    module = load("download.py")
    part = module.fetch(url, tmp_path / "file", wait=0)
    assert part.read_bytes() == kind.content
    assert kind.ranges == [None, "bytes=100000-"]
    # All bytes are there, and the process died before it knew.
    (tmp_path / "file.part.mark").write_text(kind.tag)
    kind.ranges.clear()
    assert module.fetch(url, tmp_path / "file", wait=0).read_bytes() == kind.content
    assert kind.ranges == ["bytes=300000-"]


def test_a_file_that_changed_is_downloaded_anew(
    server: tuple[type[Served], str], tmp_path: Path
) -> None:
    kind, url = server
    kind.content = os.urandom(200_000)
    (tmp_path / "file.part").write_bytes(b"of another version")
    (tmp_path / "file.part.mark").write_text('"old"')
    module = load("download.py")
    assert module.fetch(url, tmp_path / "file", wait=0).read_bytes() == kind.content


def test_what_is_downloaded_is_checked(
    server: tuple[type[Served], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, url = server
    kind.content = gzip.compress(b"id\ttext\ttitle\n1\tx\ty\n")
    module = load("download.py")
    digest = hashlib.sha256(kind.content).hexdigest()
    known = {"url": url, "what": "passages", "lines": 2, "sha256": None}
    assert module.get("a.tsv.gz", known, tmp_path) == digest
    assert "no other is known" in capsys.readouterr().out
    with pytest.raises(module.Failed, match="has 2 lines, known are 3"):
        module.get("b.tsv.gz", known | {"lines": 3}, tmp_path)
    with pytest.raises(module.Failed, match="known is 00"):
        module.get("c.tsv.gz", known | {"sha256": "00"}, tmp_path)
    with pytest.raises(module.Failed, match="known is 00"):  # one that is there, too
        module.get("a.tsv.gz", known | {"sha256": "00"}, tmp_path)
    kind.content = kind.content[:-4]
    with pytest.raises(module.Failed, match="cannot be read to its end"):
        module.get("d.tsv.gz", known, tmp_path)
    there = {path.name for path in tmp_path.iterdir()}
    assert there == {"a.tsv.gz", "b.tsv.gz.wrong", "c.tsv.gz.wrong", "d.tsv.gz.wrong"}


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    module = load("download.py")
    with pytest.raises(module.Failed, match=r"127\.0\.0\.1:9.*run it again.*file itself at"):
        module.fetch("http://127.0.0.1:9/file", tmp_path / "file", tries=2, wait=0)
