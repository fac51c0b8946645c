"""The book of a run's attempts: what each has brought and cost, told to the receipt, the provider's health and the metrics."""

from collections.abc import Callable

import msgspec

from supervisors import System
from wardwright.domain.chat import Usage
from wardwright.domain.errors import Failure
from wardwright.domain.money import as_usd
from wardwright.domain.route import RequestFacts, Target
from wardwright.domain.tools import storable_names
from wardwright.planner.cost import cost_nano_usd, estimated_usage, total_usage
from wardwright.receipts.events import AttemptFinished, AttemptStatus
from wardwright.runtime.attempt import Tally
from wardwright.runtime.gate import Admission
from wardwright.runtime.governed_answer import GovernedAnswer
from wardwright.runtime.ledger import Ledger
from wardwright.runtime.metrics import Metrics
from wardwright.runtime.receipt_writer import ReceiptWriter
from wardwright.runtime.resumption import Asking


class LiveAttempt(msgspec.Struct, frozen=True):
    """The upstream call under way: whom it asks for what, since when by the wall clock, its way through the provider's gate, and the rules."""

    number: int
    target: Target
    asking: Asking
    started_at: float
    admission: Admission
    tally: Tally
    governed: GovernedAnswer | None


class AttemptBook:
    """What the attempts of one request have come to so far."""

    def __init__(
        self,
        model_id: str,
        writer: ReceiptWriter,
        *,
        system: System,
        ledger: Ledger,
        metrics: Metrics,
        wall_clock: Callable[[], float],
    ) -> None:
        self._model_id = model_id
        self._writer = writer
        self._system = system
        self._ledger = ledger
        self._metrics = metrics
        self._wall_clock = wall_clock
        self._usages: list[Usage] = []
        self._heard: list[Usage] = []
        self.live: LiveAttempt | None = None
        self.tally: Tally | None = None
        """Of the attempt under way, or else of the last one."""
        self.cost: int | None = None
        self.released_bytes = 0

    @property
    def usage(self) -> Usage | None:
        """What all attempts so far have used."""
        return total_usage(self._usages)

    @property
    def heard_usage(self) -> Usage | None:
        """What those attempts have used of whose answers a part has left."""
        return total_usage(self._heard)

    def begin(
        self, number: int, target: Target, asking: Asking, admission: Admission, governed: GovernedAnswer | None
    ) -> LiveAttempt:
        """An upstream call begins."""
        self.tally = Tally(self._system.now())
        self.live = LiveAttempt(number, target, asking, self._wall_clock(), admission, self.tally, governed)
        return self.live

    def end(self, failure: Failure | None, *, cancelled: bool = False, is_fair: bool = True) -> None:
        """The upstream call under way has ended, if one is.

        A call that rules have ended was called off in the middle of a stream, and says nothing against its provider.
        """
        live, self.live = self.live, None
        if live is None:
            return
        target, tally = live.target, live.tally
        governed = live.governed
        latency_ms = milliseconds(self._system.now() - tally.started)
        first_token_s = None if tally.first_token is None else tally.first_token - tally.started
        self.released_bytes += tally.released_bytes
        usage, cost = self._reckon(target, tally, live.asking.facts)
        if usage is not None and tally.has_released:
            self._heard.append(usage)
        status: AttemptStatus = "completed" if failure is None else "failed"
        if governed is not None and governed.is_stopped:
            status = "stopped" if governed.violation is None else "rejected"
        elif cancelled:
            status = "cancelled"
        finding = None if governed is None else governed.finding()
        output = None if governed is None else governed.output
        self._writer.note(
            AttemptFinished(
                attempt=live.number,
                model=target.id,
                status=status,
                started_at=live.started_at,
                latency_ms=latency_ms,
                first_token_ms=None if first_token_s is None else milliseconds(first_token_s),
                generated_bytes=tally.generated_bytes,
                released_bytes=tally.released_bytes,
                finish_reasons=tuple(tally.finish_reasons),
                usage=usage,
                cost_usd=None if cost is None else as_usd(cost),
                failure=failure,
                stream_policy=finding,
                repeated_bytes=0 if governed is None else governed.repeated_bytes,
                structured_output=output,
                called_tools=storable_names(tally.called_tools) if tally.called_tools else (),
            )
        )
        if status in ("cancelled", "stopped"):
            live.admission.call_off()
        else:
            live.admission.settle(failure, latency_ms, is_fair=is_fair)
        self._metrics.attempt_ended(
            target.provider, status if failure is None else failure.failure_class, first_token_s
        )
        if usage is not None:
            self._metrics.tokens_used(self._model_id, usage)
        if finding is not None:
            self._metrics.rules_fired(self._model_id, finding)
        if output is not None:
            self._metrics.form_judged(self._model_id, output)

    def _reckon(self, target: Target, tally: Tally, facts: RequestFacts) -> tuple[Usage | None, int | None]:
        """What an attempt has used and cost. Of an answer that was begun and broken off, the provider may never tell."""
        usage = tally.usage
        if usage is None and tally.first_token is not None:
            usage = estimated_usage(facts.window_needed_at(target) - facts.output_budget, tally.generated_bytes)
        if usage is None:
            return None, None
        self._usages.append(usage)
        if target.price is None:
            return usage, None
        cost = cost_nano_usd(usage, target.price)
        self.cost = (self.cost or 0) + cost
        self._ledger.note_spending(self._model_id, target.id, cost)
        return usage, cost


def milliseconds(seconds: float) -> float:
    """A length of time as receipts have it."""
    return round(seconds * 1000, 3)
