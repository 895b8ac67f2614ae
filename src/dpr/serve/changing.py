"""Documents come and go while the service runs: one change at a time, each a version.

Takes documents and ids; gives the version that holds the change, which is asked from then on.
Knows nothing of HTTP, and of how collections change no more than ``dpr.pipeline`` does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dpr.encoding import ContextEncoder, Vectors
from dpr.errors import CollectionError, DPRError, IdError, InputError
from dpr.pipeline import add, remove
from dpr.records import Document, Passage
from dpr.serve.beside import beside
from dpr.serve.problems import Refused
from dpr.serve.service import Service, unreadable
from dpr.serve.work import Encode, Encoded

logger = logging.getLogger(__name__)
_BUSY = 5  # seconds
_FULL = 60
_OTHERS_SECONDS = 2.0  # that other processes may take to open a version, or longer:
_TIMES_OURS = 3  # it took here, since large collections take long, and all open it at once
_ENCODING_SECONDS = 3600.0
_AT_ONCE = 8  # passages: what questions wait for, at most, while documents come


@dataclass(frozen=True, slots=True)
class Change:
    """What a change did: the version that it made, and passages that came and went."""

    version: int
    added: int
    removed: int


class Changer:
    """Changes the collection that a service asks."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._folder = str(service.engine.pipeline.collection.path)
        self._lock = asyncio.Lock()

    async def add(self, documents: Sequence[Document], *, replace: bool) -> Change:
        """Adds documents, or puts them in the place of those with the same ids.

        Raises:
            Refused: 409, an id is taken, comes twice, or another change is being made.
        """
        engine, loop = self._service.engine, asyncio.get_running_loop()
        if engine.passages is None:
            detail = "Nothing can be added here: the collection's encoder of passages is not known."
            raise Refused(409, "no_passage_encoder", detail)
        encoder = Sharing(engine.passages, self._service, loop)

        def adding() -> Change:
            done = add(
                list(documents), self._folder, model=engine.model, replace=replace, encoder=encoder
            )
            return Change(done.manifest.version, done.added, done.removed)

        return await self._made(adding, _taken)

    async def remove(self, document: str) -> Change:
        """Removes a document.

        Raises:
            Refused: 404, there is none; 409, it is the last, or another change is being made.
        """

        def removing() -> Change:
            done = remove(self._folder, [document])
            return Change(done.manifest.version, done.added, done.removed)

        return await self._made(removing, _not_there)

    async def _made(
        self, change: Callable[[], Change], refusal: Callable[[InputError], Refused]
    ) -> Change:
        if self._lock.locked():
            raise _busy()
        async with self._lock:
            try:
                done = await beside(change)
            except InputError as error:
                logger.warning("a change was refused: %s", error)  # it may hold paths
                raise refusal(error) from error
            except (DPRError, OSError) as error:
                raise _failed(error) from error
            began = time.monotonic()
            await self._service.follower.renew()
            took = time.monotonic() - began
            if not await self._asked(done.version, max(_OTHERS_SECONDS, _TIMES_OURS * took)):
                detail = (
                    f"The change is made, as version {done.version}, but version "
                    f"{self._service.oldest} is asked still; the server's log says why."
                )
                raise Refused(503, "not_asked_yet", detail, retry_after=_BUSY)
        return done

    async def _asked(self, version: int, seconds: float) -> bool:
        """Whether it is asked from now on, also by other processes of the server, which have so
        many seconds to open it after they saw it."""
        if self._service.engine.version < version:
            return False
        end = time.monotonic() + 2 * self._service.settings.reload_seconds + seconds
        while self._service.oldest < version:
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0.02)
        return True


class Sharing:
    """An encoder of passages that takes its turn with the questions: whoever changes documents is
    in another thread, and torch uses all cores for what it does."""

    def __init__(
        self, encoder: ContextEncoder, service: Service, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.dim, self.fingerprint = encoder.dim, encoder.fingerprint
        self.settings: Mapping[str, Any] = encoder.settings
        self.truncated = 0
        self._service, self._loop = service, loop

    def encode(
        self, passages: Sequence[Passage], progress: Callable[[int], None] | None = None
    ) -> Vectors:
        """As ``ContextEncoder.encode``; not to be called in the event loop."""
        parts = [passages[at : at + _AT_ONCE] for at in range(0, len(passages), _AT_ONCE)]
        tasks = [Encode(tuple(part)) for part in parts]
        doing = self._service.unhurried(tasks, _ENCODING_SECONDS)
        made: list[Encoded] = asyncio.run_coroutine_threadsafe(doing, self._loop).result()
        self.truncated += sum(one.truncated for one in made)
        if progress is not None:
            progress(len(passages))
        return np.concatenate([one.vectors for one in made])


def _taken(error: InputError) -> Refused:
    """What is said where documents cannot come in."""
    which = f"The id {_named(error)}" if isinstance(error, IdError) else "An id"
    detail = (
        f"{which} is taken: it comes twice here, belongs to a document of another source (which "
        "this one replaces if you send replace), or is that of a passage, as documents are cut "
        "into id#0, id#1 and so on. Give the document another id."
    )
    return Refused(409, "document_taken", detail)


def _not_there(error: InputError) -> Refused:
    """What is said where a document cannot go."""
    if isinstance(error, IdError):
        return Refused(404, "no_document", f"There is no document with the id {_named(error)}.")
    detail = "This is the last document, and a collection needs one: add another first."
    return Refused(409, "last_document", detail)


def _named(error: IdError) -> str:
    return ", ".join(map(ascii, error.ids))


def _failed(error: DPRError | OSError) -> Refused:
    """What is said of a change that was not made."""
    plain = type(error) is CollectionError
    # A collection says in an error of its own what the system refused.
    if isinstance(error, OSError) or (plain and isinstance(error.__cause__, OSError)):
        logger.error("a change could not be written", exc_info=error)
        detail = "The change could not be written; the server's log says why."
        return Refused(503, "storage", detail, retry_after=_FULL)
    if plain:
        logger.warning("a change was not made: %s", error)
        return _busy()
    return unreadable(error)


def _busy() -> Refused:
    detail = "Another change of the collection is being made, or was in between; try again."
    return Refused(409, "changing", detail, retry_after=_BUSY)
