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
from functools import partial
from typing import Literal

import anyio
import msgspec
import structlog

from supervisors import ActorDown, ActorKilled, CallTimeout, NamedRef, System, adopt, child_path, count_children
from wardwright.domain.caller import Caller
from wardwright.domain.chat import Completion, Usage
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
from wardwright.domain.route import ModelDefinition, Target
from wardwright.domain.stream import Frame
from wardwright.planner.attempts import GiveUp, Next, Retry, Step
from wardwright.ports.provider import UpstreamCall
from wardwright.receipts.events import ANSWERED, AttemptStarted, Closed, FinalStatus, Opened, PassedOver
from wardwright.runtime import attempt
from wardwright.runtime.answer_policy import AnswerPolicy, Refused, Standing
from wardwright.runtime.attempt_book import AttemptBook, LiveAttempt, milliseconds
from wardwright.runtime.bus import Bus
from wardwright.runtime.candidates import Candidates
from wardwright.runtime.content_book import ContentBook
from wardwright.runtime.decision import refusal_of
from wardwright.runtime.gate import Admission, NotNow
from wardwright.runtime.governed_answer import GovernedAnswer
from wardwright.runtime.health import ProviderMissing
from wardwright.runtime.ledger import Ledger
from wardwright.runtime.metrics import Metrics
from wardwright.runtime.model import RequestEnded
from wardwright.runtime.patience import Patience
from wardwright.runtime.provider import ProviderBoard
from wardwright.runtime.receipt_facts import tell_receipt
from wardwright.runtime.receipt_writer import ReceiptWriter
from wardwright.runtime.responder import AnswerHead, Responder
from wardwright.runtime.resumption import Rescue
from wardwright.runtime.tree import RUNS, STORAGE, model_path

_CLOSE_PATIENCE_S = 15.0
_JOIN_PATIENCE_S = 5.0
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
    bus: Bus
    wall_clock: Callable[[], float] = time.time
    jitter: Callable[[], float] = random.random
    draw: Callable[[int], int] = random.randrange


class RunRequest(msgspec.Struct, frozen=True):
    """An accepted request: what to run, for whom, under which definition."""

    caller: Caller
    definition: ModelDefinition
    standing: Standing
    policy: AnswerPolicy
    opened: Opened
    receipt_id: str
    request_id: str
    traceparent: str | None = None


class Outcome(msgspec.Struct, frozen=True):
    """How a run ended. `error` is what the client is told; without one, `completion` or `tail` is still to be delivered."""

    status: FinalStatus
    error: WardwrightError | None = None
    completion: Completion | None = None
    tail: Sequence[Frame] = ()


