"""What tests of several rooms share, and the option of those that leave pictures."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# What a CI sets to be shown colours would make typer take every output for a terminal's.
for _name in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS"):
    os.environ.pop(_name, None)

# A busy machine is no failure: what is too slow is for measurements to tell, not for examples.
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Told here, so that it is known whatever is run."""
    told = "have the page's tests leave pictures of it here (make screenshots)"
    parser.addoption("--screenshots", type=Path, metavar="DIR", help=told)


BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser of this machine."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"needs a browser: none of {', '.join(BROWSERS)} is installed")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data that lies beside the repository, never inside it."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the folder ../shared/data beside the repository, which is not there")
    return folder


WORDS = """
    what who where when which is was the a an of in on to by and not does did it wrote lives in
    river city king queen tale story snow man dog cat old young paris france rhine danube source
    forest castle answer question passage title text one two three four five six seven
""".split()
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@pytest.fixture(scope="session")
def tiny_vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocab.txt that can spell any ASCII word."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *".,?!'\"-:;()", *LETTERS]
    tokens = dict.fromkeys([*pieces, *WORDS, *(f"##{letter}" for letter in LETTERS)])
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, tiny_vocabulary: Path) -> Path:
    """A model folder with random weights: tied towers in ``encoder``, and ``reader``."""
    import torch

    from dpr.models import DPRConfig, DPRQuestionEncoder, DPRReader
    from dpr.tokens import DPRQuestionEncoderTokenizer, DPRReaderTokenizer

    folder = tmp_path_factory.mktemp("models") / "tiny"
    config = DPRConfig(
        vocab_size=len(tiny_vocabulary.read_text(encoding="utf-8").splitlines()),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=37,
        max_position_embeddings=512,
    )
    torch.manual_seed(0)
    DPRQuestionEncoder(config).save_pretrained(folder / "encoder")
    DPRReader(config).save_pretrained(folder / "reader")
    names = {"vocab_file": str(tiny_vocabulary)}
    DPRQuestionEncoderTokenizer(**names).save_pretrained(folder / "encoder")
    DPRReaderTokenizer(**names).save_pretrained(folder / "reader")
    return folder
