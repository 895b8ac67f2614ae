"""OpenTelemetry traces: of each request what it waited for, and for how long.

A span of the request, as HTTP servers have it; in it ``waiting`` (in the queue), ``encoding``,
``searching`` and ``reading``, which requests of one round share: each has its own spans, of the
same times. No span holds a question, a text or a key. Needs the extra ``[traces]``, so nothing
imports this unless traces are asked for. Knows nothing of what is asked.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points
from typing import Any

from opentelemetry import context, propagate, trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from starlette.types import ASGIApp, Receive, Scope, Send

from dpr import __version__
from dpr.errors import SettingsError
from dpr.serve.steps import Step, watched
from dpr.serve.work import Find, Task

_EXPORTERS = "opentelemetry_traces_exporter"
_ENDING_MS = 1000  # for spans that were not sent yet; who collects them may be gone

Run = Callable[..., Sequence[Any]]
Submit = Callable[..., list[asyncio.Future[Any]]]


@dataclass(frozen=True, slots=True, eq=False)
class _Since:
    """The request that tasks are of, and when they were handed in."""

    parent: context.Context
    began: int


class Traces:
    """The traces of one application."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("dpr.serve", __version__)
        self._waiting: dict[int, _Since] = {}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Traces:
        """As OpenTelemetry's own variables say: ``OTEL_TRACES_EXPORTER`` (otlp, console, or what
        else is installed), ``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_SERVICE_NAME``,
        ``OTEL_TRACES_SAMPLER`` and so on.

        Raises:
            SettingsError: there is no such exporter.
        """
        name = environment.get("OTEL_TRACES_EXPORTER", "") or "otlp"
        known = {one.name: one for one in entry_points(group=_EXPORTERS)}
        found = known.get("otlp_proto_http" if name == "otlp" else name)
        if found is None:
            raise SettingsError(
                f"OTEL_TRACES_EXPORTER={name}: there is no such exporter here; choose otlp, "
                f"{', '.join(sorted(known))}, or install the one that is meant"
            )
        resource = Resource.create()
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "dpr"}))
        # Not at exit, where it would wait for who collects: ``close`` has its time.
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(found.load()()))
        return cls(provider)

    def close(self) -> None:
        """Sends what was not sent yet, if that is possible within a second."""
        self._provider.force_flush(_ENDING_MS)

    def submits(self, submit: Submit) -> Submit:
        """A function that hands in a request's tasks, and notes whose they are."""

        def noted(tasks: Sequence[Task], *more: Any) -> list[asyncio.Future[Any]]:
            if not trace.get_current_span().is_recording():
                return submit(tasks, *more)
            since = _Since(context.get_current(), time.time_ns())
            # Equal tasks of two requests are two, known by what they are, not by what they hold.
            self._waiting |= {id(task): since for task in tasks}
            futures = submit(tasks, *more)
            for task, future in zip(tasks, futures, strict=True):
                future.add_done_callback(partial(self._forget, task))
            return futures

        return noted

    def _forget(self, task: Task, _: object) -> None:
        self._waiting.pop(id(task), None)

    def rounds(self, run: Run) -> Run:
        """A function that runs rounds of tasks, and tells of them; called in any thread."""

        def told(tasks: Sequence[Task], *more: Any) -> Sequence[Any]:
            owners: dict[_Since, list[Task]] = {}
            for task in tasks:
                if (since := self._waiting.get(id(task))) is not None:
                    owners.setdefault(since, []).append(task)
            if not owners:
                return run(tasks, *more)
            began = time.time_ns()
            with watched() as steps:
                try:
                    return run(tasks, *more)
                finally:
                    for since, own in owners.items():
                        self._tell(since, own, len(tasks), began, steps)

        return told

    def _tell(
        self,
        since: _Since,
        own: Sequence[Task],
        together: int,
        began: int,
        steps: Sequence[Step],
    ) -> None:
        counts = {"dpr.tasks": len(own), "dpr.round.tasks": together}
        self._span("waiting", since.parent, since.began, began, counts)
        for one in steps:
            if any(_is_for(one, task) for task in own):
                self._span(one.name, since.parent, one.began, one.ended, counts)

    def _span(
        self, name: str, parent: context.Context, began: int, ended: int, facts: dict[str, int]
    ) -> None:
        made = self._tracer.start_span(name, parent, start_time=began, attributes=facts)
        made.end(ended)

    @contextmanager
    def request(self, scope: Scope) -> Iterator[trace.Span]:
        """The span of a request, in the trace of whoever sent it, if that says so."""
        headers = {
            one.decode("latin-1"): value.decode("latin-1") for one, value in scope["headers"]
        }
        method = scope["method"]
        with self._tracer.start_as_current_span(
            method,
            propagate.extract(headers),
            trace.SpanKind.SERVER,
            {"http.request.method": method, "url.scheme": scope["scheme"]},
            record_exception=False,
        ) as span:
            try:
                yield span
            finally:
                arrival, route = scope["dpr"], getattr(scope.get("route"), "path", None)
                span.set_attribute("http.response.status_code", arrival.status)
                span.set_attribute("dpr.request_id", arrival.id)
                if route is not None:
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)
                if arrival.code:
                    span.set_attribute("error.type", arrival.code)
                if arrival.status >= 500:
                    span.set_status(trace.StatusCode.ERROR)


class Traced:
    """Wraps an application, the guard included."""

    def __init__(self, app: ASGIApp, traces: Traces) -> None:
        self._app, self._traces = app, traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._traces.request(scope):
            await self._app(scope, receive, send)


def _is_for(step: Step, task: Task) -> bool:
    if not isinstance(task, step.kind):
        return False
    return step.name != "reading" or not isinstance(task, Find) or task.read
