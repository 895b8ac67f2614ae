"""From documents to a report in one call: with questions, without, with training, and again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dpr.errors import InputError, SettingsError
from dpr.evaluation.settings import StatisticsSettings
from dpr.pipeline import EvaluationSettings, report
from dpr.pipeline.reporting import has_questions
from dpr.questions import read_question_set
from dpr.records import Document, Question

SETTINGS = EvaluationSettings(
    depth=10, read=2, accuracy=(1, 5), statistics=StatisticsSettings(resamples=200)
)
NAMES = "Anna Bertha Clara Dora Emma Frieda Greta Hanna Ida Johanna Klara Lina".split()


@pytest.fixture(scope="module")
def beir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("beir") / "queens"
    (folder / "qrels").mkdir(parents=True)
    corpus, queries, rows = [], [], ["query-id\tcorpus-id\tscore"]
    for name in NAMES:
        text = (
            f"Long ago the old queen {name} was crowned in the city of {name}burg in spring. " * 3
        )
        corpus.append({"_id": name, "title": f"Tale of {name}", "text": text})
        queries.append(
            {
                "_id": f"q-{name}",
                "text": f"Where was queen {name} crowned?",
                "metadata": {"answers": [f"{name}burg"]},
            }
        )
        rows.append(f"q-{name}\t{name}\t1")
    for file, lines in (("corpus.jsonl", corpus), ("queries.jsonl", queries)):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / file).write_text(text, encoding="utf-8")
    (folder / "qrels" / "test.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def test_documents_that_bring_their_questions(beir: Path, tiny_model: Path, tmp_path: Path) -> None:
    found, files = report(beir, to=tmp_path, model=tiny_model, settings=SETTINGS)
    assert [one.name for one in found.systems] == ["tiny", "dense", "bm25"]
    assert [one.settings["mode"] for one in found.systems] == ["hybrid", "dense", "bm25"]
    assert found.questions["count"] == 12
    assert "made" not in found.questions
    assert found.systems[2].measures["accuracy@1"].value == 1.0
    assert {"report.html", "evaluation.json"} <= {file.name for file in files}
    written = json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    assert written["systems"][0]["measures"]["AP"]["value"] == found.systems[0].measures["AP"].value


def test_a_second_time_nothing_is_encoded_unless_the_documents_changed(
    beir: Path, tiny_model: Path, tmp_path: Path
) -> None:
    documents = [Document(f"d{n}", f"The queen lives in city 1{n} since 19{n}0.") for n in range(5)]
    done: list[int] = []
    options = {"to": tmp_path, "model": tiny_model, "settings": SETTINGS, "progress": done.append}
    report(documents, **options)
    assert done
    done.clear()
    first, _ = report(documents, **options)
    assert not done
    changed, _ = report([*documents, Document("d5", "The king lives in city 15.")], **options)
    assert done
    assert (first.systems[0].cost.passages, changed.systems[0].cost.passages) == (5, 6)


def test_made_questions_are_said_to_be_made(tiny_model: Path, tmp_path: Path) -> None:
    documents = [Document(f"d{n}", f"The queen lived in the city until 19{n}0.") for n in range(5)]
    found, files = report(documents, to=tmp_path, model=tiny_model, pseudo=3, settings=SETTINGS)
    assert found.questions["made"] is True
    assert found.questions["count"] == 3
    assert "made from the documents by a program" in found.notes[0]
    html = next(file for file in files if file.name == "report.html").read_text(encoding="utf-8")
    assert "made from the documents by a program" in html
    with pytest.raises(InputError, match="nothing in these documents can be asked for"):
        nothing = [Document("d", "nothing at all")]
        report(nothing, to=tmp_path / "none", model=tiny_model, settings=SETTINGS)


@pytest.mark.slow
def test_training_before_and_after(beir: Path, tiny_model: Path, tmp_path: Path) -> None:
    found, _ = report(beir, to=tmp_path, model=tiny_model, train=True, settings=SETTINGS)
    assert [one.name for one in found.systems] == ["tiny", "tiny, trained", "bm25"]
    assert found.questions["name"] == "queens (test)"
    assert 0 < found.questions["count"] < 12
    assert (tmp_path / "training" / "best").is_dir()
    again, _ = report(beir, to=tmp_path, model=tiny_model, train=True, settings=SETTINGS)
    assert again.systems[1].measures == found.systems[1].measures
    changed = dpr_questions(beir)[:-1]
    with pytest.raises(SettingsError, match="data"):  # never weights that saw the test
        report(beir, changed, to=tmp_path, model=tiny_model, train=True, settings=SETTINGS)


@pytest.mark.slow
def test_training_on_questions_with_answers_alone(
    beir: Path, tiny_model: Path, tmp_path: Path
) -> None:
    rows = [Question(q.id, q.text, q.answers) for q in dpr_questions(beir)]
    found, _ = report(beir, rows, to=tmp_path, model=tiny_model, train=True, settings=SETTINGS)
    assert [one.name for one in found.systems] == ["tiny", "tiny, trained", "bm25"]
    assert "accuracy@5" in found.systems[0].measures
    assert "AP" not in found.systems[0].measures


def dpr_questions(folder: Path) -> list[Question]:
    return list(read_question_set(folder).questions)


def test_what_can_be_read_only_once_and_questions_that_are_not_there(
    tiny_model: Path, tmp_path: Path
) -> None:
    documents = [Document("d", "The queen lived in the city until 1990.")]
    with pytest.raises(InputError, match="give a list"):
        report(iter(documents), to=tmp_path / "a", model=tiny_model)
    with pytest.raises(InputError, match="no such file"):
        report(documents, "absent.jsonl", to=tmp_path / "b", model=tiny_model)
    assert not (tmp_path / "b").exists()


def test_what_comes_with_questions(beir: Path, tmp_path: Path) -> None:
    (tmp_path / "squad.json").write_text("{}", encoding="utf-8")
    assert has_questions(beir)
    assert has_questions(tmp_path / "squad.json")
    assert not has_questions(tmp_path)
    assert not has_questions(tmp_path / "absent.json")
