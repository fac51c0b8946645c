"""A run: one live request, from its plan to its closed receipt.

The run adopts the task of the request that caused it and is a full member of the tree while it lasts: visible, killable, with a
deadline and a receipt. That was measured against a task of its own: a hand-over per chunk would cost more than the rest of the
path. Its order of work is its promise:

1. the decision and the first attempt are on disk before the first upstream call;
2. nothing leaves for the client before the first content has come;
3. the receipt is closed on disk before the answer ends;
4. whatever happens - the client leaves, an operator kills the run, a neighbour crashes - the receipt is closed and a client that
   is still there gets one well-formed error.
"""

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import anyio
import structlog

from supervisors import ActorDown, ActorKilled, CallTimeout, NamedRef, System, adopt, child_path, count_children
from wardwright.domain.caller import Caller
from wardwright.domain.chat import ChatRequest, Completion, Usage
from wardwright.domain.errors import (
    ActorRestarting,
    DeadlineExceeded,
    Failure,
    InternalError,
    ProviderError,
    StorageUnavailable,
    WardwrightError,
)
from wardwright.domain.money import as_usd
from wardwright.domain.route import ModelDefinition, RequestFacts, RoutePlan, Target
from wardwright.domain.stream import Frame
from wardwright.planner.attempts import GiveUp, Retry
from wardwright.planner.cost import cost_nano_usd, estimated_usage, total_usage
from wardwright.ports.provider import UpstreamCall
from wardwright.receipts.events import (
    AttemptFinished,
    AttemptStarted,
    AttemptStatus,
    Closed,
    FinalStatus,
    Opened,
    PassedOver,
)
from wardwright.runtime import attempt
from wardwright.runtime.candidates import Candidates
from wardwright.runtime.decision import refusal_of
from wardwright.runtime.gate import Admission, NotNow
from wardwright.runtime.health import ProviderMissing
from wardwright.runtime.ledger import Ledger
from wardwright.runtime.metrics import Metrics
from wardwright.runtime.model import RequestEnded
from wardwright.runtime.provider import ProviderBoard
from wardwright.runtime.receipt_writer import ReceiptWriter
from wardwright.runtime.responder import AnswerHead, Responder
from wardwright.runtime.tree import RUNS, STORAGE, model_path

_CLOSE_PATIENCE_S = 15.0
_JOIN_PATIENCE_S = 5.0
_FAIR_SHARE = 0.5
_STOPPING = "the gateway is stopping; ask again"

_log = structlog.get_logger("wardwright.run")


@dataclass(frozen=True, slots=True)
class RunParts:
    """What every run shares."""

    system: System
    providers: ProviderBoard
    metrics: Metrics
    boot: str
    ledger: Ledger
    wall_clock: Callable[[], float] = time.time
    jitter: Callable[[], float] = random.random
    draw: Callable[[int], int] = random.randrange


@dataclass(frozen=True, slots=True)
class RunRequest:
    """An accepted request: what to run, for whom, under which definition."""

    request: ChatRequest
    caller: Caller
    definition: ModelDefinition
    facts: RequestFacts
    plan: RoutePlan
    opened: Opened
    receipt_id: str
    request_id: str
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. `error` is what the client is told; without one, `completion` or `tail` is still to be delivered."""

    status: FinalStatus
    error: WardwrightError | None = None
    completion: Completion | None = None
    tail: Sequence[Frame] = ()


@dataclass(frozen=True, slots=True)
class LiveAttempt:
    """The upstream call under way: whom it asks, since when by the wall clock, and its way through the provider's gate."""

    target: Target
    started_at: float
    admission: Admission


