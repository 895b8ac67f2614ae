"""Documents come and go: add, sync, remove.

Takes the folder of a collection and the name of a source, or documents; gives the new version.
Wires corpus, encoder and collection together and holds no logic of its own.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from dataclasses import replace as replace_fields
from typing import Any

import numpy as np
import pyarrow as pa

from dpr.collection import (
    Changed,
    Collection,
    Entry,
    Manifest,
    StoredDocument,
    add_documents,
    named,
    read_manifest,
    remove_documents,
    small_segments,
)
from dpr.collection import compact as compact_segments
from dpr.collection.copying import Reusing
from dpr.collection.passages import document_of
from dpr.corpus import DuplicateSettings, SourceSettings, SplitSettings
from dpr.encoding import ContextEncoder
from dpr.errors import CollectionError, DPRError, IdError, InputError, SettingsError
from dpr.filters import Filters
from dpr.pipeline.building import Encoding, Indexed, Telling, check_lasting, index, is_collection
from dpr.pipeline.models import Model, made_with, model_names
from dpr.pipeline.passages import Reading, Source, described, read_entries, settled
from dpr.pipeline.tuning import check_growth
from dpr.records import Passage
from dpr.search.masks import Masks
from dpr.search.parts import WordsMaker, words_settings
from dpr.shipped import DEFAULT

Folder = str | os.PathLike[str]
Again = SourceSettings | Mapping[str, Any] | None
"""How a source is read: all settings, or some of them by name in place of those it had before."""


def add(
    source: Source,
    to: Folder,
    *,
    split: str | SplitSettings | None = None,
    reading: Again = None,
    model: Model | None = None,
    replace: bool = False,
    shard_size: int = 2048,
    progress: Callable[[int], None] | None = None,
    encoder: Encoding | None = None,
) -> Indexed:
    """Adds documents to a collection; what is there already and did not change is not encoded
    again. Documents with ids of documents of the same source replace them.

    If it is interrupted, the same call goes on where it stopped.

    Args:
        source: as ``index`` takes it.
        to: the folder of a collection.
        split, reading: as for ``index``; by default as the source was read before, or as the
            collection's first source was split. A mapping replaces only the fields it names.
        model: where the collection's model is now, if it moved.
        replace: documents also replace those of other sources that have the same ids.
        progress: called with the number of passages done so far.
        encoder: the collection's, where it is loaded already.

    Raises:
        InputError: see ``build``; ``IdError`` where a document has the id of another source's,
            unless ``replace``.
        MismatchError, CollectionError, SettingsError, CheckpointError: see ``dpr.errors``.
    """
    return _Update(source, to, split, reading, replace).run(
        model, shard_size, progress, encoder, remove=False
    )


def sync(
    source: Source,
    to: Folder,
    *,
    split: str | SplitSettings | None = None,
    reading: Again = None,
    model: Model | None = None,
    replace: bool = False,
    shard_size: int = 2048,
    progress: Callable[[int], None] | None = None,
) -> Indexed:
    """Makes a collection hold what a source holds now: ``add``, and documents that the source no
    longer has are removed. Only passages that changed are encoded. Other sources' documents stay.
    Where there is no collection yet, it is made.

    Args, Raises: as ``add``.
    """
    if not is_collection(to):
        return index(
            source,
            to,
            model=model or DEFAULT,
            split=split or "words:100",
            reading=_settings(None, reading),
            progress=progress,
        )
    return _Update(source, to, split, reading, replace).run(
        model, shard_size, progress, remove=True
    )


def remove(
    folder: Folder,
    ids: Iterable[str] = (),
    *,
    where: Filters | None = None,
) -> Changed:
    """Removes documents: those with these ids, and those that satisfy all the filters.

    Raises:
        InputError: there is no such document (``IdError``), or none would be left; nothing is
            removed then.
        SettingsError: neither ids nor filters, or a filter on sections.
        CollectionError: another change came between.
    """
    version, gone = _chosen(folder, ids, where)
    return remove_documents(os.fspath(folder), named(one.id for one in gone), version=version)


def to_remove(
    folder: Folder,
    ids: Iterable[str] = (),
    *,
    where: Filters | None = None,
) -> list[StoredDocument]:
    """The documents that ``remove`` would remove; raises as it does."""
    return _chosen(folder, ids, where)[1]


def _chosen(
    folder: Folder, ids: Iterable[str], where: Filters | None
) -> tuple[int, list[StoredDocument]]:
    """A version, and documents of it."""
    wanted = set(ids)
    if not wanted and not where:
        raise InputError("nothing to remove: give ids of documents, or filters")
    if where and where.of_sections:
        raise SettingsError(
            "documents are removed as a whole; filter by something else than sections"
        )
    found: dict[str, StoredDocument] = {}
    with Collection.open(os.fspath(folder)) as collection:
        chosen = wanted | _satisfying(collection, where) if where else wanted
        for one in collection.documents():
            if one.id in chosen:
                rows = found[one.id].rows if one.id in found else 0
                found[one.id] = replace_fields(one, rows=one.rows + rows)
        version = collection.version
    if missing := sorted(wanted - set(found)):
        shown = ", ".join(map(ascii, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise IdError(
            f"{folder}: has no document {shown}; nothing was removed. `dpr info DIR --documents` "
            "lists them",
            missing,
        )
    return version, list(found.values())


def _satisfying(collection: Collection, where: Filters) -> set[str]:
    """Ids of the documents that satisfy filters, and are there still."""
    rows = Masks(collection).allowed(where)
    assert rows is not None
    found: set[str] = set()
    for segment, start in zip(collection.segments, collection.starts, strict=False):
        table, own = segment.documents, rows[start : start + segment.rows]
        some = np.add.reduceat(own, table["first"].to_numpy(), dtype=np.int64) > 0
        found.update(table["document"].filter(pa.array(some)).to_pylist())
    return found


class _Update:
    """Brings the documents of one source up to date."""

    def __init__(
        self,
        source: Source,
        to: Folder,
        split: str | SplitSettings | None,
        reading: Again,
        replace: bool,
    ) -> None:
        self.source, self.folder, self.replace = source, os.fspath(to), replace
        self.met = Reading()
        with Collection.open(self.folder) as collection:
            self.version = collection.version
            self.made_from = dict(collection.manifest.made_from)
            sources = list(self.made_from.get("sources", []))
            asked = described(source, SourceSettings(), SplitSettings())
            number = _number(sources, asked)
            first = sources[0] if sources else {}
            there = sources[number] if number < len(sources) else {}
            cut = split or there.get("split") or first.get("split") or "words:100"
            self.cut = SplitSettings.parse(cut) if isinstance(cut, str) else cut
            self.reading = _settings(there.get("reading"), reading)
            self.duplicates = DuplicateSettings.parse(there.get("duplicates", "keep"))
            entry = described(source, self.reading, self.cut, self.duplicates)
            if self.duplicates:
                check_lasting(source)
            # Read or cut otherwise than before, every document counts as changed.
            same = all(there.get(name) == entry[name] for name in ("reading", "split"))
            entry = there if same else entry
            self.made_from["sources"] = [*sources[:number], entry, *sources[number + 1 :]]
            self.origin = str(number)
            self.replaced: set[str] = set()
            self.gone: list[str] = []
            self.known: dict[str, str] = {}
            self.others: dict[str, str] = {}
            for one in collection.documents():
                if one.origin == self.origin:
                    self.known[one.id] = one.digest if same else ""
                else:
                    self.others[one.id] = one.source

    def run(
        self,
        model: Model | None,
        shard_size: int,
        progress: Callable[[int], None] | None,
        encoder: Encoding | None = None,
        *,
        remove: bool,
    ) -> Indexed:
        telling = Telling(encoder or self._encoder(model), progress)
        replaced: set[str] = {*self.known, *self.others}
        with Collection.open(self.folder) as collection:
            reusing = Reusing(telling, collection, replaced)
            words = words_settings(collection)
            makers = [WordsMaker(words)] if words else []
            changed = add_documents(
                self.folder,
                self._entries(collection, remove),
                reusing,
                gone=self._gone(remove),
                shard_size=shard_size,
                made_from=self.made_from,
                progress=telling.shard_done,
                makers=makers,
                version=self.version,
            )
        met = self.met
        manifest, note = self._settle(changed.manifest, makers, model)
        return Indexed(
            manifest,
            met.problems,
            met.duplicates,
            changed.added,
            changed.removed,
            reusing.encoded,
            met.changed,
            replaced=len(self.replaced),
            gone=len(self.gone),
            unchanged=len(met.seen) - met.changed,
            note=note,
        )

    def _encoder(self, model: Model | None) -> ContextEncoder:
        names = made_with(self.folder) if model is None else model_names(model)
        if not names.context:
            raise CollectionError(
                f"{self.folder}: its vectors came from elsewhere, and no context encoder is known "
                "for them, so nothing can be added; name a model that has one (--model, model=)"
            )
        return ContextEncoder.from_pretrained(names.context)

    def _settle(
        self, manifest: Manifest, makers: list[WordsMaker], model: Model | None
    ) -> tuple[Manifest, str]:
        """What follows a change that is made already, and so cannot make it fail: small segments
        become one, and an index is measured. Gives the version that is there then, and a note."""
        try:
            if small := small_segments(manifest):
                manifest = compact_segments(
                    self.folder, which=small, makers=makers, version=manifest.version
                ).manifest
            note = check_growth(self.folder, manifest, model)
            return read_manifest(self.folder) if note else manifest, note
        except DPRError as error:
            return manifest, f"the change is made; what should follow it could not be done: {error}"

    def _entries(self, collection: Collection, remove: bool) -> Iterator[Entry]:
        before: Iterable[Passage] = ()
        known, staying = self.known, None
        if self.duplicates:
            staying, before = self._staying(collection, remove)
            known = {one: known[one] if one in staying else "" for one in known}
        entries = read_entries(
            self.source,
            known,
            self.reading,
            self.cut,
            self.origin,
            self.met,
            self.duplicates,
            before,
            staying,
        )
        for entry in entries:
            document = entry.passage.document or entry.passage.id
            if not self.replace and document in self.others:
                raise IdError(
                    f"the collection has a document {document!a} already, from "
                    f"{self.others[document] or 'elsewhere'}; to put this one in its place, say so "
                    "(--replace, or replace=True), or remove the other first",
                    [document],
                    source=entry.passage.source,
                )
            if document in self.known or document in self.others:
                self.replaced.add(document)
            yield entry

    def _staying(self, collection: Collection, remove: bool) -> tuple[set[str], Iterator[Passage]]:
        """The source's documents that stay as they are, and all passages that will be there
        whatever the others hold; found by reading the source once more."""
        rows: Counter[str] = Counter()
        for one in collection.documents():
            rows[one.id] += one.rows
        staying, leaving = settled(
            self.source, self.known, rows, self.reading, self.cut, remove=remove
        )
        return staying, (one for one in collection if document_of(one) not in leaving)

    def _gone(self, remove: bool) -> Iterator[str]:
        """What is no longer there; read when all entries were."""
        met = self.met
        self.gone = [
            one for one in self.known if one not in met.seen and (remove or one in met.emptied)
        ]
        yield from self.gone


def _number(sources: list[dict[str, Any]], entry: dict[str, Any]) -> int:
    """Which of the collection's sources this is; a new one comes last."""
    for number, one in enumerate(sources):
        same = one.get("path") == entry["path"]
        if same and (entry["path"] or one.get("source") == entry["source"]):
            return number
    return len(sources)


def _settings(before: dict[str, Any] | None, given: Again) -> SourceSettings:
    """How a source is read: as is given, and what that does not say as before."""
    if isinstance(given, SourceSettings):
        return given
    names = [field.name for field in fields(SourceSettings)]
    if unknown := sorted(set(given or {}) - set(names)):
        raise SettingsError(f"unknown reading settings {unknown}; allowed: {', '.join(names)}")
    try:
        settings = SourceSettings(**(before or {}))
    except (TypeError, ValueError) as error:
        raise CollectionError(f"its manifest says of a source {before}: {error}") from error
    return replace_fields(settings, **(given or {}))
