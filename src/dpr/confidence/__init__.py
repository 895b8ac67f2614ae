"""How sure answers are: what their scores are made of, chosen on questions with known answers.

Takes readings of questions with accepted answers, gives settings for reading, and held-out figures.
Knows nothing of collections, files or the command line.
"""

from dpr.confidence.choosing import FEW, FEWEST, calibrate, check_count
from dpr.confidence.evidence import Evidence, First, Readings
from dpr.confidence.records import Calibrated, Case, Figures, Silence

__all__ = [
    "FEW",
    "FEWEST",
    "Calibrated",
    "Case",
    "Evidence",
    "Figures",
    "First",
    "Readings",
    "Silence",
    "calibrate",
    "check_count",
]
