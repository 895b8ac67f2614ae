"""All kinds of index in one place: their settings as records and as JSON, built, loaded, and tried.

Takes settings and files' paths; gives indexes that keep the contract of ``dpr.indexes.index``.
Settings say how an index is built, and belong with its files; effort says how hard a search looks,
and may be changed at any time. Knows nothing of collections or of what is good enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dpr.errors import CorruptionError, SettingsError
from dpr.indexes import binary, hnsw, ivf
from dpr.indexes.approximate import ApproximateIndex
from dpr.indexes.binary import BinaryEffort, BinarySettings
from dpr.indexes.certified import CertifiedIndex, CertifiedSettings, build_certified
from dpr.indexes.flat import FlatIndex
from dpr.indexes.hnsw import HNSWEffort, HNSWSettings
from dpr.indexes.index import Bench, Ids, Index, Progress
from dpr.indexes.ivf import IVFEffort, IVFSettings
from dpr.indexes.stored import StoredVectors


@dataclass(frozen=True, slots=True)
class FlatSettings:
    """Exact search without files of its own."""


@dataclass(frozen=True, slots=True)
class NoEffort:
    """Exact search always looks at everything."""


IndexSettings = FlatSettings | CertifiedSettings | HNSWSettings | IVFSettings | BinarySettings
SearchEffort = NoEffort | HNSWEffort | IVFEffort | BinaryEffort

SETTINGS: dict[str, type[IndexSettings]] = {
    "flat": FlatSettings,
    "certified": CertifiedSettings,
    "hnsw": HNSWSettings,
    "ivf": IVFSettings,
    "binary": BinarySettings,
}
EFFORTS: dict[str, type[SearchEffort]] = {
    "exact": NoEffort,
    "hnsw": HNSWEffort,
    "ivf": IVFEffort,
    "binary": BinaryEffort,
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """Settings worth trying, and efforts worth trying with them.

    Attributes:
        series: of efforts; along each more is found and more time is taken.
    """

    settings: IndexSettings
    series: tuple[tuple[SearchEffort, ...], ...]


def kind_of(record: IndexSettings | SearchEffort) -> str:
    """The name of a record's kind."""
    table: Mapping[str, type] = SETTINGS if type(record) in SETTINGS.values() else EFFORTS
    return next(name for name, made in table.items() if type(record) is made)


def to_json(record: IndexSettings | SearchEffort) -> dict[str, Any]:
    """Plain JSON values, the kind among them."""
    return {"kind": kind_of(record), **asdict(record)}


def settings_from(given: object) -> IndexSettings:
    """The settings that ``to_json`` gave.

    Raises:
        SettingsError: an unknown kind or key, or a value outside what is allowed.
    """
    made: IndexSettings = _made(SETTINGS, given, "settings of an index")
    return made


def effort_from(given: object) -> SearchEffort:
    """The effort that ``to_json`` gave.

    Raises:
        SettingsError: an unknown kind or key, or a value outside what is allowed.
    """
    made: SearchEffort = _made(EFFORTS, given, "effort of a search")
    return made


def _made(table: Mapping[str, Callable[..., Any]], given: object, what: str) -> Any:
    if not isinstance(given, dict) or given.get("kind") not in list(table):
        raise SettingsError(
            f"the {what} is {given!r:.200}; allowed are objects with a kind of {', '.join(table)}"
        )
    values = {key: value for key, value in given.items() if key != "kind"}
    try:
        return table[given["kind"]](**values)
    except TypeError:
        known = ", ".join(asdict(table[given["kind"]]())) or "none"
        raise SettingsError(
            f"the {what} has the keys {', '.join(map(str, values))}; allowed for "
            f"{given['kind']} are: {known}"
        ) from None


def build(
    settings: IndexSettings, stored: StoredVectors, bench: Bench, progress: Progress | None = None
) -> tuple[str, ...]:
    """Builds an index of these vectors, going on from what the bench kept.

    Returns:
        The names of its files, as the bench keeps them; the bench's other files are not needed any
        more.

    Raises:
        MissingExtraError: faiss is not installed.
        SettingsError: settings that do not fit the vectors.
        InputError: a vector that is not finite.
    """
    if isinstance(settings, HNSWSettings):
        return (hnsw.build(settings, stored, bench, progress),)
    if isinstance(settings, IVFSettings):
        return (ivf.build(settings, stored, bench, progress),)
    if isinstance(settings, BinarySettings):
        return (binary.build(settings, stored, bench, progress),)
    if isinstance(settings, CertifiedSettings):
        return build_certified(stored, bench, settings, progress)
    return ()


