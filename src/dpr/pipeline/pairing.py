"""Documents to a file of training pairs made of them.

Takes names of sources and collections, and settings; gives DPR JSON lines, with their settings
beside them. Wires reading and the making of pairs together and holds no logic of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dpr.collection import Collection
from dpr.corpus import DuplicateSettings, Problems, SourceSettings, SplitSettings, read_passages
from dpr.corpus.duplicates import Duplicates, drop_duplicates
from dpr.errors import InputError
from dpr.indexes.analysis import words_of
from dpr.pipeline.building import check_apart, is_collection
from dpr.questions.files import check_new, write_lines
from dpr.records import Passage
from dpr.samples.files import sample_to_json
from dpr.samples.keywords import WordWeights
from dpr.samples.pairs import KEYWORDS, PairCounts, PairSettings, make_pairs

Place = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Paired:
    """What making pairs gives.

    Attributes:
        counts: passages, and pairs by kind.
        problems: what was skipped or passed over while the sources were read.
        duplicates: passages that were left out.
        settings: the file beside the pairs that holds their settings.
    """

    counts: PairCounts
    problems: Problems
    duplicates: Duplicates
    settings: Path


@dataclass(frozen=True, slots=True)
class Documents:
    """Passages of several sources that can be read again.

    Attributes:
        sources: what ``dpr.corpus`` reads, or folders of collections.
        split, reading: of sources that are no collection.
        duplicates: which passages to leave out; None: all are kept.
    """

    sources: Sequence[Place]
    split: SplitSettings = field(default_factory=SplitSettings)
    reading: SourceSettings = field(default_factory=SourceSettings)
    duplicates: DuplicateSettings | None = None

    def read(
        self, problems: Problems | None = None, duplicates: Duplicates | None = None
    ) -> Iterator[Passage]:
        """The passages, in order; what is met is told to ``problems`` and ``duplicates``.

        Raises:
            InputError: as ``dpr.corpus.read_passages``; an id that two sources give.
            CollectionError: a collection that cannot be read.
        """
        passages = self._all(problems or Problems())
        if self.duplicates is None:
            return passages
        return drop_duplicates(passages, self.duplicates, duplicates or Duplicates())

    def _all(self, problems: Problems) -> Iterator[Passage]:
        before: set[str] = set()  # within a source ids are unique
        for source in self.sources:
            own: set[str] = set()
            for passage in self._of(source, problems):
                if passage.id in before:
                    raise InputError(
                        f"the passage id {passage.id!r} is also that of an earlier source; rename "
                        "one of the documents, or make the pairs of each source on its own",
                        source=os.fspath(source),
                    )
                if source is not self.sources[-1]:
                    own.add(passage.id)
                yield passage
            before |= own

    def _of(self, source: Place, problems: Problems) -> Iterator[Passage]:
        if is_collection(source):
            with Collection.open(os.fspath(source)) as collection:
                yield from collection
        else:
            yield from read_passages(source, self.reading, self.split, problems)

    def check_repeatable(self) -> None:
        """Refuse sources that can be read only once.

        Raises:
            InputError: one is a pipe.
        """
        for path in map(Path, self.sources):
            if path.exists() and not (path.is_dir() or path.is_file()):
                raise InputError(
                    f"is a pipe, and is read twice for the kind {KEYWORDS}; write it to a file, or "
                    f"leave {KEYWORDS} out of the kinds",
                    source=str(path),
                )


def write_pairs(
    documents: Documents,
    to: Place,
    settings: PairSettings | None = None,
    progress: Callable[[int], None] | None = None,
    *,
    overwrite: bool = False,
) -> Paired:
    """Writes the training pairs of documents, a line each, and their settings as
    ``{to}.settings.json``.

    Args:
        to: the file; a name that ends in .gz is gzipped.
        progress: called with the number of passages done so far.
        overwrite: replace a file that is there, once all pairs are made.

    Raises:
        InputError: see ``Documents.read``; there is a file already, no passage gave a pair, or the
            file cannot be written.
        SettingsError: there is no such language.
    """
    settings = settings or PairSettings()
    target = Path(to)
    check_apart(target, documents.sources)
    check_new(target, overwrite)
    beside = target.with_name(f"{target.name}.settings.json")
    problems, duplicates, counts = Problems(), Duplicates(), PairCounts()
    words = words_of(settings.language)
    weights: WordWeights | None = None
    if KEYWORDS in settings.shares:
        documents.check_repeatable()
        weights = WordWeights((f"{one.title} {one.text}" for one in documents.read()), words)

    def lines() -> Iterator[str]:
        passages = documents.read(problems, duplicates)
        for sample in make_pairs(_told(passages, progress), settings, weights, counts):
            yield json.dumps(sample_to_json(sample), ensure_ascii=False) + "\n"
        if not counts.pairs:
            raise InputError(
                f"none of {counts.passages:,} passages gave a pair of the kinds "
                f"{settings.kinds!r}; allow shorter questions (fewest_words) or other kinds",
                source=", ".join(os.fspath(one) for one in documents.sources),
            )
        # Before the pairs are replaced: never do new ones stand beside the settings of old ones.
        beside.unlink(missing_ok=True)

    write_lines(target, lines())
    write_lines(beside, [json.dumps(asdict(settings), indent=2, ensure_ascii=False) + "\n"])
    return Paired(counts, problems, duplicates, beside)


def _told(passages: Iterator[Passage], progress: Callable[[int], None] | None) -> Iterator[Passage]:
    for done, passage in enumerate(passages):
        if progress is not None:
            progress(done)
        yield passage
