"""Answers kept for the next who asks the same, within a limit of bytes; the oldest unused go first.

Takes keys and bytes. A key is made of the collection's version, too, so that nothing has to be
thrown away when a new one comes. Belongs to the event loop. Knows nothing of what is kept.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b

_ENTRY = 400  # bytes that an entry takes beside its value, about


def key_of(*parts: object) -> bytes:
    """What stands for parts whose ``repr`` tells them from all others. It is as short for any: kept
    as they are, filters of many short values take twenty times what they look like."""
    return blake2b(repr(parts).encode(), digest_size=32).digest()


class Cache:
    """Bytes by key.

    Attributes:
        bytes: held now.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[bytes, bytes] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: bytes) -> bytes | None:
        """What is kept for a key."""
        found = self._held.get(key)
        if found is None:
            return None
        self._held.move_to_end(key)
        return found

    def put(self, key: bytes, value: bytes) -> None:
        """Keeps a value, unless it alone is more than is kept."""
        size = len(value) + _ENTRY
        if size > self._limit:
            return
        self._forget(key)
        self._held[key] = value
        self.bytes += size
        while self.bytes > self._limit:
            self._forget(next(iter(self._held)))

    def _forget(self, key: bytes) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            self.bytes -= len(held) + _ENTRY
