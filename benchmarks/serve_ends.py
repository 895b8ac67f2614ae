"""Ending and reloading under load: nothing that was admitted is lost, and no answer is of the wrong
version.

SIGTERM, 50 times, each to a server of its own under load from many connections, at a random time.
Lost is: what was sent well before the signal and was not answered, or was answered with 503 or 500;
and what the server's log says was answered, and did not arrive. An answer that came too late (504)
is counted apart.

Reloads, 100 of them: documents come and go in the collection while it is asked. Each answer is
compared with the product of all vectors of the version that it states, in NumPy.

    python benchmarks/serve_ends.py
    python benchmarks/serve_ends.py --quick --passages 300
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from common import report
from serving import (
    FAIL,
    Connection,
    Load,
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
    table,
    verdicts,
)

MARGIN = 0.25  # seconds: what is sent so long before the signal had arrived by then
ENDING = 10.0
K = 10
BEST = 50  # of the product, kept of each question: places may be swapped among equals
TOLERANCE = 5e-4  # of a score: batches of other sizes add in another order


# --- ending -----------------------------------------------------------------------------------


class Asked:
    """Requests by their ids: when sent, and what came of them."""

    def __init__(self, texts: Iterator[str]) -> None:
        self._texts, self.sent, self.status = texts, dict[str, float](), dict[str, int]()

    async def ask(self, port: int, ended: asyncio.Event) -> None:
        """On one connection after the other, until the server is no more."""
        made: Connection | None = None
        while not ended.is_set():
            if made is None or made.transport is None:
                try:
                    made = await connected(port)
                except OSError:
                    await asyncio.sleep(0.02)
                    continue
            name = f"r{len(self.sent)}"
            # One in eight is answered from passages; the others only find them.
            path = "/v1/answer" if len(self.sent) % 8 == 0 else "/v1/search"
            body = json.dumps({"question": next(self._texts), "k": 5}).encode()
            self.sent[name] = time.monotonic()
            status, _, _ = await made.ask(request(body, path, f"x-request-id: {name}\r\n"))
            self.status[name] = status
            if status in (429, 503):
                await asyncio.sleep(0.05)


async def ended(server: Server, asked: Asked, connections: int, after: float) -> dict[str, Any]:
    """Loads a server, ends it, and says what was lost."""
    gone = asyncio.Event()
    tasks = [asyncio.create_task(asked.ask(server.port, gone)) for _ in range(connections)]
    await asyncio.sleep(after)
    told = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    try:
        code = await asyncio.wait_for(asyncio.to_thread(server.process.wait, 30), 31)
    except Exception:
        code = None
    seconds = time.monotonic() - told
    gone.set()
    await asyncio.wait(tasks, timeout=5)
    early = [name for name, at in asked.sent.items() if at < told - MARGIN]
    answered = set(logged(server.log)) & set(asked.sent)
    lost = [name for name in early if asked.status.get(name, FAIL) in (FAIL, 500, 503)]
    lost += [name for name in answered if asked.status.get(name, FAIL) != 200]
    return {
        "exit_s": round(seconds, 2),
        "code": code,
        "waiting": sum(1 for name in early if asked.status.get(name) is None),
        "lost": len(set(lost)),
        "statuses": dict(Counter(asked.status.values())),
    }


def logged(log: Path) -> Iterator[str]:
    """Ids of what the log says was answered with 200."""
    for line in log.read_text(encoding="utf-8").splitlines():
        if line.startswith("{") and (found := json.loads(line)).get("status") == 200:
            yield found.get("request_id", "")


def endings(given: Any, folder: Path, count: int, connections: int) -> list[dict[str, Any]]:
    chance, texts, rows = random.Random(2), questions(given.data), []
    for number in range(count):
        with started(lambda port: dpr_serve(folder, port), given.work, given.server_core) as server:
            row = run(ended(server, Asked(texts), connections, chance.uniform(1, 4)))
        rows.append(row)
        print(f"ending {number + 1}: {json.dumps(row)}", flush=True)
    return rows


# --- reloading --------------------------------------------------------------------------------


class Truth:
    """The best of the product, by version and question."""

    def __init__(self, texts: Sequence[str]) -> None:
        from dpr import QuestionEncoder
        from dpr.shipped import find_models

        self.texts = {text: n for n, text in enumerate(texts)}
        self._vectors = QuestionEncoder.from_pretrained(find_models().question).encode(list(texts))
        self._versions: dict[int, tuple[list[dict[str, float]], Any]] = {}

    def note(self, folder: Path) -> int:
        """Works out what the newest version answers."""
        from dpr.collection import Collection

        with Collection.open(folder) as opened:
            rows = opened.live_rows()
            vectors = np.concatenate(opened.vectors).astype(np.float32)[rows]
            ids = opened.ids(rows.tolist())
            version = opened.version
        scores = self._vectors @ vectors.T
        places = np.argsort(-scores, axis=1)[:, :BEST]
        best = np.take_along_axis(scores, places, axis=1)
        found = [
            dict(zip((ids[n] for n in row), map(float, values), strict=True))
            for row, values in zip(places, best, strict=True)
        ]
        self._versions[version] = found, best[:, :K]
        return version

    def fault(self, text: str, version: int, hits: Sequence[tuple[str, float]]) -> str:
        """What is wrong with an answer; empty: nothing."""
        number = self.texts[text]
        if version not in self._versions:
            return f"version {version} was never made"
        found, best = self._versions[version]
        if len(dict(hits)) != len(best[number]):
            return f"{len(dict(hits))} hits"
        for (name, score), expected in zip(hits, best[number].tolist(), strict=True):
            near = TOLERANCE * max(1.0, abs(expected))
            if abs(score - expected) > near or abs(found[number].get(name, 1e9) - score) > near:
                return f"{name}: {score}, and not {expected}, in version {version}"
        return ""


class Answers:
    """Answers as they come: kept until all versions are known."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int, list[tuple[str, float]]]] = []
        self.others: Counter[int] = Counter()
        self.newest = 0

    def see(self, status: int, asked: bytes, head: bytes, body: bytes) -> None:
        if status != 200:
            self.others[status] += 1
            return
        [result] = json.loads(body)["results"]
        hits = [(hit["id"], hit["score"]) for hit in result["hits"]]
        text = json.loads(asked.partition(b"\r\n\r\n")[2])["question"]
        self.rows.append((text, result["index_version"], hits))
        self.newest = max(self.newest, result["index_version"])


