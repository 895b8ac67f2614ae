"""The public names: exactly these, each importable, and none of them paid for before it is used."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import dpr

NAMES = [
    # what is built, opened and asked
    "BuildSettings",
    "Collection",
    "ModelNames",
    "Pipeline",
    "index",
    "open",
    # how it is changed
    "Changed",
    "add",
    "compact",
    "remove",
    "sync",
    "verify",
    # how it is searched
    "BM25Settings",
    "Filters",
    "FusionSettings",
    "SearchSettings",
    "WordsSettings",
    # a service, asked
    "AsyncClient",
    "Client",
    "RetrySettings",
    # how good it is
    "EvaluationSettings",
    "evaluate",
    "report",
    # questions, judgements and runs
    "read_judgements",
    "read_question_set",
    "read_results",
    "read_run",
    "write_judgements",
    "write_question_set",
    "write_results",
    "write_run",
    # beside other libraries
    "DualEncoder",
    "export_sentence_transformers",
    # records
    "Answer",
    "Asked",
    "Document",
    "Hit",
    "Passage",
    "Question",
    "QuestionSet",
    "Section",
    # errors
    "CheckpointError",
    "CollectionError",
    "CorruptionError",
    "DPRError",
    "IdError",
    "InputError",
    "MismatchError",
    "MissingExtraError",
    "ServiceError",
    "SettingsError",
    # documents to passages
    "DuplicateSettings",
    "SourceSettings",
    "SplitSettings",
    "read_documents",
    "read_passages",
    "split_document",
    # encoding and reading
    "ContextEncoder",
    "EncodingSettings",
    "QuestionEncoder",
    "Reader",
    "ReadingSettings",
    # models
    "DPRConfig",
    "DPRContextEncoder",
    "DPRContextEncoderOutput",
    "DPRPreTrainedModel",
    "DPRPretrainedContextEncoder",
    "DPRPretrainedQuestionEncoder",
    "DPRPretrainedReader",
    "DPRQuestionEncoder",
    "DPRQuestionEncoderOutput",
    "DPRReader",
    "DPRReaderOutput",
    # tokenizers
    "BatchEncoding",
    "DPRContextEncoderTokenizer",
    "DPRContextEncoderTokenizerFast",
    "DPRQuestionEncoderTokenizer",
    "DPRQuestionEncoderTokenizerFast",
    "DPRReaderTokenizer",
    "DPRReaderTokenizerFast",
    "DPRSpanPrediction",
    # the rest
    "__version__",
]

HEAVY = {
    "huggingface_hub",
    "numpy",
    "pyarrow",
    "rich",
    "safetensors",
    "tokenizers",
    "torch",
    "typer",
}


def run(code: str) -> str:
    """What a fresh interpreter prints; warnings are errors there too."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def loaded_by(code: str) -> set[str]:
    """The heavy packages that a fresh interpreter holds after running the code."""
    printed = run(f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})")
    return HEAVY & set(printed.split())


def test_the_list_is_exact() -> None:
    assert sorted(dpr.__all__) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_name_imports(name: str) -> None:
    value = getattr(dpr, name)
    if isinstance(value, type):
        assert value.__name__ == name
        assert value.__module__.startswith("dpr.")


def test_a_star_import_gives_the_list_and_nothing_else() -> None:
    given: dict[str, object] = {}
    exec("from dpr import *", given)
    assert sorted(set(given) - {"__builtins__"}) == sorted(NAMES)


def test_dir_shows_names_before_they_are_loaded() -> None:
    assert set(NAMES) <= set(run("import dpr; print(*dir(dpr))").split())


def test_another_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match="module 'dpr' has no attribute 'DPRWriter'"):
        _ = dpr.DPRWriter


def test_type_checkers_and_the_interpreter_find_the_same_things() -> None:
    """Names are listed twice, for each of the two; this holds the lists together."""
    tree = ast.parse(Path(dpr.__file__).read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    static = {
        alias.asname: f"{node.module}.{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert static == {name: f"dpr.{room}.{name}" for name, room in dpr._WHERE.items()}


def test_import_dpr_is_light() -> None:
    assert loaded_by("import dpr") == set()


@pytest.mark.parametrize(
    ("name", "loaded"),
    [
        ("Passage", set()),
        ("Filters", set()),
        ("DuplicateSettings", set()),
        ("InputError", set()),
        ("AsyncClient", set()),
        ("Client", set()),
        ("SplitSettings", set()),
        ("read_documents", set()),
        ("DPRConfig", set()),
        ("DPRReaderTokenizerFast", {"numpy", "tokenizers"}),
        ("Collection", {"numpy", "pyarrow"}),
    ],
)
def test_a_name_loads_what_it_needs_and_no_more(name: str, loaded: set[str]) -> None:
    assert loaded_by(f"import dpr; dpr.{name}") == loaded


def test_version_is_the_one_installed() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+([a-z0-9.]*)", dpr.__version__)
    assert version("dense-passage-retrieval") == dpr.__version__
