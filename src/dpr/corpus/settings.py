"""Settings of reading and of splitting: plain values, checked when they are made.

Takes what a person chose; gives frozen records. Knows nothing of files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from dpr.errors import SettingsError

Format = Literal[
    "auto", "files", "psgs", "jsonl", "beir", "csv", "tsv", "parquet", "squad", "pydoc"
]
OnError = Literal["raise", "skip"]
Unit = Literal["words", "sentences", "paragraphs", "none"]

FORMATS: tuple[str, ...] = get_args(Format)
UNITS: tuple[str, ...] = get_args(Unit)
NAMED_COLUMNS = ("auto", "jsonl", "csv", "tsv", "parquet")
METADATA_COLUMNS = (*NAMED_COLUMNS, "beir")
LARGEST = 100_000
NEAR = 0.8


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """How to read a source.

    Attributes:
        format: what the source is; ``auto`` recognises it by its name, extension and header.
        id_column: column or key of the ids; by default ``id`` or ``_id``.
        text_column: column or key of the texts; by default ``text``, ``contents`` or ``body``.
        title_column: column or key of the titles; by default ``title`` where there is one.
        metadata_columns: columns or keys to keep as metadata, which searches can be narrowed by.
        on_error: ``raise`` stops at the first malformed document or row; ``skip`` leaves it out
            and counts it in the ``Problems`` that the reader was given.

    Raises:
        SettingsError: an unknown format or policy, or a column for a format that names its own.
    """

    format: Format = "auto"
    id_column: str | None = None
    text_column: str | None = None
    title_column: str | None = None
    on_error: OnError = "raise"
    metadata_columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise SettingsError(
                f"unknown source format {self.format!r}; choose one of {', '.join(FORMATS)}"
            )
        if self.on_error not in get_args(OnError):
            raise SettingsError(
                f"on_error is {self.on_error!r}; choose 'raise' to stop at the first malformed "
                "document or 'skip' to count it and go on"
            )
        for name in ("id_column", "text_column", "title_column"):
            if getattr(self, name) == "":
                raise SettingsError(f"{name} is empty; name a column, or leave it out")
        self._check_metadata_columns()
        self.check_columns(self.format)

    def _check_metadata_columns(self) -> None:
        names: object = self.metadata_columns
        if isinstance(names, list):  # as JSON has it
            names = tuple(names)
            object.__setattr__(self, "metadata_columns", names)
        if not isinstance(names, tuple) or not all(isinstance(one, str) and one for one in names):
            raise SettingsError(
                f"metadata_columns is {names!r}; give the names of columns, such as ('year', 'url')"
            )
        if len(set(names)) < len(names):
            raise SettingsError(f"metadata_columns names a column twice: {', '.join(names)}")

    def check_columns(self, chosen: Format) -> None:
        """Refuse names of columns for a format that has none to name.

        Raises:
            SettingsError: a column is named that ``chosen`` has not.
        """
        if self.names_columns and chosen not in NAMED_COLUMNS:
            raise SettingsError(
                f"columns are named, and the format {chosen!r} has columns of its own; id_column, "
                f"text_column and title_column go with {', '.join(NAMED_COLUMNS)}"
            )
        if self.metadata_columns and chosen not in METADATA_COLUMNS:
            raise SettingsError(
                f"columns are named, and the format {chosen!r} has none to name; metadata_columns "
                f"go with {', '.join(METADATA_COLUMNS)}"
            )

    @property
    def names_columns(self) -> bool:
        """Whether a column of ids, texts or titles was named."""
        return any((self.id_column, self.text_column, self.title_column))


@dataclass(frozen=True, slots=True)
class SplitSettings:
    """How to cut a document into passages.

    Attributes:
        unit: ``words`` (consecutive runs of ``size`` words, the paper's way), ``sentences``
            (whole sentences, at most ``size`` words together), ``paragraphs`` (one passage a
            paragraph, a longer one cut on sentences) or ``none`` (a document is a passage).
        size: the most words a passage may have; ``none`` does not look at it.

    Raises:
        SettingsError: an unknown unit, or a size that is not a whole number of 1 to 100,000.
    """

    unit: Unit = "words"
    size: int = 100

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise SettingsError(f"unknown split unit {self.unit!r}; choose one of {_CHOICES}")
        if isinstance(self.size, bool) or not isinstance(self.size, int):
            raise SettingsError(f"the split size is {self.size!r}; give a whole number of words")
        if not 1 <= self.size <= LARGEST:
            raise SettingsError(f"the split size is {self.size}; give 1 to {LARGEST} words")

    @classmethod
    def parse(cls, text: str) -> SplitSettings:
        """The settings that ``text`` spells: ``words:100``, ``sentences``, ``none``.

        Raises:
            SettingsError: ``text`` is none of these.
        """
        unit, colon, size = text.partition(":")
        if unit not in UNITS or (colon and unit == "none"):
            raise SettingsError(f"cannot split by {text!r}; choose one of {_CHOICES}")
        if not colon:
            return cls(unit=unit)  # type: ignore[arg-type]
        if not (size.isascii() and size.isdigit()):
            raise SettingsError(
                f"cannot split by {text!r}: {size!r} is no whole number; write for example "
                f"{unit}:100"
            )
        return cls(unit=unit, size=int(size))  # type: ignore[arg-type]

    def __str__(self) -> str:
        return "none" if self.unit == "none" else f"{self.unit}:{self.size}"


@dataclass(frozen=True, slots=True)
class DuplicateSettings:
    """Which passages are duplicates of earlier ones.

    Attributes:
        near: the least part of word sequences that two passages share for the later one to be a
            near duplicate (Jaccard's coefficient, 0.5 to 1); None finds only equal texts.

    Raises:
        SettingsError: ``near`` is outside its range.
    """

    near: float | None = None

    def __post_init__(self) -> None:
        near = self.near
        if near is None:
            return
        if isinstance(near, bool) or not isinstance(near, int | float) or not 0.5 <= near <= 1:
            raise SettingsError(f"near is {near!r}; give a number of 0.5 to 1, such as {NEAR}")

    @classmethod
    def parse(cls, text: str) -> DuplicateSettings | None:
        """What ``text`` says to drop: ``keep`` (nothing: None), ``drop-exact``, ``drop-near``,
        ``drop-near:0.9``.

        Raises:
            SettingsError: ``text`` is none of these.
        """
        what, colon, near = text.partition(":")
        if text == "keep":
            return None
        if text == "drop-exact":
            return cls()
        if what == "drop-near":
            try:
                return cls(float(near) if colon else NEAR)
            except ValueError:
                pass
        raise SettingsError(
            f"duplicates are {text!r}; choose keep, drop-exact, or drop-near:N, where N (if not "
            f"given, {NEAR}) is how much two passages share, 0.5 to 1"
        )

    def __str__(self) -> str:
        return "drop-exact" if self.near is None else f"drop-near:{self.near}"


_CHOICES = "words:N, sentences:N, paragraphs:N (N words at most, 100 by default) or none"
