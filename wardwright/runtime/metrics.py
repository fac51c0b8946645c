"""Counters of the gateway in Prometheus's terms. They belong to the process, not to an actor, so a restart resets none of them."""

from typing import TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from wardwright.domain.chat import Usage

I = TypeVar("I", Counter, Histogram)

_DURATIONS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """All instruments, on a registry of their own. Labels are model, provider and status names: never a session or a path."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._children: dict[tuple[object, ...], object] = {}
        self.requests = Counter(
            "wardwright_requests", "Requests by final status.", ["model", "status"], registry=self.registry
        )
        self.duration = Histogram(
            "wardwright_request_duration_seconds",
            "From the parsed request to its closed receipt.",
            ["model"],
            buckets=_DURATIONS_S,
            registry=self.registry,
        )
        self.first_token = Histogram(
            "wardwright_time_to_first_token_seconds",
            "From the upstream call to its first content.",
            ["provider"],
            buckets=_DURATIONS_S,
            registry=self.registry,
        )
        self.attempts = Counter(
            "wardwright_attempts", "Upstream calls by outcome.", ["provider", "outcome"], registry=self.registry
        )
        self.tokens = Counter(
            "wardwright_tokens",
            "Tokens by direction, as reported or estimated.",
            ["model", "type"],
            registry=self.registry,
        )
        self.live_runs = Gauge("wardwright_live_runs", "Requests being served now.", registry=self.registry)
        self.actor_crashes = Counter(
            "wardwright_actor_crashes", "Actors that ended abnormally, by kind.", ["kind"], registry=self.registry
        )

    def request_ended(self, model: str, status: str, seconds: float) -> None:
        """Count a request and its duration."""
        self._child(self.requests, model, status).inc()
        self._child(self.duration, model).observe(seconds)

    def attempt_ended(self, provider: str, outcome: str, first_token_s: float | None) -> None:
        """Count an upstream call; `first_token_s` is None when nothing came."""
        self._child(self.attempts, provider, outcome).inc()
        if first_token_s is not None:
            self._child(self.first_token, provider).observe(first_token_s)

    def tokens_used(self, model: str, usage: Usage) -> None:
        """Count the tokens of an attempt."""
        self._child(self.tokens, model, "input").inc(usage.prompt_tokens)
        self._child(self.tokens, model, "output").inc(usage.completion_tokens)

    def _child(self, instrument: I, *labels: str) -> I:
        """The instrument for these labels; looking it up in the library takes a lock and builds the key anew each time."""
        key = (instrument, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = instrument.labels(*labels)
        return cast("I", child)

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)
