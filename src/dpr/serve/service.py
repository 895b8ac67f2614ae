"""The service without its HTTP: questions and texts in, results out, under the limits.

Takes requests that were checked; gives bytes, vectors and figures, or refuses. Wires door, cache,
queue, engine and follower together. Lives in one event loop. Knows nothing of routes.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, MutableSequence, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from dpr.errors import DPRError, InputError
from dpr.filters import Filters
from dpr.pipeline.asking import Opened
from dpr.serve.batching import Batcher, Round, TooLate
from dpr.serve.beside import beside
from dpr.serve.cache import Cache, key_of
from dpr.serve.door import Door
from dpr.serve.engine import Engine
from dpr.serve.following import Follower
from dpr.serve.problems import Refused
from dpr.serve.settings import ServeSettings
from dpr.serve.watching import Watch, access
from dpr.serve.work import Embed, Embedded, Find, Found, How, Judge, Task, Tower

if TYPE_CHECKING:  # which needs an extra of its own
    from dpr.serve.tracing import Traces

logger = logging.getLogger(__name__)
_SOON = 2  # seconds, to those who come while the service begins or ends
_WARMING = ("who", "what is it " * 8, "where does it stand " * 40)
_WARMING_SECONDS = 600.0
_STOPPING_SECONDS = 0.5  # for what was given up to end
_LOOKING = 4  # documents that are put together at once
_FAILURES = 3  # rounds in a row, after which the service says for some seconds that it is not ready
_FAILURE_SECONDS = 5.0
NOBODY = 1 << 62
"""The version of a process that is not ready."""
MOST_TOGETHER = 2000
"""Hits that a request may have, all questions together."""

T = TypeVar("T")
Stage = Literal["starting", "ready", "draining"]


class Service:
    """One engine, and all who ask it.

    Attributes:
        stage: only ``ready`` admits work.
        failure: why the service could not begin; None where it did, or still may.
    """

    def __init__(
        self, engine: Engine, settings: ServeSettings, watch: Watch, traces: Traces | None = None
    ) -> None:
        self.engine, self.settings, self.watch = engine, settings, watch
        self.door = Door(settings)
        self.stage: Stage = "starting"
        self.failure: BaseException | None = None
        self._cache = Cache(settings.cache_bytes)
        self._batcher: Batcher[Task] = Batcher(
            traces.rounds(engine.run) if traces else engine.run,
            settings.round_tokens,
            self.door.leave,
            self._worked,
            lambda: self.door.pace,
        )
        submit = self._batcher.submit
        self._submit = traces.submits(submit) if traces else submit
        self.follower = Follower(engine, settings.reload_seconds, self._renewed)
        self._following: asyncio.Task[None] | None = None
        self._filtering, self._looking = asyncio.Semaphore(1), asyncio.Semaphore(_LOOKING)
        self._versions: MutableSequence[int] = [engine.version]
        self._place = 0
        for name, text, value in (
            ("dpr_waiting_items", "Tasks waiting or worked on.", lambda: self.door.items),
            ("dpr_waiting_tokens", "Tokens reserved for them.", lambda: self.door.tokens),
            ("dpr_body_bytes", "Bytes held of bodies and answers.", lambda: self.door.bytes),
            ("dpr_cache_bytes", "Bytes held in the cache.", lambda: self._cache.bytes),
        ):
            watch.gauge(name, text, value)
        told = "Of the collection, that is asked."
        watch.gauge("dpr_index_version", told, lambda: engine.version, "min")
        told = "1: the newest version cannot be asked."
        watch.gauge("dpr_reload_trouble", told, lambda: bool(self.follower.trouble), "max")

    def share(self, versions: MutableSequence[int], place: int) -> None:
        """Tells the version that is asked here from when it is ready, and looks at those of other
        processes."""
        self._versions, self._place = versions, place

    @property
    def alone(self) -> bool:
        """Whether no other process of the server is ready."""
        return all(one == NOBODY for n, one in enumerate(self._versions) if n != self._place)

    @property
    def oldest(self) -> int:
        """The oldest version that is asked, here or by another process of the server."""
        return min(*self._versions, self.engine.version)

    async def start(self) -> None:
        """Warms all that a first request would wait for; ready when it returns."""
        began = time.monotonic()
        self._batcher.start()
        tasks: list[Task] = [
            Find(text, How(mode=mode), self.answers)
            for mode in self.engine.modes
            for text in _WARMING
        ]
        if self.engine.passages is not None:
            tasks += [Embed(text, "passage") for text in _WARMING]
        await self.unhurried(tasks, _WARMING_SECONDS)
        # Changes that are made from now on wait for this process; those made before it looks for.
        self._versions[self._place] = self.engine.version
        await self.follower.renew()
        self._check_size()
        self.door.pace = 0.0  # that of the first rounds is nobody's
        if self.stage == "starting":
            self.stage = "ready"
            took = time.monotonic() - began
            logger.info("ready after %.1f s; version %d is asked", took, self.engine.version)
        self._following = asyncio.create_task(self.follower.follow())

    def drain(self) -> None:
        """Admits nothing from now on; what was admitted is done."""
        self.stage = "draining"

    async def stop(self) -> None:
        """Ends when all that was admitted is done."""
        self.drain()
        if self._following is not None:
            self._following.cancel()
        await self._batcher.stop(_STOPPING_SECONDS)
        logger.info("ended")

    @property
    def answers(self) -> bool:
        """Whether there is a reader."""
        return self.engine.opened.reader is not None

    def check_ready(self) -> None:
        """Refuses while the service begins or ends.

        Raises:
            Refused: 503.
        """
        if self.stage == "ready":
            return
        detail = {
            "starting": "The models are being loaded.",
            "draining": "The server is ending; ask another one.",
        }[self.stage]
        raise Refused(503, self.stage, detail, retry_after=_SOON)

    def check_room(self) -> None:
        """Refuses where not even one small task would be let in: before its body is read, since
        refusing has to cost little when most are refused.

        Raises:
            Refused: 429.
        """
        if self.door.full:
            raise self.door.refusal()
        self.door.check_time(self._batcher.ahead(1), 0, self.settings.deadline)

    def check_well(self) -> None:
        """As ``check_ready``; also refuses where all that is done fails.

        Raises:
            Refused: 503.
        """
        self.check_ready()
        lately = time.monotonic() - self._batcher.failed < _FAILURE_SECONDS
        if lately and self._batcher.failures >= _FAILURES:
            raise Refused(503, "failing", "All that is asked fails; see the log.", retry_after=5)

    @property
    def alive(self) -> bool:
        """Whether there is somebody who works; otherwise the process is to be started anew."""
        return self.stage == "starting" or self._batcher.alive

    async def find(
        self, questions: Sequence[str], how: How, read: bool, deadline: float
    ) -> list[bytes]:
        """The result of each question, as JSON.

        Args:
            deadline: by ``time.monotonic()``.

        Raises:
            Refused: there is no room, no time, or not what is asked for.
        """
        self._check(how, read)
        if len(questions) * how.k > MOST_TOGETHER:
            raise Refused(
                413,
                "too_much_work",
                f"{len(questions)} questions with {how.k} hits each; together at most "
                f"{MOST_TOGETHER} hits are given. Ask fewer at once, or for fewer.",
            )
        if self.settings.log_questions:
            access.info("questions", extra={"facts": {"questions": list(questions)}})
        missing, found = list(dict.fromkeys(questions)), dict[str, bytes]()
        caching = self.settings.cache_bytes > 0
        if caching:
            opened, settings = self.engine.number, key_of(how, read)
            for question in missing:
                if (kept := self._cache.get(key_of(opened, question, settings))) is not None:
                    found[question] = kept
            missing = [one for one in missing if one not in found]
            self.watch.cached(len(found), len(missing))
        outcomes: Sequence[Found] = ()
        if missing:
            await self._filtered(how.where, deadline)
            outcomes = await self._done([Find(one, how, read) for one in missing], deadline)
        for question, one in zip(missing, outcomes, strict=True):
            found[question] = one.body
            if caching:
                self._cache.put(key_of(one.opened, question, settings), one.body)
        self.watch.truncated(sum(one.truncated for one in outcomes))
        return [found[question] for question in questions]

    def _check(self, how: How, read: bool) -> None:
        if how.mode in ("bm25", "hybrid") and not self.engine.has_words:
            raise Refused(
                422,
                "no_words",
                f"This collection cannot be searched by words (mode {how.mode!r}); use 'dense' or "
                "'auto'.",
            )
        if read:
            self.check_reader()

    def check_reader(self) -> None:
        """Refuses where there is no reader.

        Raises:
            Refused: 404.
        """
        if not self.answers:
            raise Refused(404, "no_reader", "This server has no reader: it searches only.")

    async def embed(self, texts: Sequence[str], tower: Tower, deadline: float) -> list[Embedded]:
        """The vector of each text; raises as ``find``."""
        if tower == "passage" and self.engine.passages is None:
            raise Refused(
                404, "no_passage_encoder", "This server makes vectors of questions only (query)."
            )
        outcomes: list[Embedded] = await self._done([Embed(one, tower) for one in texts], deadline)
        self.watch.truncated(sum(one.truncated for one in outcomes))
        return outcomes

    async def judge(
        self, question: str, texts: Sequence[tuple[str, str]], deadline: float
    ) -> list[float]:
        """The relevance logit of each (title, text) to a question; raises as ``find``."""
        self.check_reader()
        round_tokens = self.settings.round_tokens
        whose, tasks = list[int](), list[Task]()
        for n, (title, text) in enumerate(texts):
            parts = self.engine.parts(Judge(question, text, title), round_tokens)
            whose += [n] * len(parts)
            tasks += parts
        logits = [-math.inf] * len(texts)
        for n, logit in zip(whose, await self._done(tasks, deadline), strict=True):
            logits[n] = max(logits[n], logit)
        return logits

    async def look(self, done: Callable[[Opened], T]) -> T:
        """What a function reads from the version that is asked, in a thread of its own.

        Raises:
            Refused: there is no room or no time; the collection cannot be read.
            InputError: of the function, which looked for what is not there.
        """
        deadline = time.monotonic() + self.settings.deadline
        return await self._beside(lambda: done(self.engine.opened), self._looking, deadline)

    async def _filtered(self, where: Filters, deadline: float) -> None:
        """Goes through the documents for a filter, if that was not done lately: one filter after
        the other, while the models do other things."""
        masks = self.engine.opened.searcher.masks
        if not masks.known(where):
            await self._beside(lambda: masks.allowed(where), self._filtering, deadline)

    async def _beside(self, done: Callable[[], T], turns: asyncio.Semaphore, deadline: float) -> T:
        """What a function gives in a thread of its own, some at once. Its room is taken until it
        has ended, also where nobody waits for it any more."""
        self.check_ready()
        self.door.enter(1, 1)
        begun = False

        def ended() -> None:
            turns.release()
            self.door.leave(1, 1)

        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                await turns.acquire()
                begun = True
                return await beside(done, ended)
        except TimeoutError:
            raise self._late() from None
        except InputError:
            raise
        except DPRError as error:
            raise unreadable(error) from error
        finally:
            if not begun:
                self.door.leave(1, 1)

    async def unhurried(self, tasks: Sequence[Task], seconds: float) -> list[Any]:
        """What comes of tasks of the service itself: they need no room, and take turns with the
        requests."""
        sizes = [self.engine.size(task) for task in tasks]
        end = time.monotonic() + seconds
        futures = self._batcher.submit(tasks, sizes, end, reserved=False)
        try:
            return await asyncio.gather(*futures)
        finally:
            self._batcher.withdraw(futures)

    async def _done(self, tasks: Sequence[Task], deadline: float) -> list[Any]:
        self.check_ready()  # a body may have taken its time
        sizes = [self.engine.size(task) for task in tasks]
        ahead = self._batcher.ahead(len(tasks))
        self.door.check_time(ahead, sum(sizes), deadline - time.monotonic())
        self.door.enter(len(tasks), sum(sizes))
        futures = self._submit(tasks, sizes, deadline)
        loop = asyncio.get_running_loop()
        timer = loop.call_later(deadline - time.monotonic(), _give_up, futures)
        try:
            # One is by far the usual case, and waits for less.
            return [await futures[0]] if len(futures) == 1 else await asyncio.gather(*futures)
        except BaseException as error:  # also where who asked left
            self._batcher.withdraw(futures)
            if isinstance(error, TooLate):
                raise self._late() from None
            if isinstance(error, DPRError):
                raise unreadable(error) from error
            raise
        finally:
            timer.cancel()

    def _late(self) -> Refused:
        seconds = self.settings.deadline
        detail = f"Not done within {seconds:g} s; send less at once, or try later."
        return Refused(504, "deadline", detail)

    def _worked(self, done: Round) -> None:
        self.door.worked(done.tokens, done.seconds)
        self.watch.round(done)

    def _check_size(self) -> None:
        """Warns where a usual question would always be refused."""
        usual, limits = Find("", How(), self.answers), self.settings
        tokens = self.engine.size(usual)
        if tokens > limits.waiting_tokens:
            logger.warning(
                "a question with %d hits counts as %d tokens, and is refused with 413: give more "
                "than --waiting-tokens %d, have passages made shorter (--split), or fewer of them "
                "read (the setting passages of the reader)",
                usual.how.k,
                tokens,
                limits.waiting_tokens,
            )

    def _renewed(self, version: int) -> None:
        self._versions[self._place] = version
        self._check_size()
        self.watch.reloaded()
        logger.info("version %d is asked from now on", version)


def _give_up(futures: Sequence[asyncio.Future[Any]]) -> None:
    """Ends the wait for what is not done in time."""
    for one in futures:
        if not one.done():
            one.set_exception(TooLate())


def unreadable(error: DPRError) -> Refused:
    """The refusal where the collection or a model cannot be read."""
    # Its message may hold paths: the log has it.
    logger.error("work failed: %s", error, exc_info=error)
    detail = "The collection cannot be read as it should."
    return Refused(503, "collection", detail, retry_after=5)
