"""Which of the formats of training samples a file has, told by its content, and what is JSON in it.

Takes paths and texts; gives what JSON holds, or an error that says what can be given. Knows nothing
of what makes a sample.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dpr.corpus.lines import LineDecoder, decode_text, open_bytes
from dpr.errors import InputError

_DPR = (
    "a DPR training JSON (a list of samples with 'question' and 'positive_ctxs', or one such "
    "sample a line)"
)
_SQUAD = "a SQuAD JSON (an object with a list under 'data')"


def check_file(path: Path) -> None:
    """Refuse what is no file that can be read more than once."""
    if path.is_file():
        return
    if path.exists() and not path.is_dir():
        raise InputError(
            "is no regular file but a pipe or device, and files are read more than once; save what "
            "comes out of it to a file, and give that",
            source=str(path),
        )
    what = "is a folder" if path.is_dir() else "no such file"
    raise InputError(
        f"{what}; give a DPR training JSON, a SQuAD JSON, or a BEIR folder (with corpus.jsonl, "
        "queries.jsonl and qrels/)",
        source=str(path),
    )


def load_whole(path: Path) -> Any:
    return load_json(_text(path), path, None)


def _text(path: Path) -> str:
    with open_bytes(path) as stream:
        return decode_text(stream.read(), str(path))


def squad_articles(path: Path) -> list[Any]:
    """What stands under 'data', in a file that has neither lines nor a list.

    Raises:
        InputError: there is no such thing; says what the file is instead, and what can be given.
    """
    text = _text(path)
    begins = text.lstrip()[:40]
    if not begins:
        raise InputError(f"is empty; give {_DPR} or {_SQUAD}", source=str(path))
    # Of what is no object at all, such as a table, the parser would tell no more than a character.
    data = load_json(text, path, None) if begins.startswith("{") else None
    if isinstance(data, dict) and isinstance(data.get("data"), list):
        articles: list[Any] = data["data"]
        return articles
    raise InputError(f"is neither {_DPR} nor {_SQUAD}; it begins {begins!r}", source=str(path))


def has_lines(path: Path) -> bool:
    """Whether the first line is a sample of its own, or an object that cannot be the whole."""
    with open_bytes(path) as stream:
        lines = filter(bytes.strip, LineDecoder(path).raw_lines(stream))
        first = next(lines, b"").lstrip()
        if not first.startswith(b"{"):
            return False
        try:
            record = json.loads(first)
        except (ValueError, RecursionError):  # told of when all of it is read
            return False
        if "question" in record or isinstance(record.get("data"), list):
            return "question" in record
        return any(lines)


def has_list(path: Path) -> bool:
    """Whether it begins as a list of samples does."""
    with open_bytes(path) as stream:
        return stream.peek(4096).lstrip()[:1] == b"["


def load_json(text: str, path: Path, line: int | None) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")  # "Unterminated string starting at"
        raise InputError(
            f"not valid JSON: {what} at character {error.pos}",
            source=str(path),
            line=line or error.lineno,
        ) from error
    except (ValueError, RecursionError) as error:  # a number too long, lists too deep
        raise InputError(f"not read as JSON: {error}", source=str(path), line=line) from error
