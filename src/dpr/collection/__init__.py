"""Collections: passages and their vectors in one folder that survives kills and full disks.

Takes passages and an encoder and gives a folder; takes a folder and gives rows. Knows nothing of
models, of searching or of the command line.
"""

from dpr.collection.build import BuildSettings, build_collection
from dpr.collection.change import (
    Changed,
    add_documents,
    compact,
    named,
    remove_documents,
    small_segments,
    write_parts,
)
from dpr.collection.encoder import PassageEncoder
from dpr.collection.manifest import Manifest, read_manifest
from dpr.collection.parts import PartMaker
from dpr.collection.passages import Entry
from dpr.collection.repair import LostPart, LostPassages, Repaired, repair
from dpr.collection.store import Collection, StoredDocument, describe
from dpr.collection.verify import Finding, verify

__all__ = [
    "BuildSettings",
    "Changed",
    "Collection",
    "Entry",
    "Finding",
    "LostPart",
    "LostPassages",
    "Manifest",
    "PartMaker",
    "PassageEncoder",
    "Repaired",
    "StoredDocument",
    "add_documents",
    "build_collection",
    "compact",
    "describe",
    "named",
    "read_manifest",
    "remove_documents",
    "repair",
    "small_segments",
    "verify",
    "write_parts",
]
