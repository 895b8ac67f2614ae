"""Answers kept for the next who asks the same, within a limit of bytes; the oldest unused go first.

Takes keys and bytes. The key holds the collection's version, so that nothing has to be thrown away
when a new one comes. Belongs to the event loop. Knows nothing of what is kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

_ENTRY = 400  # bytes that an entry takes beside key text and value, about


class Cache:
    """Bytes by key.

    Attributes:
        bytes: held now.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[Hashable, tuple[bytes, int]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: Hashable) -> bytes | None:
        """What is kept for a key."""
        found = self._held.get(key)
        if found is None:
            return None
        self._held.move_to_end(key)
        return found[0]

    def put(self, key: Hashable, value: bytes, key_bytes: int) -> None:
        """Keeps a value, unless it alone is more than is kept; ``key_bytes``: of the key's text."""
        size = len(value) + key_bytes + _ENTRY
        if size > self._limit:
            return
        self._forget(key)
        self._held[key] = value, size
        self.bytes += size
        while self.bytes > self._limit:
            self._forget(next(iter(self._held)))

    def _forget(self, key: Hashable) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            self.bytes -= held[1]
