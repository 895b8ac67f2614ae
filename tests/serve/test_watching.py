"""Log lines are written together, whole, and at once where something is wrong."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from dpr.serve.watching import JsonLines, Lines, flush_lines, request_id


class Stream(io.StringIO):
    """Notes each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return len(text)


@pytest.fixture
def logger() -> logging.Logger:
    made, handler = logging.Logger("dpr.serve.tests"), Lines()
    handler.setFormatter(JsonLines())
    made.addHandler(handler)
    return made


def test_lines_are_written_together_and_in_order(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Here and not in a fixture: pytest puts its own in place before each test.
    monkeypatch.setattr(sys, "stderr", stream := Stream())
    for n in range(3):
        logger.info("line %d", n)
    assert not stream.writes
    logger.warning("trouble")
    [written] = stream.writes
    assert [line.count("line") for line in written.splitlines()] == [1, 1, 1, 0]
    assert "trouble" in written
    logger.info("the last")
    for handler in logger.handlers:
        handler.close()
    assert "the last" in stream.writes[1]


def test_a_line_has_the_id_of_the_request_it_is_about(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream := Stream())
    for known in ("one", "", "two"):
        token = request_id.set(known)
        logger.info("of %s", known)
        request_id.reset(token)
    token = request_id.set("who happens to be answered now")
    logger.handlers[0].close()
    request_id.reset(token)
    lines = [json.loads(line) for line in "".join(stream.writes).splitlines()]
    assert [line.get("request_id") for line in lines] == ["one", None, "two"]
    assert [line["message"] for line in lines] == ["of one", "of ", "of two"]


def test_a_line_that_cannot_be_made_is_left_out_and_the_rest_written(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream := Stream())
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logger.info("one of %d", "text")
    logger.info("another")
    logger.handlers[0].close()
    assert [json.loads(line)["message"] for line in stream.writes] == ["another"]


def test_pieces_are_whole_lines(logger: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    # Here and not in a fixture: pytest puts its own in place before each test.
    monkeypatch.setattr(sys, "stderr", stream := Stream())
    for n in range(200):
        logger.info("x" * n)
    logger.info("y" * 10_000)
    logger.handlers[0].close()
    assert len(stream.writes) > 5
    assert all(one.endswith("}\n") for one in stream.writes)
    assert all(len(one) <= 4096 or one.count("\n") == 1 for one in stream.writes)
    assert sum(one.count("\n") for one in stream.writes) == 201


@pytest.mark.parametrize(
    "error", [OSError(28, "no space"), BrokenPipeError(), ValueError("closed")]
)
def test_where_nobody_takes_lines_the_service_goes_on(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise error

    monkeypatch.setattr(sys, "stderr", Broken())
    logger.error("trouble")
    monkeypatch.setattr(sys, "stderr", None)
    logger.error("trouble")
    handler = logger.handlers[0]
    monkeypatch.setattr(logging.getLogger("dpr.serve"), "handlers", [handler])
    logger.info("line")
    flush_lines()
    handler.close()
