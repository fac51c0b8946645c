"""Instruments of our own read as the library's do."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from wardwright.runtime.instruments import Counts, Durations

BOUNDS = (0.01, 0.5, 1, 300)
LABELS = st.tuples(st.sampled_from(["a", 'b"\n']), st.sampled_from(["x", "y"]))
SECONDS = st.one_of(st.sampled_from(BOUNDS), st.floats(0, 1000, allow_nan=False))


def shown(registry: CollectorRegistry) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """What a scrape reads, but when each began."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@given(st.lists(st.tuples(LABELS, st.integers(0, 9)), max_size=8), st.lists(st.tuples(LABELS, SECONDS), max_size=8))
def test_a_scrape_reads_what_it_would_read_of_the_librarys(
    counted: list[tuple[tuple[str, str], int]], observed: list[tuple[tuple[str, str], float]]
) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    counts = Counts("things", "Things.", ["one", "two"], registry=ours)
    counter = Counter("things", "Things.", ["one", "two"], registry=theirs)
    durations = Durations("waits_seconds", "Waits.", ["one", "two"], bounds=BOUNDS, registry=ours)
    histogram = Histogram("waits_seconds", "Waits.", ["one", "two"], buckets=BOUNDS, registry=theirs)
    for labels, by in counted:
        counts.add(*labels, by=by)
        counter.labels(*labels).inc(by)
    for labels, seconds in observed:
        durations.add(*labels, seconds=seconds)
        histogram.labels(*labels).observe(seconds)
    assert shown(ours) == shown(theirs)


def test_a_counter_tells_since_when_it_counts() -> None:
    registry = CollectorRegistry()
    Counts("things", "Things.", ["one"], registry=registry).add("a")
    assert (registry.get_sample_value("things_created", {"one": "a"}) or 0) > 0
