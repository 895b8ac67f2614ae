"""Vectors from elsewhere: what is exported comes back as the same collection, and the model is held
to what it says."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpr.collection import BuildSettings, Collection
from dpr.corpus import SourceSettings
from dpr.errors import InputError, MismatchError, SettingsError
from dpr.interchange.pickles import convert_vectors
from dpr.interchange.vectors_in import VectorSettings
from dpr.interchange.vectors_out import export_vectors
from dpr.pipeline import add, index
from dpr.pipeline import open as open_pipeline
from dpr.pipeline.exchanging import import_vectors
from dpr.shipped import ModelNames, find_models

QUESTIONS = ["who wrote the story?", "what river?", "where is the castle?"]
WORDS = "river city king queen tale snow man dog castle forest paris france rhine danube".split()


def psgs(path: Path, count: int = 60) -> Path:
    """A table in the original's format."""
    random = np.random.default_rng(0)
    lines = [
        f'{n}\t"{" ".join(random.choice(WORDS, 12))}"\t{random.choice(WORDS)} {n}\n'
        for n in range(1, count + 1)
    ]
    path.write_text("id\ttext\ttitle\n" + "".join(lines))
    return path


@pytest.fixture(scope="module")
def indexed(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A table and the collection made of it."""
    folder = tmp_path_factory.mktemp("indexed")
    source = psgs(folder / "psgs_w100.tsv")
    build = BuildSettings("float32", 25)
    index(source, folder / "c", model=tiny_model, split="none", build=build)
    return source, folder / "c"


def found(folder: Path, model: Path) -> list[list[tuple[str, float]]]:
    with open_pipeline(folder, model=model, read=False) as pipeline:
        many = pipeline.search_many(QUESTIONS, 10)
    return [[(hit.passage.id, hit.score) for hit in hits] for hits in many]


@pytest.mark.parametrize("suffix", ["npy", "parquet"])
def test_there_and_back(
    suffix: str, indexed: tuple[Path, Path], tiny_model: Path, tmp_path: Path
) -> None:
    source, folder = indexed
    done = export_vectors(folder, tmp_path / f"v.{suffix}")
    build = BuildSettings("float32", 25)
    made = import_vectors(
        source, done.files[0], tmp_path / "c", model=tiny_model, ids=done.files[1:], build=build
    )
    assert (made.left_over, made.manifest.rows, made.problems.count) == (0, 60, 0)
    assert made.compared > 0
    with Collection.open(folder) as one, Collection.open(tmp_path / "c") as other:
        assert list(one) == list(other)
        assert all(map(np.array_equal, one.vectors, other.vectors))
        assert [d.digest for d in one.documents()] == [d.digest for d in other.documents()]
        first, second = one.manifest, other.manifest
    assert second.question_fingerprint == first.question_fingerprint
    assert second.encoder_fingerprint == first.encoder_fingerprint
    assert found(tmp_path / "c", tiny_model) == found(folder, tiny_model)


def test_one_parquet_file_as_source_and_vectors(
    indexed: tuple[Path, Path], tiny_model: Path, tmp_path: Path
) -> None:
    _, folder = indexed
    path = tmp_path / "v.parquet"
    export_vectors(folder, path, texts=True)
    build = BuildSettings("float32")
    import_vectors(path, path, tmp_path / "c", model=tiny_model, build=build)
    assert found(tmp_path / "c", tiny_model) == found(folder, tiny_model)


def test_documents_are_added_to_what_was_imported(
    indexed: tuple[Path, Path], tiny_model: Path, tmp_path: Path
) -> None:
    source, folder = indexed
    done = export_vectors(folder, tmp_path / "v.npy")
    import_vectors(source, done.files[0], tmp_path / "c", model=tiny_model, ids=done.files[1])
    rows: Any = [{"id": "new", "text": "the old king of the river", "title": "king"}]
    assert add(rows, tmp_path / "c", model=tiny_model).added == 1
    with open_pipeline(tmp_path / "c", model=tiny_model, read=False) as pipeline:
        assert len(pipeline.search("king", 100)) == 61


def test_the_original_pickles(indexed: tuple[Path, Path], tiny_model: Path, tmp_path: Path) -> None:
    source, folder = indexed
    with Collection.open(folder) as collection:
        names = [f"wiki:{one.id}" for one in collection]
        vectors = np.concatenate(collection.vectors)
    for shard in range(12):
        rows = [(names[n], vectors[n]) for n in range(5 * shard, 5 * shard + 5)]
        path = tmp_path / f"wikipedia_passages_{shard}.pkl"
        path.write_bytes(pickle.dumps(rows, 4))
    convert_vectors(sorted(tmp_path.glob("*.pkl")), tmp_path / "v")
    given: dict[str, Any] = {
        "model": tiny_model,
        "ids": str(tmp_path / "v" / "*.txt"),
        "build": BuildSettings("float32"),
    }
    vectors_given = str(tmp_path / "v" / "*.npy")
    with pytest.raises(InputError, match="take off the prefix 'wiki:'"):
        import_vectors(source, vectors_given, tmp_path / "c", **given)
    assert not (tmp_path / "c").exists()
    files = VectorSettings(id_prefix="wiki:")
    import_vectors(source, vectors_given, tmp_path / "c", files=files, **given)
    assert found(tmp_path / "c", tiny_model) == found(folder, tiny_model)


def test_vectors_of_another_encoder_are_refused(
    indexed: tuple[Path, Path], tiny_model: Path, tmp_path: Path
) -> None:
    """Also vectors of the very encoder under ids that were shifted by one."""
    source, folder = indexed
    done = export_vectors(folder, tmp_path / "v.npy")
    np.save(tmp_path / "shifted.npy", np.roll(np.load(done.files[0]), 1, axis=0))
    with pytest.raises(MismatchError, match="as far from what the context encoder gives"):
        import_vectors(source, tmp_path / "shifted.npy", tmp_path / "c", model=tiny_model)
    np.save(tmp_path / "short.npy", np.load(done.files[0])[:, :16])
    with pytest.raises(MismatchError, match="16 numbers, the question encoder gives 32"):
        import_vectors(source, tmp_path / "short.npy", tmp_path / "d", model=tiny_model)


def test_a_question_encoder_alone(
    indexed: tuple[Path, Path], tiny_model: Path, tmp_path: Path
) -> None:
    source, folder = indexed
    done = export_vectors(folder, tmp_path / "v.npy")
    question = ModelNames(find_models(str(tiny_model)).question, "")
    build = BuildSettings("float32")
    made = import_vectors(source, done.files[0], tmp_path / "c", model=question, build=build)
    assert made.compared == 0
    assert made.manifest.encoder_settings["question_encoder"] == made.manifest.question_fingerprint
    assert found(tmp_path / "c", tiny_model) == found(folder, tiny_model)
    with open_pipeline(tmp_path / "c", read=False) as pipeline:  # the model is in the manifest
        assert len(pipeline.search("river")) == 10
    with pytest.raises(MismatchError, match="imported"):
        add([{"id": "x", "text": "y"}], tmp_path / "c", model=tiny_model)


def test_int8_is_made_of_what_is_imported(
    indexed: tuple[Path, Path], tiny_model: Path, tmp_path: Path
) -> None:
    source, folder = indexed
    done = export_vectors(folder, tmp_path / "v.npy")
    given: dict[str, Any] = {"model": tiny_model, "build": BuildSettings("int8")}
    import_vectors(source, done.files[0], tmp_path / "c", **given)
    index(source, tmp_path / "d", split="none", **given)
    with Collection.open(tmp_path / "c") as one, Collection.open(tmp_path / "d") as other:
        assert all(map(np.array_equal, one.vectors, other.vectors))
    # Decoded, exported, imported: the same numbers again. (Random weights give passages that are
    # more alike than int8 is exact, so that nothing can be compared.)
    given["model"] = ModelNames(find_models(str(tiny_model)).question, "")
    again = export_vectors(tmp_path / "c", tmp_path / "again.npy", dtype="stored")
    import_vectors(source, again.files[0], tmp_path / "e", ids=again.files[1], **given)
    with Collection.open(tmp_path / "c") as one, Collection.open(tmp_path / "e") as other:
        assert all(map(np.array_equal, one.vectors, other.vectors))


def test_settings_are_checked_before_anything_is_written(
    indexed: tuple[Path, Path], tiny_model: Path, tmp_path: Path
) -> None:
    source, folder = indexed
    done = export_vectors(folder, tmp_path / "v.npy")
    with pytest.raises(SettingsError):
        import_vectors(
            source,
            done.files[0],
            tmp_path / "c",
            model=tiny_model,
            reading=SourceSettings(format="nonsense"),
        )
    with pytest.raises(SettingsError, match="needs ids"):
        import_vectors(source, done.files[0], tmp_path / "c", model=tiny_model, extra="skip")
    assert not (tmp_path / "c").exists()
