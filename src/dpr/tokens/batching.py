"""Batches by length and token budget: lengths in, groups of indices out. Knows no text or model."""

from __future__ import annotations

from collections.abc import Sequence


def token_batches(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Cuts items into batches of at most ``max_tokens`` tokens, equal lengths side by side.

    Items are taken by ascending length (equal lengths in input order), so a batch holds few
    different lengths and little or nothing is padded. An item longer than the budget is a batch
    of its own. Every index occurs exactly once.
    """
    batches: list[list[int]] = []
    total = 0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not batches or total + lengths[index] > max_tokens:
            batches.append([])
            total = 0
        batches[-1].append(index)
        total += lengths[index]
    return batches
