"""Texts counted by their words: in memory, or into a file however many texts there are.

Takes pairs (title, text), gives ``WordCounts``. Texts are counted in runs, each in memory; the
runs are then merged. Knows nothing of scores, questions or passages.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from dpr.errors import InputError
from dpr.indexes.analysis import BETWEEN, Analyzer, WordsSettings
from dpr.indexes.index import Bench, Mask, Progress
from dpr.indexes.merging import Merge
from dpr.indexes.postings import FILE, Array, WordCounts, file_of, hold, read_file

__all__ = ["WordCounts", "WordsSettings", "build_words", "count_words", "merge_words"]

RUN_WORDS = 1 << 24  # counted at a time, half as many with pairs; about 0.7 GB
MOST_SPELLINGS = 1 << 20  # whose stems are remembered from run to run
STOP, BORDER = -1, -2  # what stands for a stop word, and after each field


def count_words(
    texts: Iterable[tuple[str, str]], settings: WordsSettings | None = None
) -> WordCounts:
    """The words of pairs (title, text), in memory.

    Raises:
        SettingsError: see ``Analyzer``.
    """
    runs = list(_runs(iter(texts), Analyzer(settings or WordsSettings())))
    return runs[0] if len(runs) == 1 else hold(Merge(runs, [None] * len(runs)).tensors())


def build_words(
    texts: Iterable[tuple[str, str]],
    settings: WordsSettings,
    bench: Bench,
    progress: Progress | None = None,
    total: int = 0,
) -> tuple[str, ...]:
    """Counts the words of pairs (title, text) into a file that the bench keeps.

    The bench also keeps each run, as ``words-run-*``, until its owner clears it away: a build that
    begins again passes over the texts of the runs that it finds there.

    Args:
        total: how many texts there are, where that is known; for ``progress``.

    Returns:
        The names of the files to load.

    Raises:
        SettingsError: see ``Analyzer``.
        InputError: fewer texts than the runs hold; 2**32 texts or more.
    """
    waiting = iter(texts)
    fresh = _runs(waiting, Analyzer(settings))
    runs: list[WordCounts] = []
    done = 0
    while True:
        name = f"words-run-{len(runs):05}"
        if path := bench.kept(name):
            run = read_file(path)
            if sum(1 for _ in islice(waiting, len(run))) < len(run):
                raise InputError(
                    f"there are fewer texts than the {done + len(run):,} that an interrupted build "
                    "counted; give it the same texts, or begin anew"
                )
        elif counted := next(fresh, None):
            run = read_file(bench.keep(name, file_of(counted.tensors())))
        else:
            break
        counted = None  # leave the memory to the next run
        runs.append(run)
        done += len(run)
        if progress:
            progress("counting words", done, max(done, total))
    return merge_words(runs, [None] * len(runs), bench)


def merge_words(
    parts: Sequence[WordCounts], live: Sequence[Mask | None], bench: Bench
) -> tuple[str, ...]:
    """Several segments' counts as one's, as counting anew the rows that stay would give them.

    Args:
        live: of each part, which rows stay (its rows,); None: all.

    Returns:
        The names of the files to load.

    Raises:
        InputError: masks that do not fit the parts; 2**32 rows or more.
    """
    bench.keep(FILE, file_of(Merge(parts, live).tensors()))
    return (FILE,)


class _Numbers(dict[str, int]):
    """The number of the term that a spelling is counted as; STOP for stop words."""

    def __init__(self, analyzer: Analyzer) -> None:
        super().__init__()
        self.terms: list[str] = []
        self._analyzer = analyzer
        self._known: dict[str, int] = {"": STOP}

    def __missing__(self, spelling: str) -> int:
        term = self._analyzer.stem(spelling)
        number = self._known.setdefault(term, len(self.terms))
        if number == len(self.terms):
            self.terms.append(term)
        self[spelling] = number
        return number


def _runs(texts: Iterator[tuple[str, str]], analyzer: Analyzer) -> Iterator[WordCounts]:
    """Counts of as many texts at a time as have RUN_WORDS words together."""
    settings = analyzer.settings
    enough = RUN_WORDS // 2 if settings.pairs else RUN_WORDS
    numbers = _Numbers(analyzer)
    words, ends = array("i"), array("q")
    for title, text in texts:
        for field, times in ((title, settings.title), (text, settings.text)):
            if times:
                own = list(map(numbers.__getitem__, analyzer.split(field)))
                words.fromlist([*own, BORDER] * times)
        ends.append(len(words))
        if len(words) >= enough:
            yield _counted(words, ends, numbers.terms, settings.pairs)
            words, ends = array("i"), array("q")
            if len(numbers) > MOST_SPELLINGS:
                numbers = _Numbers(analyzer)
    if ends:
        yield _counted(words, ends, numbers.terms, settings.pairs)


def _counted(words: array[int], ends: array[int], terms: Sequence[str], pairs: bool) -> WordCounts:
    """The counts of rows whose words, given as numbers of terms, end at ``ends``."""
    numbers, count = np.asarray(words), len(ends)
    rows = np.repeat(np.arange(count), np.diff(np.asarray(ends), prepend=0))
    kept = numbers != STOP
    numbers, rows = numbers[kept], rows[kept]
    kept = numbers != BORDER
    lengths = np.bincount(rows[kept], minlength=count).astype(np.uint32)
    if pairs:
        side_by_side = np.flatnonzero(kept[:-1] & kept[1:])
        first, second = numbers[side_by_side].astype(np.int64), numbers[side_by_side + 1]
        both, own = np.unique(first * len(terms) + second, return_inverse=True)
        spelled = zip(*(part.tolist() for part in np.divmod(both, len(terms))), strict=True)
        terms = [*terms, *(f"{terms[one]}{BETWEEN}{terms[other]}" for one, other in spelled)]
        rows = np.concatenate([rows[kept], rows[side_by_side]])
        numbers = np.concatenate([numbers[kept], own + (len(terms) - len(both))])
    else:
        numbers, rows = numbers[kept], rows[kept]
    return _gathered(numbers.astype(np.int64), rows, lengths, terms)


def _gathered(numbers: Array, rows: Array, lengths: Array, terms: Sequence[str]) -> WordCounts:
    """The counts of the terms, given by number, that stand in rows."""
    count = len(lengths)
    used = np.flatnonzero(np.bincount(numbers, minlength=len(terms))).tolist()
    # Python orders strings by code point, which is the order of their UTF-8 too.
    used.sort(key=terms.__getitem__)
    places = np.zeros(len(terms), np.int64)
    places[used] = np.arange(len(used))
    keys = places[numbers] * count + rows
    keys.sort()
    firsts = np.flatnonzero(np.diff(keys, prepend=-1))
    counts = np.diff(firsts, append=len(keys))
    keys = keys[firsts]
    begins = np.arange(len(used) + 1) * count
    starts = np.searchsorted(keys, begins)
    spelled = [terms[number].encode() for number in used]
    return WordCounts(
        starts,
        np.cumsum([0, *map(len, spelled)], dtype=np.int64),
        (keys - np.repeat(begins[:-1], np.diff(starts))).astype(np.uint32),
        lengths,
        counts.astype(np.min_scalar_type(counts.max(initial=0))),
        np.frombuffer(b"".join(spelled), np.uint8),
    )
