"""Word counts: against counting by hand, however they are built, merged and kept."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from dpr.errors import CorruptionError, InputError
from dpr.indexes import merging, words
from dpr.indexes.analysis import WordsSettings
from dpr.indexes.words import WordCounts, build_words, count_words, merge_words

PLAIN = WordsSettings(language=None, stop_words=None)
NAMES = [field.name for field in fields(WordCounts)]
Texts = Sequence[tuple[str, str]]

some_words = st.lists(
    st.sampled_from(["aa", "bb", "cc", "zz", "éé", "東京", "the"]) | st.text("ab", min_size=2),
    max_size=12,
).map(" ".join)
some_texts = st.lists(st.tuples(some_words, some_words), max_size=8)


class Folder:
    """A bench that keeps files in a folder; ``fails`` names one whose writing is cut off."""

    def __init__(self, path: Path, fails: str = "") -> None:
        self.path, self.fails = path, fails

    def kept(self, name: str) -> Path | None:
        path = self.path / name
        return path if path.exists() else None

    def keep(self, name: str, chunks: Iterable[bytes | memoryview]) -> Path:
        if name == self.fails:
            raise KeyboardInterrupt
        (self.path / name).write_bytes(b"".join(chunks))
        return self.path / name

    def load(self, names: Iterable[str]) -> WordCounts:
        return WordCounts.load({name: self.path / name for name in names})


def by_hand(counts: WordCounts) -> list[dict[str, int]]:
    """The words of each row, read one by one."""
    rows: list[dict[str, int]] = [{} for _ in range(len(counts))]
    for place in range(counts.terms):
        begin, end = counts.spelled[place : place + 2]
        term = counts.letters[begin:end].tobytes().decode()
        assert counts.find(term) == place
        having, often = counts.postings(place)
        assert len(having) > 0
        assert (np.diff(having.astype(np.int64)) > 0).all()
        for row, count in zip(having.tolist(), often.tolist(), strict=True):
            rows[row][term] = count
    return rows


def counted(texts: Texts, title: int, text: int, pairs: bool) -> list[dict[str, int]]:
    """Pairs do not go from one field to the next."""
    rows = []
    for one in texts:
        row: Counter[str] = Counter()
        for field, times in zip(one, (title, text), strict=True):
            words = field.split()
            terms = words + [f"{a} {b}" for a, b in pairwise(words)] * pairs
            row.update(terms * times)
        rows.append(dict(row))
    return rows


def same(one: WordCounts, other: WordCounts) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in NAMES)


@given(some_texts, st.integers(0, 3), st.integers(1, 2), st.booleans())
def test_counts_are_those_by_hand(texts: Texts, title: int, text: int, pairs: bool) -> None:
    counts = count_words(texts, WordsSettings(None, None, title, text, pairs=pairs))
    assert by_hand(counts) == counted(texts, title, text, pairs)
    words = counted(texts, title, text, False)
    assert counts.lengths.tolist() == [sum(row.values()) for row in words]
    assert counts.find("nowhere") == counts.find("") == counts.find("a\ud800") == -1
    assert len(counts) == len(texts)


@settings(deadline=None)
@given(some_texts, st.integers(1, 30), st.integers(1, 30), st.integers(0, 3))
def test_runs_and_merges_of_any_size_make_the_same_file(
    tmp_path_factory: pytest.TempPathFactory, texts: Texts, run: int, postings: int, spellings: int
) -> None:
    bench = Folder(tmp_path_factory.mktemp("bench"))
    told: list[tuple[str, int, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(words, "RUN_WORDS", run)
        patch.setattr(words, "MOST_SPELLINGS", spellings)
        patch.setattr(merging, "POSTINGS", postings)
        names = build_words(iter(texts), PLAIN, bench, lambda *one: told.append(one), len(texts))
        in_memory = count_words(texts, PLAIN)
    loaded = bench.load(names)
    assert same(loaded, count_words(texts, PLAIN))
    assert same(loaded, in_memory)
    assert [one[1:] for one in told[-1:]] == [(len(texts), len(texts))][: len(texts)]
    other = load_file(bench.path / names[0])  # safetensors itself reads it
    assert all(np.array_equal(other[name], getattr(loaded, name)) for name in NAMES)


def test_pairs_pass_over_stop_words_and_have_the_forms_of_words() -> None:
    (row,) = by_hand(count_words([("", "the Kings of the castles, the dogs")]))
    assert row == {"king": 1, "castl": 1, "dog": 1, "king castl": 1, "castl dog": 1}


@pytest.mark.parametrize("often", [255, 256, 65535, 65536])
def test_counts_of_any_size(often: int, tmp_path: Path) -> None:
    texts = [("", "aa " * often), ("", "bb aa")]
    bench = Folder(tmp_path)
    loaded = bench.load(build_words(texts, PLAIN, bench))
    pairs = {"aa aa": often - 1}, {"bb aa": 1}
    assert by_hand(loaded) == [{"aa": often} | pairs[0], {"aa": 1, "bb": 1} | pairs[1]]
    assert loaded.counts.itemsize == (1 if often < 256 else 2 if often < 65536 else 4)
    assert loaded.bytes == sum(getattr(loaded, name).nbytes for name in NAMES)


TEXTS = [("", f"w{i % 7} w{i % 3} only{i}") for i in range(40)]


@pytest.mark.parametrize("fails", ["words-run-00000", "words-run-00003", "words.safetensors"])
def test_an_interrupted_build_goes_on_where_it_was(
    fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "RUN_WORDS", 84)  # seven texts, each with two empty titles' borders
    with pytest.raises(KeyboardInterrupt):
        build_words(TEXTS, PLAIN, Folder(tmp_path, fails))
    kept = len(list(tmp_path.iterdir()))
    split: list[str] = []

    class Spy(words.Analyzer):
        def split(self, text: str) -> list[str]:
            split.append(text)
            return super().split(text)

    monkeypatch.setattr(words, "Analyzer", Spy)
    bench = Folder(tmp_path)
    loaded = bench.load(build_words(iter(TEXTS), PLAIN, bench))
    monkeypatch.undo()
    assert same(loaded, count_words(TEXTS, PLAIN))
    assert [text for text in split if text] == [text for _, text in TEXTS[kept * 7 :]]


def test_an_interrupted_build_is_not_continued_with_fewer_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "RUN_WORDS", 84)  # seven texts, each with two empty titles' borders
    with pytest.raises(KeyboardInterrupt):
        build_words(TEXTS, PLAIN, Folder(tmp_path, "words-run-00003"))
    with pytest.raises(InputError, match="fewer texts than the 14"):
        build_words(TEXTS[:9], PLAIN, Folder(tmp_path))


@settings(deadline=None)
@given(st.data(), st.lists(some_texts, max_size=4), st.integers(1, 30))
def test_merging_what_stays_is_counting_it(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    parts: list[Texts],
    postings: int,
) -> None:
    bench = Folder(tmp_path_factory.mktemp("bench"))
    live = [
        data.draw(
            st.none() | st.lists(st.booleans(), min_size=len(part), max_size=len(part)).map(mask)
        )
        for part in parts
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merging, "POSTINGS", postings)
        names = merge_words([count_words(part, PLAIN) for part in parts], live, bench)
    stay = [
        text
        for part, kept in zip(parts, live, strict=True)
        for row, text in enumerate(part)
        if kept is None or kept[row]
    ]
    assert same(bench.load(names), count_words(stay, PLAIN))


def mask(values: Sequence[bool]) -> np.ndarray:
    return np.array(values, np.bool_)


def test_masks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    part = count_words(TEXTS, PLAIN)
    wrong: list[list[np.ndarray | None]] = [
        [None, None],
        [np.ones(3, np.bool_)],
        [np.ones(len(TEXTS), np.int64)],
    ]
    for live in wrong:
        with pytest.raises(InputError, match="live has masks of"):
            merge_words([part], live, Folder(tmp_path))


def damaged(content: bytes) -> Iterator[bytes]:
    size = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    for end in (0, 4, 8, 20, 8 + size, len(content) - 1):
        yield content[:end]
    yield content + b"x"
    yield (1 << 60).to_bytes(8, "little") + content[8:]
    yield content[:8] + b"x" * size + data
    for name in NAMES:
        for key, value in (
            ("dtype", "F32"),
            ("shape", [3, 3]),
            ("shape", [-1]),
            ("shape", ["1"]),
            ("shape", [1 << 70]),
            ("data_offsets", [0, 1]),
            ("data_offsets", None),
        ):
            text = json.dumps({**header, name: {**header[name], key: value}}).encode()
            yield len(text).to_bytes(8, "little") + text + data
        text = json.dumps({other: header[other] for other in NAMES if other != name}).encode()
        yield len(text).to_bytes(8, "little") + text + data
    for text in (b"[]", b"7", b'{"starts": 7}'):
        yield len(text).to_bytes(8, "little") + text + data
    yield content[: 8 + size] + bytes(len(data))  # arrays that contradict one another


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    bench = Folder(tmp_path)
    (name,) = build_words(TEXTS, PLAIN, bench)
    cases = list(damaged((tmp_path / name).read_bytes()))
    assert len(cases) > 50
    for content in cases:
        (tmp_path / name).unlink()  # the old bytes may still be mapped
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CorruptionError, match=r"words\.safetensors"):
            bench.load([name])
