"""New versions of the collection: opened and warmed beside the one that is asked, then put in its
place between two rounds.

Takes an engine; replaces what it has open. A version that cannot be opened leaves the old one in
place, whose files stay open. Knows nothing of requests.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import numpy as np

from dpr.errors import DPRError
from dpr.pipeline.asking import Opened
from dpr.search.parts import words_settings
from dpr.search.settings import Mode
from dpr.serve.beside import beside
from dpr.serve.engine import Engine, Open

logger = logging.getLogger(__name__)
_WORDS = "who what where when why how"


class Follower:
    """Looks for newer versions.

    Args:
        renewed: called in the event loop with the version that is asked from now on.

    Attributes:
        trouble: why the newest version is not the one that is asked; empty where it is.
    """

    def __init__(self, engine: Engine, seconds: float, renewed: Callable[[int], None]) -> None:
        self._engine, self._seconds, self._renewed = engine, seconds, renewed
        self._lock = asyncio.Lock()
        self.trouble = ""

    async def follow(self) -> None:
        """Looks again and again, until it is cancelled."""
        while True:
            await asyncio.sleep(self._seconds)
            await self.renew()

    async def renew(self) -> None:
        """Looks once, now."""
        async with self._lock:
            try:
                newest = await beside(self._newest)
            except Exception as error:  # whatever it is, it may be better at the next look
                trouble = f"{type(error).__name__}: {error}"
                if trouble != self.trouble:
                    logger.error(
                        "version %d is still asked: the newest cannot be: %s",
                        self._engine.version,
                        trouble,
                        exc_info=None if isinstance(error, DPRError | OSError) else error,
                    )
                self.trouble = trouble
                return
            self.trouble = ""
            if newest is not None:
                self._engine.put(newest)
                self._renewed(self._engine.version)

    def _newest(self) -> Open | None:
        """What is to be asked from now on; None: what is asked already."""
        newest = self._engine.pipeline.newest
        if newest.searcher is self._engine.opened.searcher:
            return None
        warm(newest, self._engine.pipeline.encoder.dim)
        return self._engine.opening(newest)


def warm(opened: Opened, dim: int) -> None:
    """Loads what a version's first search would load. The encoder is not touched: it belongs to
    another thread."""
    vectors = np.full((1, dim), dim**-0.5, np.float32)
    modes: tuple[Mode, ...] = (
        ("dense", "hybrid") if words_settings(opened.searcher.collection) else ("dense",)
    )
    for mode in modes:
        opened.searcher.search([_WORDS], vectors, 1, mode=mode)
