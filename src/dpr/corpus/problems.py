"""What could not be read, kept so that nothing vanishes silently.

Takes single problems while documents are read; gives the total count, the first few in full, and
the files that a folder holds but that are of no type this package reads. Knows nothing of how
documents are read.
"""

from __future__ import annotations

from dataclasses import dataclass

from dpr.errors import DPRError, InputError

KEPT = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that was skipped: ``source`` is a path or ``file:line``."""

    source: str
    reason: str

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


class Problems:
    """Counts everything that was skipped and keeps the first ``keep`` in full.

    Attributes:
        count: how many documents or rows were skipped because something was wrong with them.
        items: the first ``keep`` of them.
        hidden: how many of them may each hide a document that was read before: all but empty files
            and ids that came before.
        ignored: how many files of a folder were left aside because of their type.
        ignored_items: the first ``keep`` of those, as paths.
    """

    def __init__(self, keep: int = KEPT) -> None:
        self.keep = keep
        self.count = 0
        self.hidden = 0
        self.items: list[Problem] = []
        self.ignored = 0
        self.ignored_items: list[str] = []

    def add(self, source: str, reason: str, *, hides: bool = True) -> None:
        """Count one skipped document or row; keep it when it is among the first."""
        self.count += 1
        self.hidden += hides
        if len(self.items) < self.keep:
            self.items.append(Problem(source, reason))

    def add_error(self, error: DPRError, source: str) -> None:
        """Count what ``error`` tells; ``source`` is used where the error names none."""
        reason = str(error)
        if isinstance(error, InputError) and error.source is not None:
            source = error.source if error.line is None else f"{error.source}:{error.line}"
            reason = reason.removeprefix(f"{source}: ")
        self.add(source, reason)

    def ignore(self, path: str) -> None:
        """Count one file that is of no type this package reads."""
        self.ignored += 1
        if len(self.ignored_items) < self.keep:
            self.ignored_items.append(path)

    def summary(self) -> str:
        """A few lines for people; empty when there is nothing to tell."""
        lines = []
        if self.count:
            lines.append(f"skipped {self.count}:")
            lines += [f"  {item}" for item in self.items]
            lines += _rest(self.count, len(self.items))
        if self.ignored:
            lines.append(f"ignored {self.ignored} of other types:")
            lines += [f"  {path}" for path in self.ignored_items]
            lines += _rest(self.ignored, len(self.ignored_items))
        return "\n".join(lines)


def _rest(count: int, shown: int) -> list[str]:
    return [f"  and {count - shown} more"] if count > shown else []
