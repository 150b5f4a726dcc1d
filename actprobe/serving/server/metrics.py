"""Prometheus metrics, by TensorFlow Serving's names where it has them.

``:tensorflow:serving:request_count``, ``request_latency`` and ``runtime_latency`` (microseconds) are
TensorFlow Serving's; what begins with ``actprobe_`` is this server's own.
"""

from __future__ import annotations

import threading
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_MICROSECONDS = tuple(100.0 * 1.8**i for i in range(22))  # 0.1 ms to 23 s


class Metrics:
    """Counts and times of requests; `served` gives name -> versions that answer."""

    def __init__(self, served: Callable[[], Mapping[str, list[int]]]) -> None:
        from prometheus_client import CollectorRegistry, Histogram, disable_created_metrics

        # TensorFlow Serving has no series of when a series began.
        disable_created_metrics()  # type: ignore[no-untyped-call,unused-ignore]
        self._registry = CollectorRegistry(auto_describe=False)
        self._served = served
        self._lock = threading.Lock()
        self._requests: Tally[tuple[str, str]] = Tally()
        self._examples: Tally[str] = Tally()
        self.in_flight = 0
        options: dict[str, Any] = {"buckets": _MICROSECONDS, "registry": self._registry}
        self._latency = Histogram(
            ":tensorflow:serving:request_latency",
            "Microseconds from the request to the answer.",
            ["model_name", "API", "entrypoint"],
            **options,
        )
        self._runtime = Histogram(
            ":tensorflow:serving:runtime_latency",
            "Microseconds in TensorFlow, waiting for a batch included.",
            ["model_name", "API", "runtime"],
            **options,
        )
        self._registry.register(_Collected(self))

    def began(self) -> None:
        """Count a request in."""
        with self._lock:
            self.in_flight += 1

    def ended(self, model: str, entrypoint: str, status: str, seconds: float) -> None:
        """Count a request out, by gRPC status.

        `model` is empty for a name that is not served, so that callers cannot make up series.
        """
        with self._lock:
            self.in_flight -= 1
            self._requests[model, status] += 1
        if status == "OK":
            self._latency.labels(model, "predict", entrypoint).observe(seconds * 1e6)

    def ran(self, model: str, examples: int, seconds: float) -> None:
        """Note a run of a model on so many examples."""
        with self._lock:
            self._examples[model] += examples
        self._runtime.labels(model, "predict", "TF1").observe(seconds * 1e6)

    def collect(self) -> Iterable[Any]:
        """Give what is counted here and not by the library, one family at a time."""
        from prometheus_client.core import Metric

        with self._lock:
            requests, examples, in_flight = dict(self._requests), dict(self._examples), self.in_flight
        # TensorFlow Serving's counter has no "_total", which the library would add to its type line.
        name = ":tensorflow:serving:request_count"
        family = Metric(name, "Requests to predict by status.", "unknown")
        for (model, status), count in sorted(requests.items()):
            family.add_sample(name, {"model_name": model, "status": status}, count)
        yield family
        family = Metric("actprobe_examples", "Examples that went through a model.", "counter")
        for model, count in sorted(examples.items()):
            family.add_sample("actprobe_examples_total", {"model_name": model}, count)
        yield family
        family = Metric("actprobe_requests_in_flight", "Requests that wait or run.", "gauge")
        family.add_sample("actprobe_requests_in_flight", {}, in_flight)
        yield family
        family = Metric("actprobe_model_versions", "1 for each version that answers.", "gauge")
        for model, versions in sorted(self._served().items()):
            for version in versions:
                labels = {"model_name": model, "version": str(version)}
                family.add_sample("actprobe_model_versions", labels, 1)
        yield family

    def page(self) -> bytes:
        """Write all metrics in Prometheus' text format."""
        from prometheus_client import generate_latest

        return bytes(generate_latest(self._registry))


class _Collected:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Any]:
        return self._metrics.collect()
