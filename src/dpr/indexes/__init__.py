"""Indexes: vectors in, the best rows for a query out. Knows nothing of passages or models."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dpr.indexes.flat import FlatIndex as FlatIndex

__all__ = ["FlatIndex"]


def __getattr__(name: str) -> Any:
    """Searching needs torch; what only stores vectors is to do without it."""
    if name != "FlatIndex":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dpr.indexes.flat import FlatIndex

    return FlatIndex
