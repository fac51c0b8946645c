"""Counters of the gateway in Prometheus's terms. They belong to the process, not to an actor, so a restart resets none of them."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from wardwright.domain.chat import Usage
from wardwright.domain.structured import OutputFinding
from wardwright.planner.attempts import Next, Retry, Step
from wardwright.receipts.events import StreamFinding
from wardwright.runtime.answer_policy import Again, Refused
from wardwright.runtime.gate import Gate
from wardwright.runtime.health import breaker_state
from wardwright.runtime.instruments import Counts, Durations
from wardwright.runtime.sink_figures import SinkFigures

_BREAKER_STATES = {"closed": 0, "half_open": 1, "open": 2}
_DURATIONS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """All instruments, on a registry of their own. Labels are model, provider and status names: never a session or a path."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._gates: Callable[[], Iterable[Gate]] = tuple
        self.requests = Counts(
            "wardwright_requests", "Requests by final status.", ["model", "status"], registry=self.registry
        )
        self.duration = Durations(
            "wardwright_request_duration_seconds",
            "From the parsed request to its closed receipt.",
            ["model"],
            bounds=_DURATIONS_S,
            registry=self.registry,
        )
        self.first_token = Durations(
            "wardwright_time_to_first_token_seconds",
            "From the upstream call to its first content.",
            ["provider"],
            bounds=_DURATIONS_S,
            registry=self.registry,
        )
        self.attempts = Counts(
            "wardwright_attempts", "Upstream calls by outcome.", ["provider", "outcome"], registry=self.registry
        )
        self.retries = Counts(
            "wardwright_retries",
            "Calls to the same target again, by what had failed.",
            ["provider", "reason"],
            registry=self.registry,
        )
        self.fallbacks = Counts(
            "wardwright_fallbacks",
            "Targets left for the next one, by provider left and why.",
            ["provider", "reason"],
            registry=self.registry,
        )
        self.permit_wait = Durations(
            "wardwright_permit_wait_seconds",
            "How long those calls waited for a permit that had to.",
            ["provider"],
            bounds=_DURATIONS_S,
            registry=self.registry,
        )
        self.permits_in_use = Gauge(
            "wardwright_permits_in_use", "Calls being made now.", ["provider"], registry=self.registry
        )
        self.permits_waiting = Gauge(
            "wardwright_permits_waiting", "Calls waiting for a permit now.", ["provider"], registry=self.registry
        )
        self.breaker_state = Gauge(
            "wardwright_breaker_state",
            "The circuit breaker: 0 closed, 1 half open, 2 open.",
            ["provider"],
            registry=self.registry,
        )
        self.tokens = Counts(
            "wardwright_tokens",
            "Tokens by direction, as reported or estimated.",
            ["model", "type"],
            registry=self.registry,
        )
        self.stream_rules = Counts(
            "wardwright_stream_rules_fired",
            "Answers on which a stream rule fired.",
            ["model", "rule", "action"],
            registry=self.registry,
        )
        self.withheld = Counts(
            "wardwright_answers_withheld",
            "Answers that rules have ended or rejected, by what followed.",
            ["model", "outcome"],
            registry=self.registry,
        )
        self.forms_judged = Counts(
            "wardwright_structured_outputs",
            "Answers held to a form, by the check that rejected them, or accepted.",
            ["model", "outcome"],
            registry=self.registry,
        )
        self.live_runs = Gauge("wardwright_live_runs", "Requests being served now.", registry=self.registry)
        self.event_watchers = Gauge(
            "wardwright_event_watchers", "Who watches the daemon's events now.", registry=self.registry
        )
        self.actor_crashes = Counter(
            "wardwright_actor_crashes", "Actors that ended abnormally, by kind.", ["kind"], registry=self.registry
        )

        self.sinks = SinkFigures(self.registry)

    def request_ended(self, model: str, status: str, seconds: float) -> None:
        """Count a request and its duration."""
        self.requests.add(model, status)
        self.duration.add(model, seconds=seconds)

    def attempt_ended(self, provider: str, outcome: str, first_token_s: float | None) -> None:
        """Count an upstream call; `first_token_s` is None when nothing came."""
        self.attempts.add(provider, outcome)
        if first_token_s is not None:
            self.first_token.add(provider, seconds=first_token_s)

    def went_on(self, left: tuple[str, str] | None, step: Step) -> None:
        """Count what follows a candidate that did not answer: `left` is its provider, and why."""
        if left is not None and isinstance(step, Retry):
            self.retries.add(*left)
        elif left is not None and isinstance(step, Next):
            self.fallbacks.add(*left)

    def waited_for_permit(self, provider: str, seconds: float) -> None:
        """Count a wait for a permit, whatever came of it."""
        self.permit_wait.add(provider, seconds=seconds)

    def watch(self, gates: Callable[[], Iterable[Gate]]) -> None:
        """Show these gates whenever somebody looks."""
        self._gates = gates

    def rules_fired(self, model: str, finding: StreamFinding) -> None:
        """Count the stream rules that fired on an answer, each once."""
        for rule_id, action in {f.rule_id: "shadow" if f.shadow else f.action for f in finding.fired}.items():
            self.stream_rules.add(model, rule_id, action)

    def answer_withheld(self, model: str, following: Again | Refused) -> None:
        """Count an answer that rules have ended or rejected, by what followed."""
        self.withheld.add(model, following.status if isinstance(following, Refused) else "asked_again")

    def form_judged(self, model: str, finding: OutputFinding) -> None:
        """Count an answer whose form was judged."""
        self.forms_judged.add(model, finding.guard_type or "accepted")

    def tokens_used(self, model: str, usage: Usage) -> None:
        """Count the tokens of an attempt."""
        self.tokens.add(model, "input", by=usage.prompt_tokens)
        self.tokens.add(model, "output", by=usage.completion_tokens)

    def render(self) -> bytes:
        """The exposition text."""
        for gate in self._gates():
            self.permits_in_use.labels(gate.provider_id).set(gate.permits.in_use)
            self.permits_waiting.labels(gate.provider_id).set(gate.permits.waiting)
            self.breaker_state.labels(gate.provider_id).set(_BREAKER_STATES[breaker_state(gate)])
        return generate_latest(self.registry)
