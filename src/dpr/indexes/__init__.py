"""Indexes: vectors in, the best rows for a query out. Knows nothing of passages or models."""

from dpr.indexes.flat import FlatIndex

__all__ = ["FlatIndex"]
