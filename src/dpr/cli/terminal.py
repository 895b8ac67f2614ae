"""What the command line writes: results on stdout, everything else on stderr.

Takes texts and values; gives lines. Colours only on terminals that want them (``NO_COLOR``, pipes);
control characters in what people indexed never reach the terminal. Knows nothing of the verbs.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

# C0 and C1 but newline and tab: an escape sequence in a document must not drive the terminal.
_CONTROL = dict.fromkeys((*range(32), *range(127, 160)), "\N{REPLACEMENT CHARACTER}")
del _CONTROL[ord("\n")], _CONTROL[ord("\t")]


def out() -> Console:
    """For results. Made when needed, since stdout can be replaced."""
    return Console(highlight=False)


def err() -> Console:
    """For progress, notes and errors."""
    return Console(stderr=True, highlight=False)


def clean(text: str) -> str:
    """The same number of characters, with control characters made harmless."""
    return text.translate(_CONTROL)


def line(text: str | Text = "") -> None:
    """One result line, never wrapped."""
    out().print(Text(clean(text)) if isinstance(text, str) else text, soft_wrap=True)


def note(text: str) -> None:
    """Something worth knowing that stops nothing: one line on stderr."""
    _say("note", "yellow", " ".join(text.split()))


def notes(text: str) -> None:
    """Each line as a note."""
    for one in text.splitlines():
        note(one)


def error(text: str) -> None:
    """Why the command failed."""
    _say("error", "bold red", text)


def _say(word: str, style: str, text: str) -> None:
    err().print(Text.assemble((f"{word}:", style), f" {clean(text)}"), soft_wrap=True)


def json_line(value: Any) -> None:
    """One JSON value as one line, sent at once so that readers of a pipe need not wait."""
    # Only where stdout can carry every character are they written as they are.
    ascii_only = not (sys.stdout.encoding or "").lower().startswith("utf")
    sys.stdout.write(json.dumps(value, ensure_ascii=ascii_only, allow_nan=False) + "\n")
    sys.stdout.flush()


def size(count: int) -> str:
    """Bytes for people: 1536 is ``1.5 kB``."""
    amount = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"


def duration(seconds: float) -> str:
    """Seconds for people: 75 is ``1 min 15 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def document(identifier: str, source: str, passages: int) -> str:
    """A document of a collection, as one line."""
    count = "1 passage" if passages == 1 else f"{passages:,} passages"
    return "  ".join(part for part in (identifier, count, source) if part)