def estimated_bytes(settings: IndexSettings, rows: int, dim: int) -> int:
    """What an index of so many rows will take, about, before it is built."""
    if isinstance(settings, FlatSettings):
        return 0
    if isinstance(settings, CertifiedSettings):
        return rows * (dim + 24) + 8 * dim * dim
    return settings.bytes(rows, dim)


def load(
    settings: IndexSettings,
    files: Mapping[str, Path],
    stored: StoredVectors,
    effort: SearchEffort | None = None,
    ids: Ids | None = None,
) -> Index:
    """An index that was built with these settings.

    Args:
        files: by the names that ``build`` gave; their lengths and hashes were verified.
        effort: None: the kind's usual one.
        ids: gives the ids of rows; equal scores are ordered by id.

    Raises:
        MissingExtraError: faiss is not installed.
        SettingsError: an effort for another kind.
        CollectionError: a file that is missing, or no such index.
    """
    effort = usual_effort(settings) if effort is None else effort
    if type(effort) is not type(usual_effort(settings)):
        raise SettingsError(
            f"an effort for {kind_of(effort)} was given for an index of kind {kind_of(settings)}; "
            f"give {type(usual_effort(settings)).__name__}"
        )
    refined = None if getattr(settings, "refine", "vectors") == "none" else stored
    if isinstance(effort, HNSWEffort):
        graph = hnsw.HNSWFinder(_file(files, hnsw.NAME))
        return ApproximateIndex(graph, stored.dim, effort, refined, ids)
    if isinstance(effort, IVFEffort):
        cells = ivf.IVFFinder(_file(files, ivf.NAME))
        return ApproximateIndex(cells, stored.dim, effort, refined, ids)
    if isinstance(effort, BinaryEffort):
        codes = binary.BinaryFinder(_file(files, binary.NAME), stored.dim)
        return ApproximateIndex(codes, stored.dim, effort, refined, ids)
    if isinstance(settings, CertifiedSettings):
        return CertifiedIndex.load(files, stored, ids)
    return FlatIndex(stored, ids)


def usual_effort(settings: IndexSettings) -> SearchEffort:
    """How hard a search looks where nothing is said."""
    if isinstance(settings, HNSWSettings):
        return HNSWEffort()
    if isinstance(settings, IVFSettings):
        return IVFEffort()
    return BinaryEffort() if isinstance(settings, BinarySettings) else NoEffort()


def _file(files: Mapping[str, Path], name: str) -> Path:
    if name not in files:
        raise CorruptionError(f"the file {name} of the index is missing; build it again")
    return files[name]


def candidates(rows: int, dim: int) -> tuple[Candidate, ...]:
    """What is worth trying for so many rows, from little memory to much."""
    cells = min(max(16, 2 ** round(math.log2(8 * math.sqrt(rows)))), 1 << 16, max(1, rows // 32))
    exact: tuple[tuple[SearchEffort, ...], ...] = ((NoEffort(),),)
    breadths = (tuple(HNSWEffort(breadth) for breadth in _steps(50, 1600)),)

    def probes(*several: int, vectors: int = 0) -> tuple[tuple[SearchEffort, ...], ...]:
        return tuple(
            tuple(IVFEffort(count, some, vectors) for count in _steps(1, cells)) for some in several
        )

    return (
        Candidate(FlatSettings(), exact),
        Candidate(CertifiedSettings(), exact),
        Candidate(BinarySettings(), (tuple(BinaryEffort(some) for some in _steps(250, 8000)),)),
        Candidate(IVFSettings(cells, code="rabitq", bits=1, refine="vectors"), probes(300, 1000)),
        *(
            Candidate(
                IVFSettings(cells, dims=max(4, dim * 2 // 3), code="pq", bits=bits, refine="codes"),
                (*probes(*several), *probes(several[-1], vectors=150)),
            )
            for bits, several in ((1, (200, 400, 1000)), (2, (150, 200, 300)))
        ),
        Candidate(HNSWSettings(storage="int8"), breadths),
        Candidate(HNSWSettings(storage="float16"), breadths),
    )


def _steps(first: int, last: int) -> tuple[int, ...]:
    """Whole numbers from first to last, each a fifth more than the one before it or one more."""
    count = math.ceil(4 * math.log2(last / first))
    return tuple(sorted({min(last, round(first * 2 ** (step / 4))) for step in range(count + 1)}))
