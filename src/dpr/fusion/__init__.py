"""Dense search and search by words as one: two lists and both scores in, one list out.

``fuse`` makes the list, by ``FusionSettings``; ``dpr.fusion.tuning`` chooses these on judged
questions. Knows nothing of vectors, words, passages or files.
"""

from dpr.fusion.fuse import Candidates, Fused, Ranked, fuse, gather
from dpr.fusion.settings import METHODS, FusionSettings

__all__ = ["METHODS", "Candidates", "Fused", "FusionSettings", "Ranked", "fuse", "gather"]
