"""A long run: the server's memory, descriptors and threads stay as they were after warming up.

Many requests at a steady rate, over half an hour: each question once, or again after a while, as
people ask; a few others besides (answers, vectors, the page, what is refused), connections that
come and go, and now and then a change of the collection. The cache is as it is by default.

Memory is compared between the first and the last tenth after warming up (a fifth of the time), by
medians; and what it grows by an hour is told by the median of slopes between all pairs of looks
(Theil and Sen), which no single look moves.

    python benchmarks/serve_soak.py
    python benchmarks/serve_soak.py --quick --passages 300
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from common import report
from serving import (
    FAIL,
    HOST,
    Connection,
    Load,
    Sampled,
    Server,
    arguments,
    collection,
    conditions,
    connected,
    dpr_serve,
    pin,
    questions,
    request,
    run,
    started,
    summary,
    table,
    verdicts,
)

DISTINCT = 0.12  # of the questions; the others were asked before
RARE = 0.02  # of the requests, of each other kind
CONNECTIONS = 64
LIVES = 500  # requests of a connection, about
WARMING = 0.2  # of the time


class Mix:
    """Requests as a day has them."""

    def __init__(self, texts: Iterator[str]) -> None:
        self._texts, self._known = texts, list[str]()
        self._chance = random.Random(4)
        self.kinds: Counter[str] = Counter()

    @property
    def distinct(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[bytes]:
        while True:
            kind = self._chance.random() / RARE
            if kind < 1:
                yield self._made("answer", {"question": self._text(), "k": 3}, "/v1/answer")
            elif kind < 2:
                yield self._made("embed", {"inputs": self._text()}, "/embed")
            elif kind < 3:
                self.kinds["page"] += 1
                yield f"GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n".encode()
            elif kind < 4:
                yield self._made("refused", {"question": self._text(), "kk": 1}, "/v1/search")
            else:
                yield self._made("search", {"question": self._text(), "k": 10}, "/v1/search")

    def _text(self) -> str:
        if not self._known or self._chance.random() < DISTINCT:
            self._known.append(next(self._texts))
            return self._known[-1]
        # What was asked lately is asked more often.
        back = min(len(self._known), 1 + int(self._chance.expovariate(1 / 2000)))
        return self._known[-back]

    def _made(self, kind: str, body: Any, path: str) -> bytes:
        self.kinds[kind] += 1
        return request(json.dumps(body).encode(), path)


class Lived(Load):
    """Load over so many connections, each of which ends now and then, as clients' do, and is made
    anew: as many descriptors at any time, if the server keeps none."""

    def __init__(self, port: int, requests: Iterator[bytes], connections: int) -> None:
        super().__init__(port, requests)
        self._free = asyncio.Queue[Connection | None]()
        for _ in range(connections):
            self._free.put_nowait(None)
        self._chance = random.Random(5)

    async def _lent(self, due: float) -> None:
        # In turns, so that none is so long without a request that the server ends it.
        made = await self._free.get()
        try:
            if made is None or made.transport is None:
                made = await connected(self.port)
            await self._one(made, due)
            if made.transport is not None and self._chance.random() < 1 / LIVES:
                made.transport.close()
                made = await connected(self.port)
        except OSError:
            self._note(due, time.monotonic(), FAIL, b"")
        finally:
            self._free.put_nowait(made)


async def soaked(server: Server, mix: Mix, folder: Path, given: Any) -> Any:
    load = Lived(server.port, iter(mix), CONNECTIONS)
    changing = asyncio.create_task(changes(folder, given.seconds / (given.changes + 1)))
    outcome = await load.open((given.rate, given.seconds))
    changing.cancel()
    return outcome


async def changes(folder: Path, every: float) -> None:
    import dpr
    from dpr.pipeline import add, remove

    for number in range(10**6):
        await asyncio.sleep(every)
        made = [dpr.Document("soaked", f"Version {number} of a document that comes and goes.")]
        if number % 2 == 0:
            await asyncio.to_thread(add, made, folder)
        else:
            await asyncio.to_thread(remove, folder, ["soaked"])


def slope(rows: Any) -> float:
    """What the second column grows by in a second of the first: the median over all pairs."""
    step = max(1, len(rows) // 500)
    at, value = rows[::step, 0], rows[::step, 1]
    first, second = np.triu_indices(len(at), 1)
    return float(np.median((value[second] - value[first]) / (at[second] - at[first])))


def compared(rows: Any) -> dict[str, Any]:
    """The first tenth of the looks after warming up, and the last."""
    rows = rows[rows[:, 0] >= rows[0, 0] + WARMING * (rows[-1, 0] - rows[0, 0])]
    tenth = max(1, len(rows) // 10)
    found: dict[str, Any] = {}
    for column, name in ((1, "memory"), (2, "descriptors"), (3, "threads")):
        found[name] = [
            float(np.median(rows[:tenth, column])),
            float(np.median(rows[-tenth:, column])),
        ]
        found[f"most_{name}"] = float(rows[:, column].max())
    found["memory_growth"] = round(found["memory"][1] / found["memory"][0] - 1, 4)
    found["memory_mb_an_hour"] = round(3600 * slope(rows) / 1e6, 2)
    return found


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, help="default 1,800, quick 30")
    parser.add_argument("--rate", type=float, help="requests a second; default 115, quick 20")
    parser.add_argument("--changes", type=int, default=10, help="of the collection; default 10")
    given = parser.parse_args()
    given.seconds = given.seconds or (30 if given.quick else 1800)
    given.rate = given.rate or (20 if given.quick else 115)
    folder = collection(given.data, given.work, given.passages)
    changing = given.work / "soaked"
    shutil.rmtree(changing, ignore_errors=True)
    shutil.copytree(folder, changing)
    pin(given.load_core)
    result: dict[str, Any] = conditions(given)
    mix = Mix(questions(given.data))
    with started(lambda port: dpr_serve(changing, port), given.work, given.server_core) as server:
        began = time.monotonic()
        with Sampled(server, 0.5 if given.quick else 2.0) as sampled:
            outcome = run(soaked(server, mix, changing, given))
        row = summary(outcome, time.monotonic() - began) | {
            "requests": len(outcome.status),
            "distinct": mix.distinct,
            "kinds": dict(mix.kinds),
        }
    shutil.rmtree(changing)
    table([row])
    figures = compared(np.array(sampled.rows, float))
    table([{"figure": name, "value": value} for name, value in figures.items()])
    result |= {
        "requests": row,
        "figures": figures,
        "looks": list(islice(sampled.rows, 0, None, 10)),
    }
    faults = {one: n for one, n in row["statuses"].items() if one not in ("200", "422", "429")}
    checks = {
        "200,000 requests": row["requests"] >= 200_000,
        "20,000 questions that differ": row["distinct"] >= 20_000,
        "memory grew by at most 2%": figures["memory_growth"] <= 0.02,
        "no more descriptors": figures["descriptors"][1] <= figures["descriptors"][0] + 2,
        "no more threads": figures["threads"][1] <= figures["threads"][0],
        f"no faults ({faults})": not faults,
    }
    result["reached"] = {goal: bool(one) for goal, one in checks.items()}
    verdicts(checks, given.quick)
    report(result, given.json)


if __name__ == "__main__":
    main()