class Run:
    """One live request; see the module's page for its order of work."""

    def __init__(self, asked: RunRequest, parts: RunParts, responder: Responder) -> None:
        self._asked = asked
        self._parts = parts
        self._responder = responder
        self._writer = ReceiptWriter(asked.receipt_id, checkpointer=parts.system.named(STORAGE), now=parts.wall_clock)
        self._head = AnswerHead(request_id=asked.request_id, receipt_id=asked.receipt_id, definition=asked.definition)
        self._phase = "joining"
        self._began = parts.system.now()
        self._deadline = math.inf
        self._candidates = Candidates(
            asked.plan, asked.facts, max_attempts=asked.definition.max_attempts, jitter=parts.jitter
        )
        self._tally: attempt.Tally | None = None
        self._live_attempt: LiveAttempt | None = None
        self._released = False
        self._is_interrupted = False
        self._released_bytes = 0
        self._is_answered = False
        self._usages: list[Usage] = []
        self._cost: int | None = None
        self._decided: Outcome | None = None
        self._delivery: Literal["due", "begun", "done"] = "due"

    async def execute(self) -> None:
        """Serve the request to its end.

        Raises: WardwrightError: what the client is to be told; the receipt is closed by then.
        Cancellation: cancel point; the receipt is closed (as `interrupted`) before the cancellation goes on.
        """
        self._responder.begin(self._head)
        self._writer.note(self._asked.opened)  # before anything can fail: a receipt without its opening says nothing
        outcome = Outcome(
            "internal_error", InternalError("the gateway failed on this request; its receipt finds the report")
        )
        try:
            outcome = await self._as_member()
        except ActorKilled as killed:
            outcome = self._killed(killed)
            if self._decided is not None and self._delivery != "begun":
                outcome = self._decided  # the receipt says already how it ended: the kill came too late to change that
        except anyio.get_cancelled_exc_class():
            outcome = Outcome("interrupted", ActorRestarting(_STOPPING))
            raise
        except Exception:  # noqa: BLE001 - this is the actor loop of an adopted actor: a bug ends one run, reported
            _log.exception("a run crashed", receipt_id=self._asked.receipt_id, model=self._asked.definition.id)
        finally:
            if not self._writer.is_settled:
                with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSE_PATIENCE_S):
                    outcome = await self._close(outcome)
        if outcome.error is not None:
            raise outcome.error
        if outcome.status == "completed" and self._delivery == "due":
            await self._deliver(outcome)

    def interrupt(self) -> None:
        """The daemon stops and has no more patience: the run is killed, and its receipt closes as `interrupted`."""
        self._is_interrupted = True
        member = self._parts.system.whereis(child_path(RUNS, self._asked.receipt_id))
        if member is not None:
            member.kill()

    @property
    def served_by(self) -> str | None:
        """The target whose answer was released, or is to be; None when none was."""
        selected = self._head.selected_target
        return selected.id if self._is_answered and selected is not None else None

    @property
    def usage(self) -> Usage | None:
        """What all attempts so far have used."""
        return total_usage(self._usages)

    @property
    def cost_nano_usd(self) -> int:
        """What all attempts so far have cost."""
        return self._cost or 0

    def status(self) -> Mapping[str, object]:
        """The run as the tree shows it; never content."""
        tally, released_bytes = self._tally, self._released_bytes
        if tally is not None and self._live_attempt is not None:
            released_bytes += tally.released_bytes
        return {
            "receipt_id": self._asked.receipt_id,
            "model": self._asked.definition.id,
            "stream": self._asked.request.stream,
            "phase": self._phase,
            "attempt": self._head.attempts,
            "target": None if self._live_attempt is None else self._live_attempt.target.id,
            "generated_bytes": 0 if tally is None else tally.generated_bytes,
            "released_bytes": released_bytes,
        }

    async def _as_member(self) -> Outcome:
        """Do the work as a member of the tree; while the run supervisor restarts, wait for it within reason."""
        runs = self._parts.system.named(RUNS)
        try:
            try:
                return await self._serve_below(runs)
            except ActorDown:
                await count_children(runs, timeout=_JOIN_PATIENCE_S)  # its answer means that it is back
                return await self._serve_below(runs)
        except (ActorDown, CallTimeout):
            return Outcome("internal_error", ActorRestarting("the gateway is restarting the part that serves requests"))

    async def _serve_below(self, runs: NamedRef) -> Outcome:
        """Serve for as long as the client stays. Raises: ActorDown before anything was done, when `runs` takes no members now."""
        async with adopt(runs, self._asked.receipt_id, status=self.status):
            try:
                with anyio.CancelScope() as presence:
                    self._responder.watch_client(presence.cancel)
                    outcome = await self._close(await self._attempt_all())
                    await self._deliver(outcome)
                    return outcome
            finally:
                self._responder.unwatch_client()
        return Outcome("client_cancelled")

    async def _attempt_all(self) -> Outcome:
        """Execute the plan, candidate by candidate."""
        plan, facts = self._asked.plan, self._asked.facts
        if not plan.targets:
            return Outcome(*refusal_of(plan, facts))
        step = self._candidates.step(released=False, time_left_s=math.inf)
        while not isinstance(step, GiveUp):
            if isinstance(step, Retry):
                self._phase = "waiting to retry"
                await anyio.sleep(step.delay_s)
            outcome = await self._try(step.target)
            if outcome is not None:
                return outcome
            step = self._candidates.step(released=self._released, time_left_s=self._time_left_s())
            self._parts.metrics.went_on(self._candidates.left, step)
        return self._given_up()

    async def _try(self, target: Target) -> Outcome | None:
        """Call a target if its provider's gate lets the call through; None when the next step is to be decided."""
        try:
            entered = await self._enter(target)
        except StorageUnavailable as error:
            return Outcome("internal_error", error)
        if isinstance(entered, NotNow):
            return self._out_of_time() if self._time_left_s() <= 0 else None
        with entered:
            return await self._attempt(target, entered)

    async def _enter(self, target: Target) -> Admission | NotNow:
        """Pass the provider's gate, in one's turn. Raises: StorageUnavailable."""
        system = self._parts.system
        try:
            gate = self._parts.providers.health.gate(target.provider)
        except ProviderMissing:
            return self._pass_over(target, NotNow("not_configured"))
        if self._deadline == math.inf:
            # the first target's patience is the request's: a fallback's own must not shorten it
            self._deadline = self._began + gate.settings.timeouts.total
        came = system.now()
        entered = gate.enter_nowait(target.id)
        if entered is None:
            self._phase = "waiting for a permit"
            await self._writer.record()  # what waits is worth seeing, and may wait long
            left = self._time_left_s()
            patience = min(left, gate.settings.timeouts.connect) if self._candidates.has_other(target) else left
            entered = await gate.enter(target.id, patience_s=patience)
            self._parts.metrics.waited_for_permit(target.provider, system.now() - came)
        return self._pass_over(target, entered, system.now() - came) if isinstance(entered, NotNow) else entered

    def _pass_over(self, target: Target, why: NotNow, waited_s: float = 0.0) -> NotNow:
        waited_ms = _milliseconds(waited_s)
        self._writer.note(PassedOver(target.id, target.provider, why.reason, waited_ms, _rounded(why.retry_after_s)))
        self._candidates.passed_over(target, why)
        return why

    async def _attempt(self, target: Target, admission: Admission) -> Outcome | None:
        """Make one upstream call; None when it failed and the next step is to be decided."""
        if self._time_left_s() <= 0:
            return self._out_of_time()
        number = self._candidates.calls_made + 1
        self._head.attempts, self._head.selected_target = number, target
        try:
            await self._writer.record(AttemptStarted(number, target.id, target.provider, target.upstream_model))
        except StorageUnavailable as error:
            return Outcome("internal_error", error)
        self._phase = "waiting for first token"
        self._live_attempt = LiveAttempt(target, self._parts.wall_clock(), admission)
        self._tally = tally = attempt.Tally(self._parts.system.now())
        settings = admission.gate.settings
        try:
            outcome = await self._call(target, tally, admission)
        except ProviderError as error:
            self._note_attempt(tally, error.failure)
            self._candidates.failed(target, error, settings.retry)
            return None
        except DeadlineExceeded as error:
            had_s = self._parts.system.now() - tally.started
            is_fair = had_s >= settings.timeouts.total * _FAIR_SHARE
            self._note_attempt(tally, Failure("timeout", error.message, clock="total"), is_fair=is_fair)
            return Outcome("deadline_exceeded", error)
        self._note_attempt(tally, None)
        return outcome

    async def _call(self, target: Target, tally: attempt.Tally, admission: Admission) -> Outcome:
        """Call the target through a leased adapter, within its clocks."""
        asked = self._asked
        slot = self._parts.providers.lease(target.provider)
        try:
            clocks = attempt.Clocks(self._parts.system, slot.settings.timeouts, deadline=self._deadline)
            call = UpstreamCall(target, asked.request, asked.request_id, asked.traceparent, admission.hear)
            if asked.request.stream:
                return Outcome(
                    "completed", tail=await attempt.stream(slot.provider, call, tally, clocks, self._release)
                )
            completion = await attempt.complete(slot.provider, call, tally, clocks)
            return Outcome("completed", completion=completion)
        finally:
            await slot.release()

    def _killed(self, killed: ActorKilled) -> Outcome:
        if self._is_interrupted:
            return Outcome("interrupted", ActorRestarting(_STOPPING))
        return Outcome("internal_error", InternalError(f"the gateway stopped this request ({killed.reason})"))

    def _given_up(self) -> Outcome:
        """What the client is told when no candidate answered, or none could even be asked."""
        error = self._candidates.verdict(self._parts.providers.health, self._parts.system.now())
        return Outcome("provider_error" if self._candidates.calls_made else "route_blocked", error)

    def _out_of_time(self) -> Outcome:
        return Outcome("deadline_exceeded", DeadlineExceeded(attempt.OUT_OF_TIME))

    def _time_left_s(self) -> float:
        return self._deadline - self._parts.system.now()

    async def _release(self, frames: Sequence[Frame]) -> None:
        self._phase = "streaming"
        if not self._released and self._live_attempt is not None:
            self._live_attempt.admission.prove()
        self._released = True
        await self._responder.release(frames)

    async def _deliver(self, outcome: Outcome) -> None:
        """Hand over what waited for the closed receipt."""
        self._phase = "delivering"
        self._responder.unwatch_client()  # to who watches, the end of the answer looks like the client's leaving
        if outcome.error is not None:
            return
        self._delivery = "begun"
        if outcome.completion is not None:
            await self._responder.answer(outcome.completion)
        else:
            await self._responder.finish(outcome.tail)
        self._delivery = "done"

    async def _close(self, outcome: Outcome) -> Outcome:
        """Close the receipt on disk; in strict durability an answer that cannot be recorded is not given."""
        self._phase = "closing"
        if not self._writer.is_closed:
            if self._live_attempt is not None and self._tally is not None:
                self._note_attempt(self._tally, None, cancelled=True)
            self._writer.note(self._closing(outcome))
            self._decided = outcome
            self._count(outcome)
        try:
            await self._writer.record()
        except StorageUnavailable as error:
            return Outcome("internal_error", error)
        return outcome

    def _closing(self, outcome: Outcome) -> Closed:
        self._is_answered = self._released or outcome.completion is not None or bool(outcome.tail)
        return Closed(
            status=outcome.status,
            attempts=self._head.attempts,
            selected_model=self.served_by,
            error_code=None if outcome.error is None else outcome.error.code,
            error_message=None if outcome.error is None else outcome.error.message,
            released=self._is_answered,
            released_bytes=self._released_bytes,
            latency_ms=_milliseconds(self._parts.system.now() - self._began),
            usage=self.usage,
            cost_usd=None if self._cost is None else as_usd(self._cost),
        )

    def _note_attempt(
        self, tally: attempt.Tally, failure: Failure | None, *, cancelled: bool = False, is_fair: bool = True
    ) -> None:
        """Write down how the live attempt ended, for the receipt, the provider's health and the metrics."""
        live, self._live_attempt = self._live_attempt, None
        if live is None:
            return
        target = live.target
        latency_ms = _milliseconds(self._parts.system.now() - tally.started)
        first_token_s = None if tally.first_token is None else tally.first_token - tally.started
        self._released_bytes += tally.released_bytes
        usage, cost = self._reckon(target, tally)
        status: AttemptStatus = "cancelled" if cancelled else "completed" if failure is None else "failed"
        self._writer.note(
            AttemptFinished(
                attempt=self._head.attempts,
                model=target.id,
                status=status,
                started_at=live.started_at,
                latency_ms=latency_ms,
                first_token_ms=None if first_token_s is None else _milliseconds(first_token_s),
                generated_bytes=tally.generated_bytes,
                released_bytes=tally.released_bytes,
                finish_reasons=tuple(tally.finish_reasons),
                usage=usage,
                cost_usd=None if cost is None else as_usd(cost),
                failure=failure,
            )
        )
        if cancelled:
            live.admission.call_off()
        else:
            live.admission.settle(failure, latency_ms, is_fair=is_fair)
        metrics = self._parts.metrics
        metrics.attempt_ended(target.provider, status if failure is None else failure.failure_class, first_token_s)
        if usage is not None:
            metrics.tokens_used(self._asked.definition.id, usage)

    def _reckon(self, target: Target, tally: attempt.Tally) -> tuple[Usage | None, int | None]:
        """What an attempt has used and cost. Of an answer that was begun and broken off, the provider may never tell."""
        usage = tally.usage
        if usage is None and tally.first_token is not None:
            prompt_tokens = self._asked.facts.window_needed_at(target) - self._asked.facts.output_budget
            usage = estimated_usage(prompt_tokens, tally.generated_bytes)
        if usage is None:
            return None, None
        self._usages.append(usage)
        if target.price is None:
            return usage, None
        cost = cost_nano_usd(usage, target.price)
        self._cost = self.cost_nano_usd + cost
        self._parts.ledger.note_spending(self._asked.definition.id, target.id, cost)
        return usage, cost

    def _count(self, outcome: Outcome) -> None:
        model = self._asked.definition.id
        selected = self._head.selected_target
        self._parts.system.named(model_path(model)).cast(
            RequestEnded(outcome.status, None if selected is None else selected.id)
        )
        self._parts.metrics.request_ended(model, outcome.status, self._parts.system.now() - self._began)


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
