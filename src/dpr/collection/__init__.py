"""Collections: passages and their vectors in one folder that survives kills and full disks.

Takes passages and an encoder and gives a folder; takes a folder and gives rows. Knows nothing of
models, of searching or of the command line.
"""

from dpr.collection.build import BuildSettings, PassageEncoder, build_collection
from dpr.collection.manifest import Manifest, read_manifest
from dpr.collection.store import Collection, describe
from dpr.collection.verify import Finding, verify

__all__ = [
    "BuildSettings",
    "Collection",
    "Finding",
    "Manifest",
    "PassageEncoder",
    "build_collection",
    "describe",
    "read_manifest",
    "verify",
]
