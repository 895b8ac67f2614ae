"""MTEB evaluates our model on a task built from local files: the figure is that of our own search.

Offline, with a small random model, which ranks as well as any for this.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from interchange.towers import random_towers

from dpr.encoding import ContextEncoder, QuestionEncoder
from dpr.indexes.flat import FlatIndex
from dpr.interchange.dual import DualEncoder
from dpr.records import Passage
from dpr.shipped import find_models

WORDS = "king queen tale story snow man dog cat old young paris france rhine river castle".split()


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")


@pytest.fixture
def model(tiny_vocabulary: Path, tmp_path: Path) -> Path:
    return random_towers(tiny_vocabulary, tied=False).save_pretrained(tmp_path / "model")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Corpus, questions and judgements, as BEIR lays them out."""
    draw = random.Random(5)
    rows = {
        "corpus": [
            {
                "_id": f"d{n}",
                "title": draw.choice(["", "king", "old castle", "snow"]),
                "text": " ".join(draw.choices(WORDS, k=draw.randint(3, 30))),
            }
            for n in range(60)
        ],
        "queries": [
            {"_id": f"q{n}", "text": f"who is the {' '.join(draw.choices(WORDS, k=3))}?"}
            for n in range(25)
        ],
    }
    for name, values in rows.items():
        text = "".join(json.dumps(value) + "\n" for value in values)
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    judged = [
        f"q{n}\td{document}\t{draw.choice([1, 1, 2])}\n"
        for n in range(25)
        for document in draw.sample(range(60), 4)
    ]
    (tmp_path / "qrels.tsv").write_text("".join(judged), encoding="utf-8")
    return tmp_path


def read_lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_judgements(folder: Path) -> dict[str, dict[str, int]]:
    judgements: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines():
        question, document, grade = line.split("\t")
        judgements.setdefault(question, {})[document] = int(grade)
    return judgements


def local_task(folder: Path) -> Any:
    """A retrieval task of MTEB over the files."""
    from datasets import Dataset
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    class LocalTask(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="LocalTask",
            description="Files of this machine.",
            reference=None,
            type="Retrieval",
            category="t2t",
            modalities=["text"],
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
            dataset={"path": "local", "revision": "1"},
            date=None,
            domains=None,
            task_subtypes=None,
            license=None,
            annotations_creators=None,
            dialect=None,
            sample_creation=None,
            bibtex_citation=None,
        )

        def load_data(self, *_: Any, **__: Any) -> None:
            def table(name: str) -> Dataset:
                rows = read_lines(folder / f"{name}.jsonl")
                return Dataset.from_list([{"id": row.pop("_id"), **row} for row in rows])

            split = {
                "corpus": table("corpus"),
                "queries": table("queries"),
                "relevant_docs": read_judgements(folder),
                "top_ranked": None,
            }
            self.dataset = {"default": {"test": split}}
            self.data_loaded = True

    return LocalTask()


def own_ndcg(model: Path, folder: Path) -> float:
    """nDCG@10 of our own search, by ir_measures."""
    import ir_measures

    corpus = read_lines(folder / "corpus.jsonl")
    asked = read_lines(folder / "queries.jsonl")
    passages = [Passage(row["_id"], row["text"], row["title"]) for row in corpus]
    names = find_models(str(model))
    index = FlatIndex([ContextEncoder.from_pretrained(names.context).encode(passages)])
    vectors = QuestionEncoder.from_pretrained(names.question).encode([row["text"] for row in asked])
    scores, found = index.search(vectors, 20)
    run = {
        row["_id"]: {passages[n].id: float(s) for s, n in zip(*pair, strict=True)}
        for row, pair in zip(asked, zip(scores, found, strict=True), strict=True)
    }
    measure = ir_measures.nDCG @ 10
    return float(ir_measures.calc_aggregate([measure], read_judgements(folder), run)[measure])


@pytest.mark.slow
def test_mteb_finds_what_our_search_finds(model: Path, files: Path, tmp_path: Path) -> None:
    import mteb

    dual = DualEncoder.from_pretrained(model)
    cache = mteb.ResultCache(tmp_path / "cache")
    result = mteb.evaluate(dual, local_task(files), cache=cache, show_progress_bar=False)
    scores = result.task_results[0].scores["test"][0]
    expected = own_ndcg(model, files)
    assert 0.05 < expected < 0.95
    assert scores["ndcg_at_10"] == pytest.approx(expected, abs=1e-5)
    # Results are filed under the fingerprint: those of other weights are never taken for these.
    assert result.model_revision == dual.fingerprint[:40]
    kept = list((tmp_path / "cache").rglob("LocalTask.json"))
    assert [path.parent.name for path in kept] == [dual.fingerprint[:40]]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The fill_missing parameter:DeprecationWarning:mteb")
@pytest.mark.filterwarnings("ignore:The `get_sentence_embedding_dimension`:FutureWarning")
def test_mteb_evaluates_an_export_to_the_same_figure(
    model: Path, files: Path, tmp_path: Path
) -> None:
    """Through sentence-transformers, to which MTEB gives title and text as one string."""
    import mteb
    from sentence_transformers import SentenceTransformer

    rows = read_lines(files / "corpus.jsonl")
    text = "".join(json.dumps({**row, "title": ""}) + "\n" for row in rows)
    (files / "corpus.jsonl").write_text(text, encoding="utf-8")
    dual = DualEncoder.from_pretrained(model)
    folder = dual.save_sentence_transformers(tmp_path / "export")
    export = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    ours, theirs = (
        mteb.evaluate(one, local_task(files), cache=None, show_progress_bar=False)
        for one in (dual, export)
    )
    figures = [one.task_results[0].scores["test"][0]["ndcg_at_10"] for one in (ours, theirs)]
    assert figures[0] == pytest.approx(figures[1], abs=1e-5)
