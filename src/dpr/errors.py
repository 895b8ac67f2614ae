"""The errors a user can meet, in one tree.

    DPRError
    ├── InputError         a document, table or question that cannot be read as it should
    │   └── IdError            an id that is taken, comes twice, or is nobody's
    ├── SettingsError      a setting outside what is allowed
    ├── CheckpointError    a model folder that cannot be loaded or saved
    ├── CollectionError    a collection that cannot be opened, built or written
    │   ├── CorruptionError    its files are not those that its manifest lists
    │   └── MismatchError      it was made by another encoder, tokenizer or setting
    ├── ServiceError       a service that refused, failed or did not answer
    └── MissingExtraError  an optional dependency is not installed

Every message says what was given, what is allowed and what to do about it; about a file it
names the file and, where there is one, the line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class DPRError(Exception):
    """Base of every error that the package raises on purpose."""


class InputError(DPRError, ValueError):
    """Malformed input. ``source`` and ``line`` (1-based) say where, when known."""

    def __init__(self, message: str, *, source: str | None = None, line: int | None = None) -> None:
        self.source = source
        self.line = line
        where = "" if source is None else f"{source}: " if line is None else f"{source}:{line}: "
        super().__init__(where + message)


class IdError(InputError):
    """Ids that are taken, come twice, or are nobody's: ``ids``."""

    def __init__(
        self,
        message: str,
        ids: Sequence[str] = (),
        *,
        source: str | None = None,
        line: int | None = None,
    ) -> None:
        self.ids = tuple(ids)
        super().__init__(message, source=source, line=line)


class SettingsError(DPRError, ValueError):
    """A setting outside what is allowed."""


class CheckpointError(DPRError):
    """A model folder or file that cannot be loaded or saved."""


class CollectionError(DPRError):
    """A collection that cannot be opened, built or written."""


class CorruptionError(CollectionError):
    """A collection whose files are not those that its manifest lists."""


class MismatchError(CollectionError):
    """A collection used with another encoder, tokenizer or setting than made it."""


class ServiceError(DPRError):
    """A service did not do what it was asked.

    Attributes:
        status: HTTP's; 0 where no answer came.
        code: a word for programs, such as ``queue_full_items``; ``refused`` where the answer had
            none. ``unreachable``, ``broken``, ``deadline`` and ``shape`` are the client's own
            (``deadline`` with status 504 is the service's).
        detail: a sentence for people.
        request_id: what the service's log knows the request by; empty where it did not say.
        retry_after: seconds after which it may go better, where the service said so.
        places: of the request, and what is wrong there: ``{"place": ..., "message": ...}``.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        request_id: str = "",
        retry_after: float | None = None,
        places: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.status, self.code, self.detail = status, code, detail
        self.request_id, self.retry_after, self.places = request_id, retry_after, tuple(places)
        told = f"{status} {code}: {detail}" if status else detail
        if self.places:
            wrong = (f"{one.get('place')}: {one.get('message')}" for one in self.places)
            told = f"{told.rstrip('.')}: {'; '.join(wrong)}"
        super().__init__(f"{told} (request {request_id})" if request_id else told)


class MissingExtraError(DPRError, ImportError):
    """An optional dependency is missing; ``extra`` is what to install."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        self.extra = extra
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed; "
            f"run: pip install 'dense-passage-retrieval[{extra}]'"
        )
