"""Instruments that every request touches: counts and durations by label, in plain numbers.

The library's own take a lock for each number, three of them for a duration, and are looked up under another; these are written from one
event loop and only read when somebody scrapes. What a scrape reads is the same.
"""

import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

Labels = tuple[str, ...]


class Counts(Collector):
    """A counter for each combination of labels."""

    def __init__(self, name: str, text: str, labels: Sequence[str], *, registry: CollectorRegistry) -> None:
        self.label_names = tuple(labels)
        self._name = name
        self._text = text
        self._counts: dict[Labels, float] = {}
        self._since: dict[Labels, float] = {}
        registry.register(self)

    def add(self, *labels: str, by: float = 1) -> None:
        """Count one, or `by` at once."""
        count = self._counts.get(labels)
        if count is None:
            self._counts[labels], self._since[labels] = by, time.time()
        else:
            self._counts[labels] = count + by

    def describe(self) -> list[Metric]:
        """The family without its counts."""
        return [CounterMetricFamily(self._name, self._text, labels=self.label_names)]

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        family = CounterMetricFamily(self._name, self._text, labels=self.label_names)
        for labels, count in self._counts.items():
            family.add_metric(labels, count, created=self._since[labels])
        yield family


class Durations(Collector):
    """A histogram of seconds for each combination of labels. `bounds` are those of the buckets, without infinity."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], *, bounds: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self.label_names = tuple(labels)
        self._name = name
        self._text = text
        self._bounds = bounds
        self._buckets: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}
        registry.register(self)

    def add(self, *labels: str, seconds: float) -> None:
        """Take in one duration."""
        buckets = self._buckets.get(labels)
        if buckets is None:
            buckets, self._sums[labels] = [0] * (len(self._bounds) + 1), 0.0
            self._buckets[labels] = buckets
        buckets[bisect_left(self._bounds, seconds)] += 1
        self._sums[labels] += seconds

    def describe(self) -> list[Metric]:
        """The family without its durations."""
        return [HistogramMetricFamily(self._name, self._text, labels=self.label_names)]

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        family = HistogramMetricFamily(self._name, self._text, labels=self.label_names)
        bounds = [*map(floatToGoString, self._bounds), "+Inf"]
        for labels, buckets in self._buckets.items():
            family.add_metric(labels, list(zip(bounds, accumulate(buckets), strict=True)), self._sums[labels])
        yield family
