"""Reading: rows, ids, damage, encoders, threads."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from builds import FILES, HashEncoder, build, passages, snapshot

from dpr.collection import Collection, describe, read_manifest, verify
from dpr.collection.manifest import SEGMENT_FILES
from dpr.errors import CollectionError, CorruptionError, InputError, MismatchError, SettingsError

SEGMENT = Path("segments", "0001")
NAMES = ["manifest.json", *(str(SEGMENT / name) for name in SEGMENT_FILES)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store") / "c"
    build(folder, 1000)
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def test_rows_in_any_order(whole: Path) -> None:
    wanted = list(passages(1000))
    rows = np.random.default_rng(0).integers(0, 1000, 3000)
    with Collection.open(whole) as collection:
        assert len(collection) == 1000
        assert collection.passages(rows) == [wanted[row] for row in rows]
        assert collection.ids(rows) == [wanted[row].id for row in rows]
        assert collection.ids(range(1000)) == [passage.id for passage in wanted]
        assert collection.passage(999) == wanted[999]
        assert collection.passages([]) == collection.ids([]) == []


@pytest.mark.parametrize("row", [-1, 1000, 10**12])
def test_a_row_that_is_not_there(whole: Path, row: int) -> None:
    with Collection.open(whole) as collection, pytest.raises(InputError, match="0 to 999"):
        collection.passage(row)


def test_rows_by_id(whole: Path) -> None:
    with Collection.open(whole) as collection:
        assert [collection.row_of(f"p{row}") for row in (0, 517, 999)] == [0, 517, 999]
        with pytest.raises(InputError, match="'p1000'"):
            collection.row_of("p1000")


def test_vectors_are_read_only_maps(whole: Path) -> None:
    with Collection.open(whole) as collection:
        (vectors,) = collection.vectors
    assert isinstance(vectors, np.memmap) and not vectors.flags.writeable
    assert vectors.shape == (1000, 8)


def test_a_closed_collection_says_so(whole: Path) -> None:
    collection = Collection.open(whole)
    collection.close()
    for use in (lambda: collection.passage(0), lambda: collection.vectors):
        with pytest.raises(CollectionError, match="closed"):
            use()


def test_threads_read_the_same(whole: Path) -> None:
    wanted = list(passages(1000))
    with Collection.open(whole) as collection, ThreadPoolExecutor(8) as threads:

        def read(seed: int) -> bool:
            rows = np.random.default_rng(seed).integers(0, 1000, 50).tolist()
            found = collection.passages(rows)
            return (
                found == [wanted[row] for row in rows]
                and [collection.row_of(passage.id) for passage in found] == rows
            )

        assert all(threads.map(read, range(40)))


def test_reading_changes_nothing_and_describe_reads_the_manifest(whole: Path) -> None:
    before = snapshot(whole)
    assert verify(whole) == []
    about = describe(whole)
    assert about["rows"] == 1000 and about["dtype"] == "float16" and about["dim"] == 8
    assert about["encoder"]["settings"] == {"model": "hash", "length": [1, 2]}
    assert about["bytes"] == sum(len(before[name]) for name in NAMES[1:])
    assert snapshot(whole) == before


def test_the_wrong_encoder_is_refused_also_with_the_same_dimension(whole: Path) -> None:
    with Collection.open(whole) as collection:
        collection.check_encoder("question-one")
        for other in ("question-two", HashEncoder().fingerprint, ""):
            with pytest.raises(MismatchError, match=rf"question-one.* has {other}"):
                collection.check_encoder(other)
            with pytest.raises(MismatchError, match=rf"question-one.* has {other}"):
                collection.check_encoder(other, "another context encoder")


def test_a_question_encoder_trained_beside_the_same_context_encoder_belongs(whole: Path) -> None:
    with Collection.open(whole) as collection:
        collection.check_encoder("question-two", HashEncoder().fingerprint)


@pytest.mark.parametrize("name", NAMES)
def test_verify_and_a_full_opening_find_any_flipped_byte(copy: Path, name: str) -> None:
    path = copy / name
    data = path.read_bytes()
    for at in {0, 9, len(data) // 3, len(data) // 2, len(data) - 2, len(data) - 1}:
        altered = bytearray(data)
        altered[at] ^= 0x10
        path.write_bytes(altered)
        if name == "manifest.json" and at == len(data) - 1:
            continue  # the newline after the content
        findings = verify(copy)
        assert findings and name.endswith(findings[0].file.split("/")[-1]), at
        with pytest.raises(CorruptionError):
            Collection.open(copy, check="full")
    path.write_bytes(data)
    assert verify(copy) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", ["shorter", "longer", "empty", "missing"])
def test_a_file_of_another_size_is_not_opened(copy: Path, name: str, damage: str) -> None:
    path = copy / name
    data = path.read_bytes()
    changed = {"shorter": data[:-7], "longer": data + b"x", "empty": b""}
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(changed[damage])
    with pytest.raises(CollectionError, match=r"again|index"):
        Collection.open(copy)
    if name != "manifest.json":
        assert verify(copy)[0].file == name


def test_no_altered_block_is_ever_parsed(copy: Path) -> None:
    wanted = list(passages(1000))
    path = copy / SEGMENT / "passages.arrow"
    data = path.read_bytes()
    rng = np.random.default_rng(3)
    refused = 0
    for _ in range(60):
        altered = bytearray(data)
        at = int(rng.integers(0, len(data)))
        altered[at : at + 64] = rng.bytes(len(altered[at : at + 64]))
        path.write_bytes(altered)
        try:
            with Collection.open(copy) as collection:
                for row in range(0, 1000, 10):
                    assert collection.passage(row) == wanted[row]
        except CorruptionError:
            refused += 1
    assert refused == 60


def test_files_of_two_versions_are_not_mixed(copy: Path, tmp_path: Path) -> None:
    build(tmp_path / "other", 1000, changed=5)
    shutil.copy(tmp_path / "other" / SEGMENT / "blocks.json", copy / SEGMENT / "blocks.json")
    with pytest.raises(CorruptionError, match=r"blocks\.json"):
        Collection.open(copy)


@pytest.mark.parametrize("header", [b"(1000, 9)", b"(1001, 8)", b"(999, 8) "])
def test_a_header_of_another_shape_is_refused(copy: Path, header: bytes) -> None:
    path = copy / SEGMENT / "vectors.npy"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"(1000, 8)", header, 1))
    with pytest.raises(CorruptionError, match="1000 x 8"):
        Collection.open(copy)


def test_what_is_no_collection(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("none", "no such folder"),
        ("file", "not a folder"),
        ("empty", "no man"),
    ):
        for read in (Collection.open, verify, describe, read_manifest):
            with pytest.raises(CollectionError, match=message):
                read(tmp_path / name)


def test_leftovers_of_a_kill_are_ignored(copy: Path) -> None:
    (copy / "segments" / "0002").mkdir()
    (copy / "manifest.json.tmp").write_text("half")
    (copy / "building").mkdir()
    assert verify(copy) == [] and len(Collection.open(copy)) == 1000
    build(copy, 500, overwrite=True)
    assert len(snapshot(copy)) == FILES


def test_unknown_check_is_refused(whole: Path) -> None:
    with pytest.raises(SettingsError, match="quick"):
        Collection.open(whole, check="some")  # type: ignore[arg-type]
