"""Spans of OpenTelemetry for those who collect them: requests, writes to the database, runs.

`dg serve` opens it with `[tracing]`. Until somebody collects, nothing of OpenTelemetry is imported and a span
costs a look at one variable. Spans hold no text of callers, and of errors only that there was one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from dg.core.errors import Refused

if TYPE_CHECKING:
    from opentelemetry import trace

    from dg.settings.tree import Tracing

Value = str | int | float | bool
FLUSH_MILLIS = 2000
"""How long a stopping server waits for the collector to take what is left."""


class Span:
    """Something that takes time, while it does; this one is for those who collect none."""

    collected = False

    def note(self, key: str, value: Value) -> None:
        """Say something of it."""

    def rename(self, name: str) -> None:
        """Call it by what it turned out to be."""

    def fail(self) -> None:
        """Say that it went wrong, and not how: errors may quote what nobody else should read."""


class _Collected(Span):
    collected = True

    def __init__(self, span: trace.Span, failed: trace.Status) -> None:
        self._span = span
        self._failed = failed

    def note(self, key: str, value: Value) -> None:
        self._span.set_attribute(key, value)

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def fail(self) -> None:
        self._span.set_status(self._failed)


class _Tracing:
    """A tracer, and how it writes where a trace comes from (W3C Trace Context)."""

    def __init__(self, tracer: trace.Tracer) -> None:
        from opentelemetry import context, trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = tracer
        self._context = context
        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()
        self._failed = trace.Status(trace.StatusCode.ERROR)

    @contextmanager
    def span(self, name: str, attributes: Mapping[str, Value], *, server: bool = False) -> Iterator[Span]:
        kind = self._trace.SpanKind.SERVER if server else self._trace.SpanKind.INTERNAL
        with self._tracer.start_as_current_span(
            name, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as begun:
            span = _Collected(begun, self._failed)
            try:
                yield span
            except BaseException:
                span.fail()
                raise

    @contextmanager
    def serving(self, name: str, headers: Mapping[str, str]) -> Iterator[Span]:
        token = self._context.attach(self._propagator.extract(headers))
        try:
            with self.span(name, {}, server=True) as span:
                yield span
        finally:
            self._context.detach(token)

    def note(self, key: str, value: Value) -> None:
        self._trace.get_current_span().set_attribute(key, value)

    def traceparent(self) -> str | None:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier.get("traceparent")


_NOTHING: AbstractContextManager[Span] = nullcontext(Span())
_tracing: _Tracing | None = None


def span(name: str, attributes: Mapping[str, Value]) -> AbstractContextManager[Span]:
    """The block as a span below the one that it runs in."""
    return _NOTHING if _tracing is None else _tracing.span(name, attributes)


def serving(name: str, headers: Mapping[str, str]) -> AbstractContextManager[Span]:
    """The block as the answer to a request with these headers, which may say whose trace it belongs to."""
    return _NOTHING if _tracing is None else _tracing.serving(name, headers)


def note(key: str, value: Value) -> None:
    """Say something of the span that this runs in."""
    if _tracing is not None:
        _tracing.note(key, value)


def traceparent() -> str | None:
    """The `traceparent` of the span that this runs in, for whoever it calls; None without one."""
    return None if _tracing is None else _tracing.traceparent()


@contextmanager
def collecting(settings: Tracing, version: str) -> Iterator[None]:
    """Send spans to the collector of `settings` while the block runs, or to whoever set one up before.

    Raises Refused when a collector is named and OpenTelemetry's SDK is not installed.
    """
    if settings.endpoint is not None:
        with _exporting(settings, version) as tracer, _by(tracer):
            yield
    elif "opentelemetry.sdk.trace" in sys.modules:
        from opentelemetry import trace

        with _by(trace.get_tracer("dg", version)):
            yield
    else:
        yield


@contextmanager
def _by(tracer: trace.Tracer) -> Iterator[None]:
    # As with the log, whoever makes a span knows nothing of who collects.
    global _tracing
    _tracing = _Tracing(tracer)
    try:
        yield
    finally:
        _tracing = None


@contextmanager
def _exporting(settings: Tracing, version: str) -> Iterator[trace.Tracer]:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError:
        raise Refused(
            "tracing.endpoint is set and OpenTelemetry's SDK is not installed: install dg[tracing]",
            reason="no_tracing",
        ) from None
    provider = TracerProvider(
        resource=Resource.create({"service.name": "dg", "service.version": version}),
        sampler=ParentBased(TraceIdRatioBased(settings.sample)),
        shutdown_on_exit=False,
    )
    url = f"{settings.endpoint}/v1/traces"
    exporter = OTLPSpanExporter(endpoint=url, timeout=FLUSH_MILLIS / 1000)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    try:
        yield provider.get_tracer("dg", version)
    finally:
        provider.force_flush(FLUSH_MILLIS)
        provider.shutdown()
