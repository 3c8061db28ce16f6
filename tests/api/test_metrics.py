"""What is counted of requests, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from dg.api.metrics import SECONDS, Metrics

DIAGNOSTICS = {
    "active_runs": 0,
    "queue": {"waiting": 0},
    "ledger": {"seq": 0},
    "loop_lag": {"last": 0.0},
}


def samples(metrics: Metrics, family: str) -> Iterator[Sample]:
    for found in text_string_to_metric_families(metrics.text(DIAGNOSTICS).decode()):
        if found.name == family:
            yield from found.samples


def test_requests_are_counted_by_operation_and_status() -> None:
    metrics = Metrics()
    for status in (200, 200, 404):
        metrics.observe("getHealth", status, 0.001)
    counted = {sample.labels["status"]: sample.value for sample in samples(metrics, "dg_http_requests")}
    assert counted == {"200": 2.0, "404": 1.0}


def test_a_request_counts_in_each_bucket_whose_bound_it_keeps() -> None:
    metrics = Metrics()
    for seconds in (0.0005, 0.0006, 60.0):
        metrics.observe("getHealth", 200, seconds)
    found = list(samples(metrics, "dg_http_request_seconds"))
    buckets = {sample.labels["le"]: sample.value for sample in found if sample.name.endswith("_bucket")}
    assert [*buckets] == [*map(str, SECONDS), "+Inf"]
    assert (buckets["0.0005"], buckets["0.001"], buckets["10.0"], buckets["+Inf"]) == (1.0, 2.0, 2.0, 3.0)
    others = {sample.name: sample.value for sample in found if not sample.name.endswith("_bucket")}
    assert others == {"dg_http_request_seconds_count": 3.0, "dg_http_request_seconds_sum": 60.0011}
