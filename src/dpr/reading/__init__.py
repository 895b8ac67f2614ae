"""Hits to answers: the reader over the passages found (Karpukhin et al. 2020, §6.1).

Takes questions and hits, gives answers with character offsets. Knows nothing of collections.
"""

from dpr.reading.answers import MAP, Grounds, combine, confidence, retrieval_score, standings
from dpr.reading.reader import Reader
from dpr.reading.records import Reading, Span
from dpr.reading.settings import KEY, SETTINGS_NAME, ReadingSettings

__all__ = [
    "KEY",
    "MAP",
    "SETTINGS_NAME",
    "Grounds",
    "Reader",
    "Reading",
    "ReadingSettings",
    "Span",
    "combine",
    "confidence",
    "retrieval_score",
    "standings",
]