class Run:
    """One live request; see the module's page for its order of work."""

    def __init__(self, asked: RunRequest, parts: RunParts, responder: Responder) -> None:
        self._asked = asked
        self._parts = parts
        self._responder = responder
        self._writer = ReceiptWriter(
            asked.receipt_id,
            checkpointer=parts.system.named(STORAGE),
            now=parts.wall_clock,
            bus=parts.bus,
            tell=partial(tell_receipt, parts.bus, asked.receipt_id, asked.opened),
        )
        self._head = AnswerHead(request_id=asked.request_id, receipt_id=asked.receipt_id, definition=asked.definition)
        self._phase = "joining"
        self._patience = Patience(parts.system.now)
        self._standing = asked.standing
        self._candidates = Candidates(
            asked.standing.plan, asked.standing.facts, max_attempts=asked.definition.max_attempts, jitter=parts.jitter
        )
        self._book = AttemptBook(
            asked.definition.id,
            self._writer,
            system=parts.system,
            ledger=parts.ledger,
            metrics=parts.metrics,
            wall_clock=parts.wall_clock,
        )
        self._again: Target | None = None
        self._rescue = Rescue()
        full = asked.definition.capture == "full_session"
        self._content = ContentBook(asked.definition, asked.standing.request) if full else None
        self._speaker: Target | None = None
        self._released = False
        self._is_interrupted = False
        self._is_answered = False
        self._decided: Outcome | None = None
        self._delivery: Literal["due", "begun", "done"] = "due"

    async def execute(self) -> None:
        """Serve the request to its end.

        Raises: WardwrightError: what the client is to be told; the receipt is closed by then.
        Cancellation: cancel point; the receipt is closed (as `interrupted`) before the cancellation goes on.
        """
        self._responder.begin(self._head)
        self._writer.note(self._asked.opened)  # before anything can fail: a receipt without its opening says nothing
        outcome: Outcome | None = None
        try:
            if self._content is not None:
                self._writer.note(self._content.asked())
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
                    outcome = await self._close(outcome or _bug())
        outcome = outcome or _bug()
        if outcome.error is not None:
            raise outcome.error
        if outcome.status in ANSWERED and self._delivery == "due":
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
        selected = self._speaker or self._head.selected_target
        return selected.id if self._is_answered and selected is not None else None

    @property
    def usage(self) -> Usage | None:
        """What all attempts so far have used."""
        return self._book.usage

    @property
    def cost_nano_usd(self) -> int:
        """What all attempts so far have cost."""
        return self._book.cost or 0

    def status(self) -> Mapping[str, object]:
        """The run as the tree shows it; never content."""
        live, tally, released_bytes = self._book.live, self._book.tally, self._book.released_bytes
        if live is not None:
            released_bytes += live.tally.released_bytes
        return {
            "receipt_id": self._asked.receipt_id,
            "model": self._asked.definition.id,
            "stream": self._standing.request.stream,
            "phase": self._phase,
            "attempt": self._head.attempts,
            "target": None if live is None else live.target.id,
            "provider": None if live is None else live.target.provider,
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
        outcome = Outcome("client_cancelled")
        membership = adopt(runs, self._asked.receipt_id, status=self.status)
        async with membership:
            try:
                self._responder.watch_client(membership.cancel)
                served = await self._close(await self._attempt_all())
                await self._deliver(served)
                outcome = served
            finally:
                self._responder.unwatch_client()
        return outcome

    async def _attempt_all(self) -> Outcome:
        """Execute the plan, candidate by candidate."""
        plan = self._standing.plan
        if not plan.targets:
            return Outcome(*refusal_of(plan, self._standing.facts))
        step = self._candidates.step(released=False, time_left_s=math.inf)
        while not isinstance(step, GiveUp):
            if isinstance(step, Retry):
                self._phase = "waiting to retry"
                await anyio.sleep(step.delay_s)
            outcome = await self._try(step.target)
            if outcome is not None:
                return outcome
            step = self._next_step()
        return self._given_up()

    def _next_step(self) -> Step:
        """Whom to ask after a call that gave no answer: as the policy of the answer says, or else as the plan does."""
        again, self._again = self._again, None
        if again is not None:
            return Next(again)
        is_over = self._released and not self._rescue.is_possible
        step = self._candidates.step(released=is_over, time_left_s=self._patience.left_s)
        self._parts.metrics.went_on(self._candidates.left, step)
        return step

    async def _try(self, target: Target) -> Outcome | None:
        """Call a target if its provider's gate lets the call through; None when the next step is to be decided."""
        try:
            entered = await self._enter(target)
        except StorageUnavailable as error:
            return Outcome("internal_error", error)
        if isinstance(entered, NotNow):
            return self._out_of_time() if self._patience.is_over else None
        with entered:
            return await self._attempt(target, entered)

    async def _enter(self, target: Target) -> Admission | NotNow:
        """Pass the provider's gate, in one's turn. Raises: StorageUnavailable."""
        system = self._parts.system
        try:
            gate = self._parts.providers.health.gate(target.provider)
        except ProviderMissing:
            return self._pass_over(target, NotNow("not_configured"))
        timeouts = gate.settings.timeouts
        self._patience.begin(timeouts)
        came = system.now()
        entered = gate.enter_nowait(target.id)
        if entered is None:
            self._phase = "waiting for a permit"
            await self._writer.record()  # what waits is worth seeing, and may wait long
            patience_s = self._patience.for_turn(timeouts, has_other=self._candidates.has_other(target))
            entered = await gate.enter(target.id, patience_s=patience_s)
            self._parts.metrics.waited_for_permit(target.provider, system.now() - came)
        return self._pass_over(target, entered, system.now() - came) if isinstance(entered, NotNow) else entered

    def _pass_over(self, target: Target, why: NotNow, waited_s: float = 0.0) -> NotNow:
        waited_ms = milliseconds(waited_s)
        self._writer.note(PassedOver(target.id, target.provider, why.reason, waited_ms, _rounded(why.retry_after_s)))
        self._candidates.passed_over(target, why)
        return why

    async def _attempt(self, target: Target, admission: Admission) -> Outcome | None:
        """Make one upstream call; None when it failed and the next step is to be decided."""
        if self._patience.is_over:
            return self._out_of_time()
        number = self._candidates.calls_made + 1
        self._head.attempts, self._head.selected_target = number, target
        asking = self._rescue.asking(self._standing, target, number=number, spent=self._book.heard_usage)
        if asking.note is not None:
            self._writer.note(asking.note)
        try:
            await self._writer.record(AttemptStarted(number, target.id, target.provider, target.upstream_model))
        except StorageUnavailable as error:
            return Outcome("internal_error", error)
        self._phase = "waiting for first token"
        governed = self._asked.policy.governed(target, asking.continuation, whole_calls=asking.may_be_continued)
        live = self._book.begin(number, target, asking, admission, governed)
        settings = admission.gate.settings
        try:
            outcome = await self._call(live)
        except ProviderError as error:
            is_fair = self._patience.was_fair(
                error.failure, settings.timeouts, live.tally.started + live.tally.client_s
            )
            self._end_attempt(error.failure, is_fair=is_fair)
            self._candidates.failed(target, error, settings.retry, released=live.tally.has_released)
            if live.tally.has_released:
                self._rescue.broke_off(number, target)
                self._candidates.go_by(self._standing.plan, self._rescue.facts(self._standing))
            return None
        except DeadlineExceeded as error:
            failure = Failure("timeout", error.message, clock="total")
            is_fair = self._patience.was_fair(failure, settings.timeouts, live.tally.started + live.tally.client_s)
            self._end_attempt(failure, is_fair=is_fair)
            return Outcome("deadline_exceeded", error)
        self._end_attempt(None)
        if live.governed is not None and live.governed.is_stopped:
            return await self._after_a_stop(live, live.governed)
        self._speaker = target
        return outcome

    async def _after_a_stop(self, live: LiveAttempt, governed: GovernedAnswer) -> Outcome | None:
        """Policy has ended an answer: ask again if it says so (None), or end the request."""
        self._candidates.stopped()
        self._phase = "deciding on another answer"
        following = await self._asked.policy.after(
            governed, live.target, self._standing, attempt=live.number, released=self._released
        )
        if following.note is not None:
            self._writer.note(following.note)
        self._parts.metrics.answer_withheld(self._asked.definition.id, following)
        if isinstance(following, Refused):
            return Outcome(following.status, following.error)
        self._again, self._standing = following.target, following.standing
        self._candidates.go_by(self._standing.plan, self._standing.facts)
        return None

    async def _call(self, live: LiveAttempt) -> Outcome:
        """Call the target through a leased adapter, within its clocks."""
        asked, request, target = self._asked, live.asking.request, live.target
        slot = self._parts.providers.lease(target.provider)
        try:
            has_other = self._candidates.has_other(target)
            timeouts = self._patience.for_call(slot.settings.timeouts, has_other=has_other, stream=request.stream)
            clocks = attempt.Clocks(self._parts.system, timeouts, deadline=self._patience.deadline)
            continuation = live.asking.continuation
            call = UpstreamCall(
                target,
                request,
                asked.request_id,
                asked.traceparent,
                live.admission.hear,
                is_continuation=continuation is not None and continuation.by == "prefill",
            )
            if request.stream:
                tail = await attempt.stream(
                    slot.provider, call, live.tally, clocks, self._release, governed=live.governed
                )
                return Outcome(asked.policy.completed, tail=tail)
            completion = await attempt.complete(slot.provider, call, live.tally, clocks, governed=live.governed)
            return Outcome(asked.policy.completed, completion=completion)
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

    async def _release(self, frames: Sequence[Frame]) -> None:
        self._phase = "streaming"
        live = self._book.live
        if live is not None and not live.tally.has_released:
            live.admission.prove()
            self._speaker = live.target
        self._released = True
        self._rescue.note(frames)
        if self._content is not None:
            self._content.released(frames)
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
            self._end_attempt(None, cancelled=True)  # if one is under way
            content, self._content = self._content, None  # a bug in it ends the run, and must not keep its receipt open
            if content is not None:
                self._writer.note(content.answered(outcome.completion, outcome.tail))
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
            released_bytes=self._book.released_bytes,
            latency_ms=milliseconds(self._patience.spent_s),
            usage=self.usage,
            cost_usd=None if self._book.cost is None else as_usd(self._book.cost),
        )

    def _end_attempt(self, failure: Failure | None, *, cancelled: bool = False, is_fair: bool = True) -> None:
        """Write down how the attempt under way has ended, if one is."""
        live = self._book.live
        if live is not None and live.governed is not None:
            self._asked.policy.note(live.target, live.governed)
        self._book.end(failure, cancelled=cancelled, is_fair=is_fair)

    def _count(self, outcome: Outcome) -> None:
        model = self._asked.definition.id
        selected = self._head.selected_target
        self._parts.system.named(model_path(model)).cast(
            RequestEnded(outcome.status, None if selected is None else selected.id)
        )
        self._parts.metrics.request_ended(model, outcome.status, self._patience.spent_s)


def _bug() -> Outcome:
    return Outcome("internal_error", InternalError("the gateway failed on this request; its receipt finds the report"))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
