"""Files of pairs: whole or not there, the same every time, and read by what trains on them."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

import dpr.pipeline.pairing as pairing
from dpr.corpus import DuplicateSettings, SourceSettings
from dpr.errors import InputError
from dpr.pipeline.pairing import Documents, write_pairs
from dpr.samples.files import read_samples
from dpr.samples.pairs import PairSettings
from dpr.settings import load_settings

TEXTS = {
    "france": "Paris is the capital of France. The old city lies on a wide river, the Seine.",
    "bread": "Bread is made of flour and water. The queen wrote a song of bread and stone.",
    "short": "Too short.",
    "again": "Bread is made of flour and water. The queen wrote a song of bread and stone.",
}


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    return table(tmp_path / "docs.jsonl", TEXTS)


def table(path: Path, texts: dict[str, str]) -> Path:
    lines = [{"id": key, "title": key.title(), "text": text} for key, text in texts.items()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_pairs_are_read_back_and_their_settings_stand_beside(
    documents: Path, tmp_path: Path
) -> None:
    to, settings = tmp_path / "out" / "pairs.jsonl", PairSettings("cloze,keywords", 2, seed=5)
    told: list[int] = []
    made = write_pairs(Documents([documents]), to, settings, told.append)
    samples = list(read_samples(to))
    assert len(samples) == made.counts.pairs == 6
    assert (made.counts.passages, made.counts.without) == (4, 1)
    assert {one.dataset for one in samples} == set(made.counts.kinds) == {"cloze", "keywords"}
    assert told == [0, 1, 2, 3]
    assert made.settings == tmp_path / "out" / "pairs.jsonl.settings.json"
    assert load_settings(PairSettings, made.settings) == settings
    assert names(to.parent) == [to.name, made.settings.name]


def test_the_same_again_gives_the_same_bytes_also_gzipped(documents: Path, tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl", "c.jsonl.gz"):
        write_pairs(Documents([documents]), tmp_path / name)
    first = (tmp_path / "a.jsonl").read_bytes()
    assert first == (tmp_path / "b.jsonl").read_bytes()
    assert first == gzip.decompress((tmp_path / "c.jsonl.gz").read_bytes())


def test_keywords_weigh_words_over_all_sources(documents: Path, tmp_path: Path) -> None:
    """A word of one document only is drawn more often once others hold the rest of its words."""
    texts = {str(n): "The capital of France is an old city on a wide river." for n in range(60)}
    more = table(tmp_path / "more.jsonl", texts)
    drawn: list[set[str]] = []
    for sources in ([documents], [documents, more]):
        found = set()
        for seed in range(40):
            one = PairSettings("keywords", 1, fewest_words=1, keywords=1, seed=seed)
            write_pairs(Documents(sources), tmp_path / "p.jsonl", one, overwrite=True)
            found.add(next(iter(read_samples(tmp_path / "p.jsonl"))).question)
        drawn.append(found)
    assert drawn[0] & {"capital", "france", "old", "city", "wide", "river"}
    assert drawn[1] <= {"paris", "seine", "lies"}


def test_duplicates_are_left_out(documents: Path, tmp_path: Path) -> None:
    only = Documents([documents], duplicates=DuplicateSettings())
    made = write_pairs(only, tmp_path / "pairs.jsonl")
    assert (made.counts.passages, made.duplicates.exact) == (3, 1)


def test_malformed_rows_stop_or_are_skipped(documents: Path, tmp_path: Path) -> None:
    with documents.open("a", encoding="utf-8") as file:
        file.write('{"id": "no text"}\n')
    to = tmp_path / "pairs.jsonl"
    with pytest.raises(InputError, match=r"docs\.jsonl:5"):
        write_pairs(Documents([documents]), to)
    assert not to.exists()
    assert names(tmp_path) == ["docs.jsonl"]
    made = write_pairs(Documents([documents], reading=SourceSettings(on_error="skip")), to)
    assert (made.problems.count, made.counts.passages) == (1, 4)


def test_what_fails_leaves_the_old_pairs_and_their_settings(
    documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "pairs.jsonl"
    beside = write_pairs(Documents([documents]), to, PairSettings("cloze")).settings
    before = to.read_bytes(), beside.read_bytes()
    with pytest.raises(InputError, match="none of 4 passages gave a pair"):
        write_pairs(Documents([documents]), to, PairSettings("section"), overwrite=True)

    def broken(sample: object) -> object:
        raise RuntimeError("killed")

    monkeypatch.setattr(pairing, "sample_to_json", broken)
    with pytest.raises(RuntimeError):
        write_pairs(Documents([documents]), to, PairSettings("title"), overwrite=True)
    assert (to.read_bytes(), beside.read_bytes()) == before
    assert names(tmp_path) == ["docs.jsonl", to.name, beside.name]


def test_sources_are_not_written_over(documents: Path, tmp_path: Path) -> None:
    before = documents.read_bytes()
    (tmp_path / "link.jsonl").symlink_to(documents)
    for to in (documents, tmp_path / "link.jsonl"):
        with pytest.raises(InputError, match="is or lies in what is read"):
            write_pairs(Documents([documents]), to)
    with pytest.raises(InputError, match="is or lies in what is read"):
        write_pairs(Documents([tmp_path]), documents)
    assert documents.read_bytes() == before


def test_an_id_of_two_sources_is_refused(documents: Path, tmp_path: Path) -> None:
    other = table(tmp_path / "other.jsonl", {"x": TEXTS["france"], "bread": TEXTS["bread"]})
    with pytest.raises(InputError, match=r"other\.jsonl: the passage id 'bread'"):
        write_pairs(Documents([documents, other]), tmp_path / "p.jsonl", PairSettings("cloze"))
    made = write_pairs(Documents([documents]), tmp_path / "p.jsonl", PairSettings("cloze"))
    assert made.counts.passages == 4


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="is a pipe"):
        write_pairs(Documents([pipe]), tmp_path / "p.jsonl", PairSettings("keywords"))
