"""Counters of the gateway in Prometheus's terms. They belong to the process, not to an actor, so a restart resets none of them."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

_DURATIONS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """All instruments, on a registry of their own. Labels are model, provider and status names: never a session or a path."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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
            "wardwright_actor_crashes", "Actors that ended abnormally.", ["actor"], registry=self.registry
        )

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)
