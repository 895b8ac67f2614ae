"""Documents come and go while the service runs: one change at a time, each a version.

Takes documents and ids; gives the version that holds the change, which is asked from then on.
Knows nothing of HTTP, and of how collections change no more than ``dpr.pipeline`` does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dpr.errors import CollectionError, InputError
from dpr.pipeline import add, remove
from dpr.pipeline.models import Model
from dpr.records import Document
from dpr.serve.following import Follower
from dpr.serve.problems import Refused

logger = logging.getLogger(__name__)
_BUSY = 5  # seconds


@dataclass(frozen=True, slots=True)
class Change:
    """What a change did: the version that it made, and passages that came and went."""

    version: int
    added: int
    removed: int


class Changer:
    """Changes one collection.

    Args:
        model: where the collection's model is, if it is no longer where it was.
    """

    def __init__(self, folder: str, model: Model | None, follower: Follower) -> None:
        self._folder, self._model, self._follower = folder, model, follower
        self._lock = asyncio.Lock()

    async def add(self, documents: Sequence[Document], *, replace: bool) -> Change:
        """Adds documents, or puts them in the place of those with the same ids.

        Raises:
            Refused: 409, an id is taken, comes twice, or another change is being made.
        """

        def adding() -> Change:
            done = add(list(documents), self._folder, model=self._model, replace=replace)
            return Change(done.manifest.version, done.added, done.removed)

        taken = (
            "A document has an id that comes twice here or belongs to another source of the "
            "collection; give it one of its own, or send replace."
        )
        return await self._made(adding, Refused(409, "document_taken", taken))

    async def remove(self, document: str) -> Change:
        """Removes a document.

        Raises:
            Refused: 404, there is none; 409, it is the last, or another change is being made.
        """

        def removing() -> Change:
            done = remove(self._folder, [document])
            return Change(done.manifest.version, done.added, done.removed)

        gone = "There is no document with this id, or it is the last one, which has to stay."
        return await self._made(removing, Refused(404, "no_document", gone))

    async def _made(self, change: Callable[[], Change], otherwise: Refused) -> Change:
        if self._lock.locked():
            raise _busy()
        async with self._lock:
            try:
                done = await asyncio.to_thread(change)
            except InputError as error:
                logger.warning("a change was refused: %s", error)  # it may hold paths
                raise otherwise from error
            except CollectionError as error:
                logger.exception("a change failed: %s", error)
                raise _busy() from error
            await self._follower.renew()
            return done


def _busy() -> Refused:
    headers: dict[str, Any] = {"retry-after": str(_BUSY)}
    detail = "Another change of the collection is being made, or was in between; try again."
    return Refused(409, "changing", detail, headers=headers)
