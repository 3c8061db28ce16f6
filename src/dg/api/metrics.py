"""The server's own metrics in the Prometheus text format."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections import Counter as Counts
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from dg.api.feed.messages import moved_to
from dg.core.deployments.models import Status
from dg.core.ledger import Entry
from dg.core.types import Environment

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
BOUNDS = (*map(floatToGoString, SECONDS), "+Inf")
UNROUTED = "none"
"""The operation of requests that meant none: their paths are a stranger's text and never become a label."""


@dataclass
class Sockets:
    """WebSockets: those that are authenticated now, and those cut off since the start for being too slow."""

    clients: int = 0
    cut_off: int = 0


class _Times:
    """How long the requests of one operation took: how many in each bucket, and all together."""

    def __init__(self) -> None:
        self.buckets = [0] * len(BOUNDS)
        self.seconds = 0.0

    def cumulative(self) -> list[tuple[str, float]]:
        """Each bound with the requests that took no longer."""
        return list(zip(BOUNDS, itertools.accumulate(self.buckets), strict=True))


class _Requests(Collector):
    """The requests that were answered. They are counted in the event loop alone, so without the locks of
    prometheus_client, which cost more than the counting."""

    def __init__(self) -> None:
        self._counts: Counts[tuple[str, int]] = Counts()
        self._times: defaultdict[str, _Times] = defaultdict(_Times)

    def observe(self, operation: str, status: int, seconds: float) -> None:
        self._counts[operation, status] += 1
        times = self._times[operation]
        times.buckets[bisect_left(SECONDS, seconds)] += 1
        times.seconds += seconds

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for when somebody looks."""
        counts = CounterMetricFamily("dg_http_requests", "Requests answered.", labels=("operation", "status"))
        for (operation, status), count in self._counts.items():
            counts.add_metric((operation, str(status)), count)
        yield counts
        took = HistogramMetricFamily(
            "dg_http_request_seconds",
            "Time until a request was answered, streams and long polls included.",
            labels=("operation",),
        )
        for operation, times in self._times.items():
            took.add_metric((operation,), times.cumulative(), times.seconds)
        yield took


class Metrics:
    """Counts requests as they end; what the core knows is read when somebody looks."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        requests = _Requests()
        self._registry.register(requests)
        self.observe = requests.observe
        """Count one answered request: its operation, its status, and the seconds it took."""
        moves = Counter(
            "dg_deployments",
            "Deployments that came to a status since the server started.",
            ("status", "environment"),
            registry=self._registry,
        )
        self._deployments = {
            (status, environment): moves.labels(status, environment)
            for status in map(str, Status)
            for environment in map(str, Environment)
        }
        self._runs = self._gauge("dg_active_runs", "Deployments that hold a lane now.")
        self._waiting = self._gauge("dg_waiting_deployments", "Deployments that wait for a gate or a lane.")
        self._seq = self._gauge("dg_ledger_seq", "The newest event.")
        self._lag = self._gauge("dg_event_loop_lag_seconds", "How late the event loop last was.")
        self._refused = Counter(
            "dg_rate_limited", "Requests that were one too many.", ("rate_class",), registry=self._registry
        )
        self.sockets = Sockets()
        clients = self._gauge("dg_websocket_clients", "WebSocket clients that are authenticated.")
        clients.set_function(lambda: self.sockets.clients)
        self._ws_aborted = Counter(
            "dg_websocket_aborted", "WebSocket clients cut off for being too slow.", registry=self._registry
        )

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(name, text, labels, registry=self._registry)

    def refuse(self, rate_class: str) -> None:
        """Count a request that was one too many."""
        self._refused.labels(rate_class).inc()

    def cut_off(self) -> None:
        """Count a WebSocket client that was too slow."""
        self.sockets.cut_off += 1
        self._ws_aborted.inc()

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Count the deployments that facts move; called after each commit."""
        for entry in entries:
            if (status := moved_to(entry)) and entry.environment:
                self._deployments[status, entry.environment].inc()

    def text(self, diagnostics: Mapping[str, Any]) -> bytes:
        """Everything in the text format, the core's figures as `System.diagnostics` gives them."""
        self._runs.set(diagnostics["active_runs"])
        self._waiting.set(diagnostics["queue"]["waiting"])
        self._seq.set(diagnostics["ledger"]["seq"])
        self._lag.set(diagnostics["loop_lag"]["last"])
        return generate_latest(self._registry)
