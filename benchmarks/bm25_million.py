"""BM25 over a million passages: ours, bm25s (NumPy and Numba) and tantivy, in one run.

    python benchmarks/bm25_million.py --data DIR --rows 1000000 [--json FILE]

Passages are made of those sentences of the real passages (see ``pool.py``) that are ASCII, which
all systems split alike: three to six, drawn at random, under the title of one passage. Because a
million real passages have far more words than seven thousand, about one word in forty is a made
one: the r-th of a list without end, with a chance of about 1/r**1.1. A million passages, of 105
words, then have 0.9 million different stems. Questions are real: Natural Questions, in QED.

Every system analyses texts alike (words of two letters or more, English stop words and stems), runs
in a process of its own with one thread, and finds the first 20. What it finds is compared with
Lucene's formula, computed in float64 from a count by hand: an error is a place whose row scores
less, by more than 1e-5 of it, than the row that belongs there. Ours stands there twice: as Lucene's
formula, and as collections are searched, with pairs of words, which is to find others. tantivy's k1
and b cannot be chosen: it is compared at its own (1.2 and 0.75), and it rounds the lengths of
passages to a byte. Times are the processor's, which do not count what else the machine does. Peers
that are not installed are left out; --peers names a Python that has them.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from folder_bench import FolderBench
from pool import load_pool, load_tests

Found = list[tuple[list[int], list[float]]]

K1, B = 0.9, 0.4
TANTIVYS = 1.2, 0.75
DEPTH = 20
AT_ONCE = 10_000  # passages made at a time
PASSAGES, QUESTIONS = "passages.tsv", "questions.json"
PAIRED = "ours, with pairs"
LETTERS = "etaoinshrdlucmfw"


def sentences(pool: Sequence[tuple[str, str]]) -> list[str]:
    return [
        part.strip() + "."
        for _, text in pool
        for part in text.replace("\n", " ").split(". ")
        if 4 <= len(part.split()) <= 60 and part.isascii()
    ]


def rare_word(number: int) -> str:
    """A spelling of its own for each number."""
    spelled = ""
    while number:
        number, digit = divmod(number, 16)
        spelled += LETTERS[digit]
    return "x" + spelled


def passages(data: Path, rows: int) -> Iterator[tuple[str, str]]:
    """Pairs (title, text), the same for the same number of rows."""
    pool = load_pool(data)
    titles, pieces = [title for title, _ in pool if title.isascii()], sentences(pool)
    rng = np.random.default_rng(7)
    for first in range(0, rows, AT_ONCE):
        count = min(AT_ONCE, rows - first)
        many = rng.integers(3, 7, count)
        drawn = iter(rng.integers(0, len(pieces), int(many.sum())).tolist())
        of = rng.integers(0, len(titles), count)
        for title, own in zip(of.tolist(), many.tolist(), strict=True):
            text = " ".join(pieces[next(drawn)] for _ in range(own))
            # The inverse of the distribution's tail, cut where numbers end.
            ranks = np.minimum(rng.random(len(text) // 240 + 1) ** -10.0, 1e15)
            yield titles[title], " ".join([text, *map(rare_word, ranks.astype(np.int64).tolist())])


def prepare(data: Path, folder: Path, rows: int, count: int) -> None:
    with (folder / PASSAGES).open("w", encoding="utf-8") as file:
        for title, text in passages(data, rows):
            file.write(f"{title}\t{text}\n")
    asked = [one.text for one in load_tests(data, load_pool(data))["qed"]][:count]
    (folder / QUESTIONS).write_text(json.dumps(asked), encoding="utf-8")


def texts(folder: Path) -> Iterator[tuple[str, str]]:
    with (folder / PASSAGES).open(encoding="utf-8") as file:
        for line in file:
            title, _, text = line.rstrip("\n").partition("\t")
            yield title, text


def build_ours(folder: Path, name: str = "ours", pairs: bool = False) -> None:
    from dpr.indexes.words import WordsSettings, build_words

    bench = FolderBench(folder / name)
    names = build_words(texts(folder), WordsSettings(title=1, pairs=pairs), bench)
    for path in bench.folder.iterdir():
        if path.name not in names:
            path.unlink()


def open_ours(
    folder: Path, name: str = "ours", pairs: bool = False
) -> Callable[[Sequence[str]], Found]:
    from dpr.indexes.bm25 import BM25, LUCENE, BM25Settings
    from dpr.indexes.words import WordCounts, WordsSettings

    files = {path.name: path for path in (folder / name).iterdir()}
    settings = BM25Settings(K1, B) if pairs else replace(LUCENE, k1=K1, b=B)
    index = BM25([WordCounts.load(files)], [None], settings, WordsSettings(title=1, pairs=pairs))

    def search(asked: Sequence[str]) -> Found:
        return [(rows.tolist(), scores.tolist()) for scores, rows in index.search(asked, DEPTH)]

    return search


def bm25s_options() -> dict[str, Any]:
    import Stemmer

    return {"stopwords": "en", "stemmer": Stemmer.Stemmer("english"), "show_progress": False}


def build_bm25s(folder: Path) -> None:
    import bm25s

    index = bm25s.BM25(k1=K1, b=B)
    tokens = bm25s.tokenize([" ".join(pair) for pair in texts(folder)], **bm25s_options())
    index.index(tokens, show_progress=False)
    index.save(folder / "bm25s")


def open_bm25s(folder: Path, backend: str = "numpy") -> Callable[[Sequence[str]], Found]:
    import bm25s

    choice = {"backend": backend}
    index = bm25s.BM25.load(folder / "bm25s", mmap=True, override_params=choice)
    options = bm25s_options()

    def search(asked: Sequence[str]) -> Found:
        tokens = bm25s.tokenize(list(asked), **options)
        rows, scores = index.retrieve(tokens, k=DEPTH, show_progress=False)
        return list(zip(rows.tolist(), scores.tolist(), strict=True))

    return search


def open_numba(folder: Path) -> Callable[[Sequence[str]], Found]:
    return open_bm25s(folder, "numba")


def tantivy_index(folder: Path) -> tuple[Any, Any]:
    import tantivy
    from bm25s.stopwords import STOPWORDS_EN

    builder = tantivy.SchemaBuilder()
    builder.add_text_field("body", tokenizer_name="words", index_option="freq")
    builder.add_unsigned_field("row", stored=True)
    (folder / "tantivy").mkdir(exist_ok=True)
    index = tantivy.Index(builder.build(), str(folder / "tantivy"))
    analyzer = (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.regex(r"\w\w+"))
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.custom_stopword(list(STOPWORDS_EN)))
        .filter(tantivy.Filter.stemmer("english"))
        .build()
    )
    index.register_tokenizer("words", analyzer)
    return index, analyzer


def build_tantivy(folder: Path) -> None:
    import tantivy

    index, _ = tantivy_index(folder)
    writer = index.writer(heap_size=500_000_000, num_threads=1)
    for row, pair in enumerate(texts(folder)):
        writer.add_document(tantivy.Document(body=" ".join(pair), row=row))
    writer.commit()
    writer.wait_merging_threads()


def open_tantivy(folder: Path) -> Callable[[Sequence[str]], Found]:
    import tantivy

    index, analyzer = tantivy_index(folder)
    searcher = index.searcher()

    def one(question: str) -> tuple[list[int], list[float]]:
        words = [
            (tantivy.Occur.Should, tantivy.Query.term_query(index.schema, "body", word, "freq"))
            for word in analyzer.analyze(question)
        ]
        hits = searcher.search(tantivy.Query.boolean_query(words), DEPTH, count=False).hits
        rows = [searcher.doc(address)["row"][0] for _, address in hits]
        return rows, [score for score, _ in hits]

    return lambda asked: [one(question) for question in asked]


SYSTEMS: dict[str, tuple[str, Callable[[Path], None] | None, Any]] = {
    "ours": ("dpr", build_ours, open_ours),
    PAIRED: (
        "dpr",
        lambda folder: build_ours(folder, PAIRED, True),
        lambda folder: open_ours(folder, PAIRED, True),
    ),
    "bm25s": ("bm25s", build_bm25s, open_bm25s),
    "bm25s, numba": ("numba", None, open_numba),
    "tantivy": ("tantivy", build_tantivy, open_tantivy),
}


def build_step(folder: Path, name: str) -> dict[str, Any]:
    _, build, _ = SYSTEMS[name]
    if build is None:
        return {}
    begin, clock = time.process_time(), time.perf_counter()
    build(folder)
    size = sum(path.stat().st_size for path in (folder / name).rglob("*") if path.is_file())
    return {
        "build_s": time.process_time() - begin,
        "build_clock_s": time.perf_counter() - clock,
        "build_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        "size_mb": size / 1e6,
    }


def search_step(folder: Path, name: str) -> dict[str, Any]:
    asked = json.loads((folder / QUESTIONS).read_text(encoding="utf-8"))
    begin, clock = time.process_time(), time.perf_counter()
    search = SYSTEMS[name][2](folder)
    result: dict[str, Any] = {
        "open_s": time.process_time() - begin,
        "open_clock_s": time.perf_counter() - clock,
    }
    begin = time.process_time()
    search(asked[:1])
    result["first_question_s"] = time.process_time() - begin
    search(asked)
    best = [math.inf] * len(asked)
    for _ in range(3):
        for number, question in enumerate(asked):
            begin = time.process_time()
            search([question])
            best[number] = min(best[number], time.process_time() - begin)
    together = []
    for _ in range(3):
        begin = time.process_time()
        found = search(asked)
        together.append(time.process_time() - begin)
    result |= {
        "mean_ms": 1e3 * statistics.mean(best),
        "p50_ms": 1e3 * statistics.median(best),
        "p95_ms": 1e3 * float(np.quantile(best, 0.95)),
        "questions_per_s": len(asked) / sum(best),
        "questions_per_s_together": len(asked) / min(together),
        "search_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }
    (folder / f"found {name}.json").write_text(json.dumps(found))
    return result


def by_hand(folder: Path) -> dict[str, float]:
    """The share of errors among the first 20 of each system."""
    import Stemmer
    from bm25s.stopwords import STOPWORDS_EN

    stem, split = Stemmer.Stemmer("english").stemWord, re.compile(r"\b\w\w+\b").findall
    stop = set(STOPWORDS_EN)
    stems: dict[str, str] = {}

    def words(text: str) -> list[str]:
        own = [word for word in split(text.lower()) if word not in stop]
        return [stems.get(word) or stems.setdefault(word, stem(word)) for word in own]

    asked = [words(text) for text in json.loads((folder / QUESTIONS).read_text("utf-8"))]
    rows: dict[str, list[int]] = {word: [] for own in asked for word in own}
    counts: dict[str, list[int]] = {word: [] for word in rows}
    wanted, lengths = set(rows), []
    for row, pair in enumerate(texts(folder)):
        own = words(" ".join(pair))
        lengths.append(len(own))
        for word, count in Counter(word for word in own if word in wanted).items():
            rows[word].append(row)
            counts[word].append(count)
        if len(stems) > 1 << 20:
            stems.clear()
    length, errors = np.array(lengths, np.float64), {}
    for name in SYSTEMS:
        path = folder / f"found {name}.json"
        if not path.exists() or name == PAIRED:  # which is to find other rows
            continue
        k1, b = TANTIVYS if name == "tantivy" else (K1, B)
        norm = k1 * (1 - b + b * length / length.mean())
        wrong = places = 0
        for own, (found, _) in zip(asked, json.loads(path.read_text()), strict=True):
            scores = np.zeros(len(length))
            for word, often in Counter(own).items():
                at, tf = np.array(rows[word], np.int64), np.array(counts[word], np.float64)
                idf = math.log(1 + (len(length) - len(at) + 0.5) / (len(at) + 0.5))
                scores[at] += often * idf * tf / (tf + norm[at])
            best = np.sort(np.partition(scores, -DEPTH)[-DEPTH:])[::-1]
            wrong += int((scores[found] < best[: len(found)] * (1 - 1e-5)).sum())
            places += len(found)
        errors[name] = wrong / places
    return errors


def has(python: str, module: str) -> bool:
    code = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
    return subprocess.run([python, "-c", code]).returncode == 0


def run_step(python: str, folder: Path, step: str, name: str) -> dict[str, Any]:
    """Runs a step in a process of its own, with one thread."""
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    done = subprocess.run(
        [python, __file__, "--step", step, "--system", name, "--folder", str(folder)],
        env=os.environ | dict.fromkeys(threads, "1"),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    print(f"{step} {name} done", file=sys.stderr, flush=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--peers", default=sys.executable, help="a Python with the peers")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--step", choices=("build", "search"), help=argparse.SUPPRESS)
    parser.add_argument("--system", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        step = build_step if given.step == "build" else search_step
        print(json.dumps(step(given.folder, given.system)))
        return
    figures: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prepare(given.data, folder, given.rows, given.questions)
        for name, (module, _, _) in SYSTEMS.items():
            python = sys.executable if name.startswith("ours") else given.peers
            if has(python, module):
                steps = [run_step(python, folder, step, name) for step in ("build", "search")]
                figures[name] = steps[0] | steps[1]
            else:
                print(f"{name} is left out: {module} is not installed", file=sys.stderr)
        for name, share in by_hand(folder).items():
            figures[name]["errors_percent"] = 100 * share
    for key in figures["ours"]:
        print(f"{key:26}" + "".join(f"{one.get(key, math.nan):14.2f}" for one in figures.values()))
    print(f"{'':26}" + "".join(f"{name:>14}" for name in figures))
    if given.json:
        about = {"rows": given.rows, "questions": given.questions, "load": os.getloadavg()}
        about["processor"] = platform.processor() or platform.machine()
        given.json.write_text(json.dumps(about | figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
