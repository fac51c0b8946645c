"""Counters in Prometheus's terms."""

from prometheus_client.parser import text_string_to_metric_families

from wardwright.domain.chat import Usage
from wardwright.runtime.metrics import Metrics


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """What a scrape reads."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_each_kind_of_event_is_counted_under_its_labels() -> None:
    metrics = Metrics()
    metrics.request_ended("m", "completed", 0.3)
    metrics.request_ended("m", "completed", 3.0)
    metrics.request_ended("m", "provider_error", 0.3)
    metrics.attempt_ended("p", "completed", 0.2)
    metrics.attempt_ended("p", "connect", None)
    metrics.tokens_used("m", Usage(7, 3))
    metrics.tokens_used("m", Usage(1, 1))

    read = samples(metrics)
    assert read["wardwright_requests_total", frozenset({("model", "m"), ("status", "completed")})] == 2
    assert read["wardwright_requests_total", frozenset({("model", "m"), ("status", "provider_error")})] == 1
    assert read["wardwright_request_duration_seconds_count", frozenset({("model", "m")})] == 3
    assert read["wardwright_request_duration_seconds_bucket", frozenset({("model", "m"), ("le", "0.5")})] == 2
    assert read["wardwright_attempts_total", frozenset({("provider", "p"), ("outcome", "connect")})] == 1
    assert read["wardwright_time_to_first_token_seconds_count", frozenset({("provider", "p")})] == 1
    assert read["wardwright_tokens_total", frozenset({("model", "m"), ("type", "input")})] == 8
    assert read["wardwright_tokens_total", frozenset({("model", "m"), ("type", "output")})] == 4


def test_the_same_labels_of_two_instruments_are_two_counters() -> None:
    metrics = Metrics()
    metrics.request_ended("x", "completed", 0.1)
    metrics.attempt_ended("x", "completed", 0.1)
    read = samples(metrics)
    assert read["wardwright_requests_total", frozenset({("model", "x"), ("status", "completed")})] == 1
    assert read["wardwright_attempts_total", frozenset({("provider", "x"), ("outcome", "completed")})] == 1


def test_two_daemons_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.live_runs.inc()
    assert samples(one)["wardwright_live_runs", frozenset()] == 1
    assert samples(other)["wardwright_live_runs", frozenset()] == 0


def test_nothing_but_its_own_counters_is_shown() -> None:
    assert all(name.startswith("wardwright_") for name, _ in samples(Metrics()))