def change(folder: Path, number: int) -> None:
    """Makes one version: documents come, or those of the time before go."""
    import dpr
    from dpr.pipeline import add, remove

    coming, names = number % 2 == 1, [f"new{(number - 1) // 2}.{n}" for n in range(4)]
    if coming:
        text = f"In version {number} the king of city {{}} moved away."
        add([dpr.Document(name, text.format(name)) for name in names], folder)
    else:
        remove(folder, names)


async def reloaded(server: Server, folder: Path, truth: Truth, count: int, load: int) -> Any:
    """Changes a collection while it is asked; gives the answers and the versions made."""
    answers, chance = Answers(), random.Random(3)
    texts = list(truth.texts)

    def requests() -> Iterator[bytes]:
        while True:
            body = {"question": chance.choice(texts), "k": K, "mode": "dense"}
            yield request(json.dumps(body).encode())

    asking = asyncio.create_task(Load(server.port, requests(), answers.see).closed(load, 1e6))
    versions = [await asyncio.to_thread(truth.note, folder)]
    for number in range(1, count + 1):
        await asyncio.to_thread(change, folder, number)
        versions.append(await asyncio.to_thread(truth.note, folder))
        end = time.monotonic() + 60
        while answers.newest < versions[-1] and time.monotonic() < end:
            await asyncio.sleep(0.02)
    asking.cancel()
    return answers, versions


def reloads(given: Any, folder: Path, count: int, load: int) -> dict[str, Any]:
    changing = given.work / "changing"
    shutil.rmtree(changing, ignore_errors=True)
    shutil.copytree(folder, changing)
    truth = Truth(list(islice(questions(given.data), 100 if given.quick else 500)))

    def command(port: int) -> list[str]:
        return dpr_serve(changing, port, "--search-only", "--reload-seconds", "0.2")

    with started(command, given.work, given.server_core) as server:
        answers, versions = run(reloaded(server, changing, truth, count, load))
    shutil.rmtree(changing)
    faults = [text for row in answers.rows if (text := truth.fault(*row))]
    return {
        "reloads": len(versions) - 1,
        "versions_asked": len({row[1] for row in answers.rows}),
        "last_version_asked": answers.newest == versions[-1],
        "answers": len(answers.rows),
        "others": dict(answers.others),
        "faults": len(faults),
        "first_fault": faults[0] if faults else "",
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--endings", type=int, help="default 50, quick 2")
    parser.add_argument("--reloads", type=int, help="default 100, quick 3")
    parser.add_argument("--connections", type=int, help="default 64, quick 8")
    given = parser.parse_args()
    connections = given.connections or (8 if given.quick else 64)
    folder = collection(given.data, given.work, given.passages)
    pin(given.load_core)
    result: dict[str, Any] = conditions(given)
    rows = endings(given, folder, given.endings or (2 if given.quick else 50), connections)
    total: Counter[str] = Counter()
    for row in rows:
        total.update({str(status): n for status, n in row["statuses"].items()})
    ends = {
        "endings": len(rows),
        "lost": sum(row["lost"] for row in rows),
        "slowest_exit_s": max(row["exit_s"] for row in rows),
        "codes": sorted({str(row["code"]) for row in rows}),
        "statuses": dict(total),
    }
    table([ends])
    again = reloads(given, folder, given.reloads or (3 if given.quick else 100), connections // 4)
    table([again])
    result |= {"endings": rows, "ends": ends, "reloads": again}
    checks = {
        "no admitted request lost": ends["lost"] == 0,
        f"exit within {ENDING:g} s": ends["slowest_exit_s"] <= ENDING,
        "with exit status 0": ends["codes"] == ["0"],
        "reloads without an error": not again["others"] and again["last_version_asked"],
        "every answer as brute force has it at its version": again["faults"] == 0,
    }
    result["reached"] = {goal: bool(one) for goal, one in checks.items()}
    verdicts(checks, given.quick)
    report(result, given.json)


if __name__ == "__main__":
    main()
