"""Spans: what is collected where somebody does, and that nothing happens where nobody does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.api.conftest import Api
from tests.api.frame import Things, make_app, make_client
from tests.api.test_deployments import made, reached
from tests.api.waiting import until

from dg.core import tracing
from dg.core.access.models import SYSTEM
from dg.core.errors import Refused
from dg.settings.tree import Tracing

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Where spans end up that somebody else than dg collects."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("opentelemetry.trace.get_tracer", provider.get_tracer)
    with tracing.collecting(Tracing(), "0"):
        yield exporter
    provider.shutdown()


def named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


async def ended(exporter: InMemorySpanExporter) -> bool:
    return bool(named(exporter, "run"))


def ids(span: ReadableSpan) -> tuple[str, str | None]:
    """The trace, and the span above."""
    context = span.get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}", span.parent and f"{span.parent.span_id:016x}"


def test_without_a_collector_nothing_is_imported() -> None:
    code = (
        "import sys; from dg.core import tracing; from dg.settings.tree import Tracing\n"
        "with tracing.collecting(Tracing(), '0'), tracing.span('x', {}) as span:\n"
        "    assert not span.collected and tracing.traceparent() is None\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_a_request_belongs_to_its_caller_s_trace(
    tmp_path: Path, collected: InMemorySpanExporter
) -> None:
    async with make_client(make_app(Things(), tmp_path)) as client:
        headers = {"authorization": "Bearer viewer", "traceparent": f"00-{TRACE}-{CALLER}-01"}
        await client.get("/v1/things?limit=1", headers={**headers, "x-request-id": "mine"})
    [span] = named(collected, "GET /v1/things")
    assert ids(span) == (TRACE, CALLER)
    assert span.kind.name == "SERVER"
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/v1/things",
        "http.response.status_code": 200,
        "dg.request_id": "mine",
        "dg.principal": "id-of-viewer",
    }


@pytest.mark.parametrize("sent", ["", "00-0-0-01", f"00-{'0' * 32}-{CALLER}-01", "x" * 9000, "\x1b"])
async def test_a_trace_that_is_none_begins_a_new_one(
    tmp_path: Path, collected: InMemorySpanExporter, sent: str
) -> None:
    async with make_client(make_app(Things(), tmp_path)) as client:
        assert (await client.get("/v1/nothing", headers={"traceparent": sent})).status_code == 404
    [span] = named(collected, "GET")
    assert ids(span)[1] is None


async def test_a_failure_is_said_and_not_quoted(tmp_path: Path, collected: InMemorySpanExporter) -> None:
    things = Things()
    things.failure = RuntimeError("hunter2")
    async with make_client(make_app(things, tmp_path)) as client:
        await client.get("/v1/things?colour=red", headers={"authorization": "Bearer viewer"})
    with pytest.raises(RuntimeError), tracing.span("work", {}):
        raise things.failure
    spans = [*named(collected, "GET /v1/things"), *named(collected, "work")]
    assert [span.status.status_code.name for span in spans] == ["ERROR", "ERROR"]
    assert not any("hunter2" in span.to_json() for span in collected.get_finished_spans())


async def test_writes_come_below_requests_and_a_run_has_a_trace_of_its_own(
    api: Api, collected: InMemorySpanExporter, tmp_path: Path
) -> None:
    said = tmp_path / "traceparent"
    await api.core.pipelines.register(SYSTEM, api.pipeline(command=f"printenv TRACEPARENT > {said}"))
    async with api.caller("operator") as operator:
        deployment = await made(operator)
        await reached(operator, deployment, "success")
    await until(lambda: ended(collected))
    [asked] = named(collected, "POST /v1/deployments")
    below = [span for span in named(collected, "write") if ids(span)[0] == ids(asked)[0]]
    assert below
    [run] = named(collected, "run")
    attributes = run.attributes or {}
    assert (attributes["dg.deployment"], attributes["dg.status"]) == (deployment["id"], "success")
    context = run.get_span_context()
    assert context is not None
    assert said.read_text().startswith(f"00-{context.trace_id:032x}-{context.span_id:016x}-")


async def test_a_step_sees_no_trace_where_nobody_collects(api: Api, tmp_path: Path) -> None:
    said = tmp_path / "traceparent"
    await api.core.pipelines.register(SYSTEM, api.pipeline(command=f"echo none:$TRACEPARENT > {said}"))
    async with api.caller("operator") as operator:
        await reached(operator, await made(operator), "success")
    assert said.read_text().strip() == "none:"


class Collector(BaseHTTPRequestHandler):
    """Takes OTLP over HTTP."""

    taken: Sequence[Any] = ()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        type(self).taken = [*type(self).taken, (self.path, ExportTraceServiceRequest.FromString(body))]
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def test_spans_are_sent_to_the_collector_that_is_named() -> None:
    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        settings = Tracing(endpoint=f"http://127.0.0.1:{server.server_port}")
        with tracing.collecting(settings, "1.2.3"), tracing.span("work", {"dg.kind": "deploy"}):
            assert tracing.traceparent()
        server.shutdown()
        thread.join()
    [(path, request)] = Collector.taken
    [resource] = request.resource_spans
    service = {item.key: item.value.string_value for item in resource.resource.attributes}
    assert path == "/v1/traces"
    assert (service["service.name"], service["service.version"]) == ("dg", "1.2.3")
    assert [span.name for span in resource.scope_spans[0].spans] == ["work"]


def test_a_collector_that_is_away_does_not_hold_up_the_end() -> None:
    code = (
        "import time; from dg.core import tracing; from dg.settings.tree import Tracing\n"
        "with tracing.collecting(Tracing(endpoint='http://127.0.0.1:9'), '0'):\n"
        "    with tracing.span('x', {}): pass\n"
        "    began = time.monotonic()\n"
        "assert time.monotonic() - began < 6"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_a_collector_without_the_sdk_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with (
        pytest.raises(Refused, match=r"install dg\[tracing\]"),
        tracing.collecting(Tracing(endpoint="http://127.0.0.1:9"), "0"),
    ):
        pass
