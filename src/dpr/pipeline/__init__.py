"""The one composer: documents to a collection, questions to hits and answers, all of it to figures.

Command line, server and library users all go through here. Takes names of sources, models and
folders, and settings; wires the rooms below together.
"""

from dpr.pipeline.asking import Pipeline, open
from dpr.pipeline.building import Indexed, index

__all__ = ["Indexed", "Pipeline", "index", "open"]
