"""The numbers of sinks in Prometheus's terms, taken off their facts whenever somebody looks."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector


class _Figure(NamedTuple):
    name: str
    fact: str
    is_total: bool
    text: str


_FIGURES = (
    _Figure("lag_entries", "lag_entries", False, "Entries of the log that wait for the sink, once that is known."),
    _Figure("lag_seconds", "lag_seconds", False, "How long the oldest of what waits has waited, once that is known."),
    _Figure("dead_letters", "dead_letters", False, "Records that can be sent again on demand."),
    _Figure("up", "is_up", False, "Whether the last delivery, or attempt at one, succeeded."),
    _Figure("paused", "is_paused", False, "Whether somebody has paused it."),
    _Figure("delivered", "delivered", True, "Records delivered."),
    _Figure("refused", "refused", True, "Records that the sink has refused for good."),
    _Figure("failed_batches", "failed_batches", True, "Deliveries that failed, to be tried again."),
    _Figure("dropped_entries", "dropped_entries", True, "Entries passed over because the sink was too far behind."),
    _Figure("lost_entries", "lost_entries", True, "Entries that retention took before the sink came to them."),
)


class SinkFigures(Collector):
    """A family for each figure, a sample for each sink of which it is known."""

    label_names = ("sink",)

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sinks: Callable[[], Iterable[Mapping[str, Any]]] = tuple
        registry.register(self)

    def watch(self, sinks: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
        """Show these sinks from now on: the facts of each, as `/admin/sinks` has them."""
        self._sinks = sinks

    def describe(self) -> list[Metric]:
        """The families without their samples."""
        return [_family(figure) for figure in _FIGURES]

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        sinks = [
            {**facts, "is_up": facts["state"] != "failing", "is_paused": facts["state"] == "paused"}
            for facts in self._sinks()
        ]
        for figure in _FIGURES:
            family = _family(figure)
            for facts in sinks:
                if facts[figure.fact] is not None:
                    family.add_metric([facts["id"]], float(facts[figure.fact]))
            yield family


def _family(figure: _Figure) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if figure.is_total else GaugeMetricFamily
    return kind(f"wardwright_sink_{figure.name}", figure.text, labels=SinkFigures.label_names)
