"""Manifests whose checksum is right and whose content is not: refused, at little cost.

A collection may come from someone else. Whatever its manifest says, what is answered is an error of
ours or an answer; nothing is read outside the folder, and nothing large is asked of the memory.
"""

from __future__ import annotations

import base64
import json
import random
import shutil
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from builds import HashEncoder, snapshot
from scenarios import FULL, content, entries, make_base, report

from dpr.collection import (
    Collection,
    add_documents,
    compact,
    describe,
    named,
    read_manifest,
    remove_documents,
    repair,
    verify,
)
from dpr.collection.manifest import sealed
from dpr.errors import CollectionError, CorruptionError, DPRError

MOST = 64 << 20
_HERE = Path(__file__).parent
Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "c"
    make_base(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    (tmp_path / "outside").write_text("not to be touched")
    return Path(shutil.copytree(whole, tmp_path / "c"))


def value_of(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    del value["checksum"]
    return value


def put(folder: Path, value: dict[str, Any]) -> None:
    for name in ("manifest.json", "manifest.copy.json"):
        (folder / name).write_bytes(sealed(value))


def use(folder: Path) -> int:
    """All that is done with collections; gives how much of it was refused."""
    refused = 0

    def read() -> None:
        with Collection.open(folder) as collection:
            content(collection)

    def repaired() -> None:
        repair(folder, trial=True)

    for action in (
        lambda: read_manifest(folder), lambda: describe(folder), read, lambda: verify(folder),
        repaired,
    ):  # fmt: skip
        try:
            action()
        except DPRError:
            refused += 1
        except (AssertionError, KeyError) as error:
            # The tests' own: what it holds disagrees with itself, as the manifest had it.
            assert _raised_in_tests(error), error
    return refused


def _raised_in_tests(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and Path(trace.tb_frame.f_code.co_filename).parent == _HERE


def change_and_use(folder: Path) -> None:
    for action in (
        lambda: remove_documents(folder, named(["a"])),
        lambda: add_documents(folder, entries({"z": (2, 0)}), HashEncoder()),
        lambda: compact(folder),
        lambda: repair(folder),
    ):
        with suppress(DPRError):
            action()


def bomb(rows: int) -> str:
    packed = zlib.compress(bytes((rows + 7) // 8), 9)
    return f"{rows}:{base64.b64encode(packed).decode()}"


def set_rows(value: dict[str, Any], rows: Any, deleted: str = "") -> None:
    value["segments"][0]["rows"] = rows
    value["segments"][0]["deleted"] = deleted
    value["rows"] = rows + 14


def set_sizes(value: dict[str, Any], rows: int) -> None:
    """As many rows as are said, by the sizes that go with them."""
    set_rows(value, rows)
    sizes = {"vectors.npy": 128 + rows * 16, "ids.npy": 128 + rows * 16}
    sizes["vectors.sha256"] = -(-rows // 4096) * 32
    for entry in value["segments"][0]["files"]:
        entry["bytes"] = sizes.get(entry["name"], entry["bytes"])


CHANGES: list[Change] = [
    lambda value: set_rows(value, 10**9),
    lambda value: set_rows(value, 10**18),
    lambda value: set_rows(value, -5),
    lambda value: set_rows(value, 800_000_000, bomb(800_000_000)),
    lambda value: set_sizes(value, 4_000_000_000),
    lambda value: set_sizes(value, 21),
    lambda value: value.update(dim=10**12),
    lambda value: value.update(dim=-8),
    lambda value: value.update(dim=16),
    lambda value: value["segments"][0].update(name="../../outside"),
    lambda value: value["segments"][0].update(name="/etc"),
    lambda value: value["segments"][0].update(name="\ud800"),
    lambda value: value["segments"][0].update(name="0" * 5000),
    lambda value: value["segments"][0].update(name=value["segments"][1]["name"]),
    lambda value: value["segments"][0]["files"][0].update(name="../../../outside"),
    lambda value: value["segments"][0]["files"].append(value["segments"][0]["files"][0]),
    lambda value: value["segments"][0]["files"][0].update(bytes=-1),
    lambda value: value["segments"][0]["files"][0].update(bytes=10**18),
    lambda value: value["segments"][0].update(longest=10**400),
    lambda value: value["segments"][0].update(longest=-1.0),
    lambda value: value["segments"][0].update(longest="nan"),
    lambda value: value["segments"][0].update(deleted="20:x"),
    lambda value: value["segments"][0].update(deleted="٢٠:eJwDAAAAAAE="),
    lambda value: value["segments"][0].update(deleted="20" + bomb(800_000_000)[9:]),
    lambda value: value["segments"][0]["parts"][0].update(name="../segments"),
    lambda value: value["segments"][0]["parts"][0].update(
        name=value["segments"][1]["parts"][0]["name"]
    ),
    lambda value: value["segments"][0]["parts"].append(value["segments"][0]["parts"][0]),
    lambda value: value["segments"][0]["parts"][0]["files"][0].update(name="a/../../b"),
    lambda value: value.update(segments=[]),
    lambda value: value.update(segments=value["segments"] * 2),
    lambda value: value.update(version=10**30),
    lambda value: value.update(dtype="object"),
    lambda value: value.update(dtype=">f2"),
    lambda value: value.update(encoder=[]),
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_makes_no_sense_is_refused_cheaply(
    change: Change, folder: Path, tmp_path: Path
) -> None:
    value = value_of(folder)
    change(value)
    put(folder, value)
    before = snapshot(folder)
    tracemalloc.start()
    refused = use(folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST
    assert refused or value["version"] > 10**9 or verify(folder)
    assert snapshot(folder) == before
    change_and_use(folder)
    assert (tmp_path / "outside").read_text() == "not to be touched"
    assert {path.name for path in tmp_path.iterdir()} == {"c", "outside"}


def test_a_part_of_a_wrong_kind_is_just_not_found(folder: Path) -> None:
    value = value_of(folder)
    value["segments"][0]["parts"][0]["kind"] = "../../outside"
    put(folder, value)
    with Collection.open(folder) as collection:
        assert collection.segments[0].part("lengths") is None
    assert verify(folder) == []


def test_a_manifest_that_promises_shorter_vectors_than_there_are_is_found(folder: Path) -> None:
    value = value_of(folder)
    value["segments"][1]["longest"] = 1.0  # a search would leave out what it should find
    put(folder, value)
    assert [one.file for one in verify(folder)] == ["segments/0002/vectors.npy"]


@pytest.mark.parametrize("name", ["manifest.json", "manifest.copy.json"])
def test_deep_and_long_files_are_refused(name: str, folder: Path) -> None:
    for data in (b"[" * 10**6, b'{"a":' * 10**5, b"9" * 10**6, b"\xff" * 100, b"null", b""):
        (folder / name).write_bytes(data)
        assert verify(folder) != []
        if name == "manifest.json":
            with pytest.raises(CorruptionError):
                read_manifest(folder)


def test_passages_whose_bytes_are_hostile_are_refused(folder: Path) -> None:
    """Offsets that lead outside of the block, under hashes that are right."""
    import hashlib

    import pyarrow as pa

    from dpr.collection.passages import END_MARK, SCHEMA, SCHEMA_MESSAGE

    text = pa.array(["abc"] * 4, pa.large_string())
    offsets = pa.py_buffer(b"".join(at.to_bytes(8, "little") for at in (0, 3, 1 << 40, 6, 9)))
    wild = pa.Array.from_buffers(pa.large_string(), 4, [None, offsets, text.buffers()[2]])
    columns = [
        wild if field.name == "id" else pa.array([0] * 4) if field.type == pa.int64() else text
        for field in SCHEMA
    ]
    message = pa.RecordBatch.from_arrays(columns, schema=SCHEMA).serialize().to_pybytes()
    value = value_of(folder)
    segment = folder / "segments" / "0001"
    rows = 20
    whole = SCHEMA_MESSAGE + message * (rows // 4) + END_MARK
    lines = [
        [len(SCHEMA_MESSAGE) + number * len(message), len(message), 4,
         hashlib.sha256(message).hexdigest()]
        for number in range(rows // 4)
    ]  # fmt: skip
    (segment / "passages.arrow").write_bytes(whole)
    (segment / "blocks.json").write_text(json.dumps({"passages": lines}))
    for entry in value["segments"][0]["files"]:
        data = (segment / entry["name"]).read_bytes()
        entry.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    put(folder, value)
    with Collection.open(folder) as collection, pytest.raises(CorruptionError, match="no sense"):
        collection.passages([0])
    assert verify(folder) != []
    with pytest.raises(CollectionError):
        compact(folder)
    (segment / "ids.npy").write_bytes(b"")
    (segment / "vectors.npy").write_bytes((segment / "vectors.npy").read_bytes() + b"!")
    assert repair(folder).lost == 16  # only those of the other segment are left
    assert verify(folder) == []


ODD = (
    0, -1, 1, 10**10, 10**19, -(10**30), 1e308, 0.5, "", "..", "/", "a/b", "\0", "\ud800", "0001",
    "x" * 300, None, True, [], {}, [[]], {"name": {}}, "20:eJxjYGBgAAAABAAB",
)  # fmt: skip


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to each value inside."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found: list[tuple[Any, ...]] = []
    for key, inner in items:
        found.append((*above, key))
        if isinstance(inner, dict | list):
            found += places(inner, (*above, key))
    return found


def test_anything_anywhere_in_a_manifest_is_refused_or_read(folder: Path) -> None:
    rng, whole, refused = random.Random(3), value_of(folder), 0
    count = 5000 if FULL else 150
    before = snapshot(folder)
    tracemalloc.start()
    for _ in range(count):
        value = json.loads(json.dumps(whole))
        for place in rng.sample(places(value), rng.choice([1, 1, 2])):
            inner: Any = value
            with suppress(KeyError, IndexError, TypeError):  # the first change removed it
                for key in place[:-1]:
                    inner = inner[key]
                if rng.random() < 0.15:
                    del inner[place[-1]]
                else:
                    inner[place[-1]] = rng.choice(ODD)
        put(folder, value)
        refused += use(folder) > 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST and refused > count / 2
    assert snapshot(folder).keys() == before.keys()
    report(f"hostile manifests: {count}, {refused} refused, the rest read; at most {peak} bytes")
