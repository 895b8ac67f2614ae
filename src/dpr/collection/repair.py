"""Repair a collection: drop what is broken, make again what can be, and say what was lost.

Takes a folder; gives a new version in which every byte is proven, and a report. Knows nothing of
encoders or of where documents came from.

The manifest is replaced by its copy, where only that is whole. A file that follows from others is
made again. Of a segment whose passages or vectors are damaged, the rows that are proven (see
``evidence``) are copied into a new one. A damaged part is made again, or dropped: it can be made
later. Documents that lost a passage lose their digest, so that the next look at their source brings
them back.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dpr.collection import storage
from dpr.collection.build import BuildSettings, SegmentBuilder, build_identity
from dpr.collection.evidence import Evidence, Files, ProvenCopier
from dpr.collection.finishing import derived
from dpr.collection.manifest import (
    MANIFEST,
    MANIFEST_COPY,
    PARTS,
    SEGMENTS,
    FileEntry,
    Manifest,
    Part,
    Segment,
    read_copy,
    read_manifest,
)
from dpr.collection.parts import PartMaker, make_part
from dpr.collection.passages import Block
from dpr.collection.segment import SegmentReader
from dpr.collection.verify import Finding
from dpr.collection.workplace import Workplace
from dpr.errors import CollectionError, CorruptionError, InputError

_SHARD = 16384

Remake = Callable[[Part], PartMaker | None]
"""Gives what makes a lost part again; None: it stays away."""


@dataclass(frozen=True, slots=True)
class LostPassages:
    """A document that lost passages: how many, and how many of them are still there."""

    document: str
    source: str
    lost: int
    kept: int


@dataclass(frozen=True, slots=True)
class LostPart:
    """A part that could not be kept, and of which segment it was."""

    segment: str
    part: Part


@dataclass(frozen=True, slots=True)
class Repaired:
    """What was broken, and what became of it.

    Attributes:
        manifest: of the version that is there now; of a trial, of the one that would be repaired.
        findings: what was broken, file by file.
        parts: what could not be kept; it was made again, or can be.
        documents: those that lost passages, as far as their names are known; with 0 lost: those
            that may have lost some.
        unnamed: passages lost of which nothing is known but that they were there.
    """

    manifest: Manifest
    findings: tuple[Finding, ...] = ()
    parts: tuple[LostPart, ...] = ()
    documents: tuple[LostPassages, ...] = ()
    unnamed: int = 0

    @property
    def lost(self) -> int:
        """Passages lost in all."""
        return self.unnamed + sum(one.lost for one in self.documents)


def repair(
    path: str | Path, *, trial: bool = False, remake: Remake = lambda part: None
) -> Repaired:
    """Repair the collection in a folder; where nothing is broken, nothing is changed.

    Reads every byte. If it is interrupted, the same call goes on.

    Args:
        trial: only tell what would be done.
        remake: says which lost parts to make again, in the same version.

    Raises:
        CollectionError: there is no collection, a build that is not finished, one of another
            release; another writer is at work; the disk fails.
        CorruptionError: nothing of it can be proven; nothing was changed.
    """
    folder = Path(path)
    _readable_manifest(folder)  # before a lock file is put where no collection is
    with storage.writer_lock(folder), ExitStack() as stack:
        manifest, findings = _readable_manifest(folder)
        survey = _Survey(folder, manifest, stack)
        report = Repaired(
            manifest, (*findings, *survey.findings), survey.parts, survey.documents, survey.unnamed
        )
        if trial:
            return report
        if not report.findings:
            Workplace(folder).tidy()
            return report
        return replace(report, manifest=_carry_out(folder, survey, remake))


def _readable_manifest(folder: Path) -> tuple[Manifest, list[Finding]]:
    """The manifest to go by, and what is wrong with its two files."""
    try:
        manifest = read_manifest(folder)
    except CollectionError as error:
        if not isinstance(error, CorruptionError) and storage.size_of(folder / MANIFEST):
            raise  # of another program, or a newer release
        try:
            manifest = read_copy(folder)
        except CollectionError:
            raise error from None
        there = [(folder / SEGMENTS / one.name).exists() for one in manifest.segments]
        if storage.size_of(folder / MANIFEST) is None and not all(there):
            raise  # a first build that was taken up again
    data = manifest.to_bytes()
    problem = f"is not whole; it can be written again from {{}} (version {manifest.version})"
    return manifest, [
        Finding(name, problem.format(other))
        for name, other in ((MANIFEST, MANIFEST_COPY), (MANIFEST_COPY, MANIFEST))
        if storage.content_of(folder / name, len(data)) != data
    ]


class _Survey:
    """All that is known of a collection's files before anything is changed.

    Attributes:
        damaged: segments of which only rows can be saved.
        again: for each file that follows from others and is to be made again, its segment.
        kept: the other segments, by name, without the parts that are dropped.
    """

    def __init__(self, folder: Path, manifest: Manifest, stack: ExitStack) -> None:
        self.folder, self.manifest = folder, manifest
        self.findings: list[Finding] = []
        self.damaged: list[Evidence] = []
        self.again: list[tuple[Evidence, str]] = []
        self.kept: dict[str, Segment] = {}
        parts: list[LostPart] = []
        for segment in manifest.segments:
            evidence = Evidence(folder, segment, manifest.dim, manifest.dtype)
            stack.callback(evidence.files.close)
            self._note(f"{SEGMENTS}/{segment.name}", evidence.files)
            names = [name for name in evidence.files.problems if evidence.data_is_whole]
            if evidence.data_is_whole and all(_follows(evidence, name) for name in names):
                self.again += [(evidence, name) for name in names]
                broken = [part for part in segment.parts if not self._is_whole(part)]
                left = tuple(part for part in segment.parts if part not in broken)
                self.kept[segment.name] = replace(segment, parts=left)
            else:
                self.damaged.append(evidence)
                broken = list(segment.parts)
            parts += [LostPart(segment.name, part) for part in broken]
        self.parts = tuple(parts)
        self.documents, self.unnamed = _lost_documents(self.damaged)
        if not self.kept and not any(len(one.kept_rows()) for one in self.damaged):
            raise CorruptionError(
                f"{folder}: nothing of it can be proven to be as it was written; nothing was "
                "changed: restore the collection from a copy, or build it again"
            )

    def _is_whole(self, part: Part) -> bool:
        files = Files(self.folder / PARTS / part.name, part.files)
        files.close()
        self._note(f"{PARTS}/{part.name}", files)
        return not files.problems

    def _note(self, folder: str, files: Files) -> None:
        self.findings += [
            Finding(f"{folder}/{name}", problem) for name, problem in sorted(files.problems.items())
        ]


def _chunks(evidence: Evidence, name: str) -> Iterable[bytes | memoryview]:
    """A file that follows from others, made from them."""
    blocks: list[Block] = evidence.blocks
    makers = derived(
        evidence.files.folder, blocks, evidence.segment.rows, evidence.dim, evidence.dtype
    )
    return makers[name]()


def _follows(evidence: Evidence, name: str) -> bool:
    """Whether making a file again gives what the manifest lists."""
    digest, size = hashlib.sha256(), 0
    try:
        for chunk in _chunks(evidence, name):
            digest.update(chunk)
            size += memoryview(chunk).nbytes
    except (CollectionError, ValueError, OSError, pa.ArrowException):
        return False
    return FileEntry(name, size, digest.hexdigest()) == evidence.segment.file(name)


def _lost_documents(damaged: list[Evidence]) -> tuple[tuple[LostPassages, ...], int]:
    """What each document lost, and how many passages no document is known of."""
    found: dict[str, LostPassages] = {}
    unnamed = 0
    for evidence in damaged:
        if not evidence.believable:
            unnamed += evidence.segment.rows - evidence.segment.gone
            continue
        table, uncertain = evidence.runs
        lost = np.append(0, np.cumsum(evidence.live & ~evidence.proven))
        kept = np.append(0, np.cumsum(evidence.live & evidence.proven))
        first = table["first"].to_numpy()
        last = first + table["rows"].to_numpy()
        lost_here, kept_here = lost[last] - lost[first], kept[last] - kept[first]
        unnamed += int(lost[-1] - lost_here.sum())
        names = table.filter(pa.array((lost_here > 0) | (uncertain & (kept_here > 0))))["document"]
        hurt = pc.is_in(table["document"], value_set=names.combine_chunks()).to_numpy()
        for document, source, one, other in zip(
            table.filter(pa.array(hurt))["document"].to_pylist(),
            table.filter(pa.array(hurt))["source"].to_pylist(),
            lost_here[hurt].tolist(),
            kept_here[hurt].tolist(),
            strict=True,
        ):
            before = found.get(document, LostPassages(document, source, 0, 0))
            found[document] = replace(before, lost=before.lost + one, kept=before.kept + other)
    return tuple(found.values()), unnamed


def _carry_out(folder: Path, survey: _Survey, remake: Remake) -> Manifest:
    for evidence, name in survey.again:
        path = evidence.files.folder / name
        _clear(path)
        storage.write(path, _chunks(evidence, name))
    for name in (MANIFEST, MANIFEST_COPY):
        _clear(folder / name)
    workplace = Workplace(folder, overwrite=True)
    workplace.current, workplace.damaged = survey.manifest, False
    some = any(len(one.kept_rows()) for one in survey.damaged)
    segment = _saved(workplace, survey, remake) if some else None
    segments: list[Segment] = []
    for one in survey.manifest.segments:
        if one.name in survey.kept:
            makers = _makers(survey, [one.name], remake)
            segments.append(_completed(workplace, survey, survey.kept[one.name], makers))
        elif segment is not None:
            segments.append(segment)  # all that was saved, in place of the first one damaged
            segment = None
    manifest = survey.manifest
    if segments != list(manifest.segments):
        rows = sum(one.rows - one.gone for one in segments)
        manifest = replace(
            manifest,
            rows=rows,
            segments=tuple(segments),
            truncated=min(manifest.truncated, rows),
            version=manifest.version + 1,
        )
    workplace.commit(manifest, keep_unfinished=not survey.damaged)
    workplace.tidy()  # what was noted of parts that are made
    return manifest


def _makers(survey: _Survey, segments: Sequence[str], remake: Remake) -> list[PartMaker]:
    """Of the parts that some segments lost, one of a kind."""
    lost = [remake(one.part) for one in survey.parts if one.segment in segments]
    return list({maker.kind: maker for maker in lost if maker is not None}.values())


def _completed(
    workplace: Workplace, survey: _Survey, segment: Segment, makers: Sequence[PartMaker]
) -> Segment:
    """The segment with parts made."""
    if not makers:
        return segment
    dim, dtype = survey.manifest.dim, survey.manifest.dtype
    reader = SegmentReader(workplace.folder, segment, dim, dtype)
    made = [make_part(workplace, reader, maker) for maker in makers]
    return replace(segment, parts=(*segment.parts, *made))


def _saved(workplace: Workplace, survey: _Survey, remake: Remake) -> Segment | None:
    """A new segment of all the rows that are proven in those that are damaged."""
    hurt = {one.document for one in survey.documents}
    copier = ProvenCopier(survey.manifest, survey.damaged, hurt, _SHARD)
    dtype = survey.manifest.dtype
    build = BuildSettings(dtype, _SHARD, overwrite=True)  # type: ignore[arg-type]
    rows = [hashlib.sha256(one.kept_rows().tobytes()).hexdigest() for one in survey.damaged]
    names = [one.segment.name for one in survey.damaged]
    identity = build_identity(copier, build, change="repair", segments=names, rows=rows)
    workplace.begin(identity, anew=True)
    try:
        makers = _makers(survey, names, remake)
        return SegmentBuilder(workplace, copier, build, makers=makers).run(copier.entries())
    except InputError as error:
        raise CorruptionError(
            f"{workplace.folder}: what is left makes no sense: {error}"
        ) from error


def _clear(path: Path) -> None:
    """Remove what lies where a file belongs and is none: a folder, a pipe."""
    if os.path.lexists(path) and storage.size_of(path) is None:
        storage.remove(path)
