"""The command as a process: what only a real process shows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import dpr

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "", "COLUMNS": "100"}
DPR = [sys.executable, "-m", "dpr"]


def test_help_and_version_load_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from dpr.cli import app\n"
        "asked = ['--help'], ['--version'], ['index', '--help'], ['train', 'retriever', '-h']\n"
        "for line in asked:\n"
        "    result = CliRunner().invoke(app, line)\n"
        "    assert result.exit_code == 0, result.output\n"
        "    print(result.output)\n"
        "heavy = {'torch', 'numpy', 'pyarrow', 'tokenizers', 'transformers', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"dpr {dpr.__version__}" in done.stdout
    assert "dpr index docs/ --to docs.dpr" in done.stdout


@pytest.mark.slow
def test_a_reader_of_the_output_may_leave(collection: Path) -> None:
    process = subprocess.Popen(
        [*DPR, "search", str(collection), "--json", "--batch", "1"],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin and process.stdout and process.stderr
    process.stdin.write(b"what is paris?\n")
    process.stdin.flush()
    assert b"what is paris?" in process.stdout.readline()  # answered before stdin ends
    process.stdout.close()
    process.stdin.write(b"what is bread?\n" * 50)
    process.stdin.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_no_traceback(collection: Path) -> None:
    process = subprocess.Popen(
        [*DPR, "search", str(collection), "--json", "--batch", "1"],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout
    process.stdin.write("what is paris?\n")
    process.stdin.flush()
    process.stdout.readline()
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 130
    assert stderr.strip() == "error: interrupted"


def test_verbose_shows_where_an_error_came_from(tmp_path: Path) -> None:
    done = subprocess.run(
        [*DPR, "--verbose", "info", str(tmp_path)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "error: " in done.stderr
