"""Passages and vectors brought together: right, or refused by file and row."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpr.collection import BuildSettings, Collection, add_documents, build_collection
from dpr.errors import DPRError, InputError, MismatchError, SettingsError
from dpr.interchange.matched import AT_ONCE, Declared, MatchedVectors
from dpr.interchange.vectors_in import VectorFiles, VectorSettings
from dpr.records import Passage

DIM = 8


class Encoder:
    """Vectors that are a function of the id."""

    dim, fingerprint, truncated = DIM, "context-one", 0

    def __init__(self, seed: int = 0) -> None:
        self.settings: dict[str, Any] = {"tower": "context"}
        self.seed = seed
        self.encoded = 0

    def encode(self, passages: Sequence[Passage]) -> Any:
        self.encoded += len(passages)
        return np.stack([vector(one.id, self.seed) for one in passages])


@cache
def vector(name: str, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *name.encode()]).normal(size=DIM).astype(np.float32)


def passages(count: int) -> list[Passage]:
    return [Passage(f"p{n}", f"text {n}", source=f"a.tsv:{n + 2}") for n in range(count)]


def files(folder: Path, names: Sequence[str], *, parts: int = 1, ids: bool = True) -> VectorFiles:
    """Vectors of these ids in so many files."""
    folder.mkdir(exist_ok=True)
    for number, some in enumerate(np.array_split(np.array(names), parts)):
        np.save(folder / f"{number}.npy", np.stack([vector(one) for one in some.tolist()]))
        (folder / f"{number}.txt").write_text("".join(f"{one}\n" for one in some))
    return VectorFiles(folder / "*.npy", folder / "*.txt" if ids else ())


def built(
    source: list[Passage],
    vectors: VectorFiles,
    to: Path,
    context: Any = None,
    extra: Any = "raise",
    **settings: Any,
) -> MatchedVectors:
    settings = {"dtype": "float32", "shard_size": 300, **settings}
    build = BuildSettings(**settings)
    matched = MatchedVectors(vectors, Declared("q", DIM, context), build.shard_size, extra)
    build_collection(matched.entries(source), matched, to, build, "q")
    return matched


def stored(folder: Path) -> tuple[list[str], Any]:
    with Collection.open(folder) as collection:
        return [one.id for one in collection], np.concatenate(collection.vectors)


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("order", ["same", "reversed", "random"])
def test_each_passage_gets_its_own_vector(parts: int, order: str, tmp_path: Path) -> None:
    source = passages(2 * AT_ONCE + 77)
    names = [one.id for one in source]
    if order == "reversed":
        names.reverse()
    elif order == "random":
        np.random.default_rng(0).shuffle(names)
    built(source, files(tmp_path / "v", names, parts=parts), tmp_path / "c")
    ids, vectors = stored(tmp_path / "c")
    assert ids == [one.id for one in source]
    assert np.array_equal(vectors, np.stack([vector(one) for one in ids]))


def test_by_order_alone(tmp_path: Path) -> None:
    source = passages(1500)
    table = files(tmp_path / "v", [one.id for one in source], parts=12, ids=False)
    built(source, table, tmp_path / "c", Encoder())
    ids, vectors = stored(tmp_path / "c")
    assert np.array_equal(vectors, np.stack([vector(one) for one in ids]))


def test_missing_extra_and_repeated_ids(tmp_path: Path) -> None:
    source = passages(1200)
    names = [one.id for one in source]
    with pytest.raises(InputError, match=r"passage 'p1100' \(a\.tsv:1102\) has no vector: none of"):
        built(source, files(tmp_path / "a", names[:1100] + names[1101:]), tmp_path / "c1")
    extra = files(tmp_path / "b", [*names[:5], "else", *names[5:], "more"], parts=2)
    with pytest.raises(InputError, match=r"0\.npy: row 5 .* none of the 1200 passages.* 2 vectors"):
        built(source, extra, tmp_path / "c2")
    assert built(source, extra, tmp_path / "c2", extra="skip").left_over == 2
    assert np.array_equal(stored(tmp_path / "c2")[1], np.stack([vector(one) for one in names]))
    twice = files(tmp_path / "d", [*names, "p7"], parts=2)
    with pytest.raises(
        InputError, match=r"1\.npy: row 599 .* id 'p7' is also that of .*0\.npy: ro"
    ):
        built(source, twice, tmp_path / "c3")
    with pytest.raises(InputError, match="two passages have the id 'p3'"):
        built([*source, source[3]], files(tmp_path / "e", names), tmp_path / "c4")
    prefixed = files(tmp_path / "f", [f"wiki:{one}" for one in names])
    with pytest.raises(InputError, match=r"take off the prefix 'wiki:' \(id_prefix"):
        built(source, prefixed, tmp_path / "c5")


def test_a_prefix_is_taken_off(tmp_path: Path) -> None:
    source = passages(10)
    files(tmp_path / "v", [f"wiki:{one.id}" for one in source])
    vectors = VectorFiles(
        tmp_path / "v" / "0.npy", tmp_path / "v" / "0.txt", VectorSettings(id_prefix="wiki:")
    )
    built(source, vectors, tmp_path / "c")
    assert np.array_equal(stored(tmp_path / "c")[1][3], vector("wiki:p3"))


def test_by_order_alone_the_numbers_must_be_equal(tmp_path: Path) -> None:
    source = passages(20)
    table = files(tmp_path / "v", [one.id for one in source[:19]], ids=False)
    with pytest.raises(InputError, match=r"'p19' .* 19 vectors in order, and more passages"):
        built(source, table, tmp_path / "c")
    with pytest.raises(InputError, match=r"0\.npy: row 18 .* belongs to none of the 18 passages"):
        built(source[:18], table, tmp_path / "d")
    with pytest.raises(SettingsError, match="needs ids"):
        built(source[:18], table, tmp_path / "e", extra="skip")
    with pytest.raises(SettingsError, match="extra='drop'"):
        built(source[:18], table, tmp_path / "e", extra="drop")


def test_a_vector_that_is_none_is_named(tmp_path: Path) -> None:
    source = passages(700)
    names = [one.id for one in source]
    files(tmp_path / "v", names, parts=2)
    array = np.load(tmp_path / "v" / "1.npy")
    array[100, 0] = np.nan
    np.save(tmp_path / "v" / "1.npy", array)
    vectors = VectorFiles(tmp_path / "v" / "*.npy", tmp_path / "v" / "*.txt")
    with pytest.raises(InputError, match=r"1\.npy: row 100 .* NaN"):
        built(source, vectors, tmp_path / "c")
    with pytest.raises(DPRError):
        Collection.open(tmp_path / "c")


def test_the_context_encoder_is_compared_with_vectors_here_and_there(tmp_path: Path) -> None:
    source = passages(6 * AT_ONCE)
    names = [one.id for one in source]
    right = files(tmp_path / "v", names)
    own = Encoder()
    assert built(source, right, tmp_path / "c", own).compared == own.encoded == 8 * 3
    with pytest.raises(
        MismatchError, match=r"0\.npy: row \d .* as far from what the context encoder"
    ):
        built(source, right, tmp_path / "d", Encoder(seed=1))
    # Right at first, and then a shard too early: ids that do not belong to the vectors.
    astray = names[: 2 * AT_ONCE] + names[3 * AT_ONCE :] + names[2 * AT_ONCE : 3 * AT_ONCE]
    files(tmp_path / "e", astray, ids=False)
    with pytest.raises(MismatchError, match=r"row 30[78]\d "):
        built(source, VectorFiles(tmp_path / "e" / "0.npy"), tmp_path / "f", Encoder())


def test_vectors_in_less_precision_pass(tmp_path: Path) -> None:
    source = passages(100)
    coarse = np.stack([vector(one.id) for one in source])
    coarse = (coarse * (1 + np.random.default_rng(1).normal(size=coarse.shape) * 0.01)).astype("f2")
    np.save(tmp_path / "v.npy", coarse)
    assert built(source, VectorFiles(tmp_path / "v.npy"), tmp_path / "c", Encoder()).compared == 8


def test_what_the_manifest_says_of_the_encoder(tmp_path: Path) -> None:
    source = passages(50)
    names = [one.id for one in source]
    vectors = files(tmp_path / "v", names)
    built(source, vectors, tmp_path / "known", Encoder())
    built(source, vectors, tmp_path / "unknown")
    more = [Passage("new", "text", document="new")]
    with Collection.open(tmp_path / "known") as collection:
        manifest = collection.manifest
        collection.check_encoder("q")
    assert manifest.encoder_fingerprint == "context-one"
    assert manifest.encoder_settings == {"tower": "context", "imported": vectors.digest()}
    assert add_documents(tmp_path / "known", more, Encoder()).added == 1
    with Collection.open(tmp_path / "unknown") as collection:
        manifest = collection.manifest
        collection.check_encoder("q")
    assert manifest.encoder_settings["question_encoder"] == "q"
    assert manifest.encoder_settings["imported"] == vectors.digest()
    with pytest.raises(MismatchError, match="imported"):
        add_documents(tmp_path / "unknown", more, Encoder())


def test_vectors_of_another_length(tmp_path: Path) -> None:
    vectors = files(tmp_path / "v", ["a"])
    with pytest.raises(MismatchError, match=r"vectors of 8 numbers, the question encoder gives 7"):
        MatchedVectors(vectors, Declared("q", 7), 100)


class Stop(Exception):
    pass


def test_an_interrupted_import_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    source = passages(1000)
    names = [one.id for one in source]
    vectors = files(tmp_path / "v", names[::-1], parts=3)

    def some() -> Any:
        yield from source[:650]
        raise Stop

    with pytest.raises(Stop):
        built(some(), vectors, tmp_path / "c")  # type: ignore[arg-type]
    matched = built(source, vectors, tmp_path / "c")
    built(source, vectors, tmp_path / "whole")
    assert matched.left_over == 0
    for path in sorted((tmp_path / "whole").rglob("*.*")):
        other = tmp_path / "c" / path.relative_to(tmp_path / "whole")
        assert path.is_dir() or path.read_bytes() == other.read_bytes()


def test_other_vectors_do_not_go_on_with_an_import(tmp_path: Path) -> None:
    source = passages(1000)

    def some() -> Any:
        yield from source[:650]
        raise Stop

    with pytest.raises(Stop):
        built(some(), files(tmp_path / "v", [p.id for p in source]), tmp_path / "c")  # type: ignore[arg-type]
    other = files(tmp_path / "w", [p.id for p in source], parts=2)
    with pytest.raises(MismatchError, match="encoder settings was"):
        built(source, other, tmp_path / "c")
