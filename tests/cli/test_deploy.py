"""What deploy/ runs is what ``dpr serve`` takes."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.cli.conftest import Run

from dpr.serve.settings import ServeSettings

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
UNIT = DEPLOY / "dpr-serve.service"


def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT, "utf-8")
    return parser["Service"]


def test_the_unit_runs_a_command_that_there_is_and_waits_for_its_end(
    run: Run, tmp_path: Path
) -> None:
    command, *arguments = shlex.split(unit()["ExecStart"])
    assert command.endswith("/dpr")
    (tmp_path / "keys").write_text("ask-0123456789abcdef\n", encoding="utf-8")
    given = [one.replace("${CREDENTIALS_DIRECTORY}", str(tmp_path)) for one in arguments]
    assert given != arguments
    result = run(*given, "--port", 0)
    assert result.exit_code == 1, result.stderr  # 2 would be wrong usage
    assert "/var/lib/dpr/docs.dpr" in result.stderr
    assert float(unit()["TimeoutStopSec"]) >= 2 * ServeSettings().drain_seconds


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs the command systemd-analyze")
    text = UNIT.read_text("utf-8").replace("/opt/dpr/bin/dpr", "/bin/true")
    (tmp_path / UNIT.name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / UNIT.name],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_container_runs_a_command_that_there_is_and_wants_keys(
    run: Run, collection: Path
) -> None:
    text = (DEPLOY / "Containerfile").read_text("utf-8")
    entry, usual = (
        json.loads(re.findall(rf"^{name} (\[.*\])$", text, re.M)[-1])
        for name in ("ENTRYPOINT", "CMD")
    )
    assert entry[0] == "/opt/dpr/bin/dpr"
    result = run(*entry[1:], *usual)
    assert result.exit_code == 1
    assert "--keys FILE" in result.stderr  # before anything is opened
    for copied in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M):
        assert all((DEPLOY.parent / one).exists() for one in copied.split())
