"""The policy of one request's answers over all its attempts: what may be released of each, and what follows one that may not be.

Stream rules read an answer as it comes. An answer that must have a form is held until its end, and judged as it would be released. A rule that ends an answer is a value and not a fault. What comes of it is decided here; whom that means to call, and calling them, is
the run's.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import msgspec

from wardwright.domain.chat import ChatRequest, Completion
from wardwright.domain.errors import AnswerRefused, Failure, ProviderError
from wardwright.domain.policy import StreamRule
from wardwright.domain.route import Composition, RequestFacts, RoutePlan, SessionFacts, Target
from wardwright.domain.stream import Frame, StreamEvent, Text
from wardwright.domain.structured import OutputFinding
from wardwright.planner.fitness import unfit
from wardwright.policy.repair import RepairBudget
from wardwright.policy.resumption import Continuation
from wardwright.policy.stream_guard import StreamGuard
from wardwright.policy.stream_rules import StreamRules
from wardwright.policy.structured_output import OutputContract, Violation
from wardwright.policy.whole_answer import judge
from wardwright.receipts.events import AskedAgain, FinalStatus, NotAskedAgain, RetryRefusal, StreamFinding
from wardwright.runtime.decision import Decided
from wardwright.runtime.output_book import OutputBook
from wardwright.runtime.stream_book import UNRULED, holdings_of
from wardwright.wire import openai_reframe
from wardwright.wire.openai_echoes import answer_without_echoes
from wardwright.wire.openai_request import with_system_message
from wardwright.wire.openai_whole import read_events, read_finishes, with_texts

REMINDER = "wardwright_stream_policy_reminder"
FEEDBACK = "wardwright_structured_output_guard"

Replan = Callable[[ChatRequest, str | None], Awaitable[Decided]]
"""Decide anew for a request that has grown, or that only one target shall answer. Everything else is as it was."""

_REFUSALS: Mapping[RetryRefusal, str] = {
    "already_released": "a part of the answer had left already",
    "retries_spent": "the rule may ask no more often",
    "attempts_spent": "no upstream call is left for this request",
    "nothing_fits": "the request with its reminder fits nowhere",
    "target_unavailable": "the target that the rule escalates to cannot serve now",
    "rule_budget_spent": "it has rejected as many answers as it may",
    "guard_budget_spent": "as many answers as may be asked for were faulty",
}


class GovernedAnswer:
    """One answer under stream rules, whole or in frames.

    With a `continuation` it goes on with one that the client has begun to read. With a `contract` it is held to a form: these rules
    must hold it to its end then, `output` is what the receipt is told of its form, `violation` the fault of a faulty one.
    """

    def __init__(
        self,
        rules: StreamRules,
        contract: OutputContract | None = None,
        continuation: Continuation | None = None,
        *,
        whole_calls: bool = False,
    ) -> None:
        self._rules = rules
        self._contract = contract
        self._continuation = continuation
        self._guard = StreamGuard(rules, openai_reframe, whole_calls=whole_calls)
        self._held_too_long_s: float | None = None
        self.output: OutputFinding | None = None
        self.violation: Violation | None = None
        if continuation is not None and continuation.by == "prefill":
            for channel, text in continuation.released.items():
                self._guard.tell(channel, continuation.choice, text)

    @property
    def stopped_by(self) -> StreamRule | None:
        """The rule that has ended the answer."""
        return self._guard.tripped

    @property
    def is_stopped(self) -> bool:
        """Whether nothing more of the answer may leave."""
        return (
            self._guard.tripped is not None
            or self._held_too_long_s is not None
            or self._guard.is_overfull
            or self.violation is not None
        )

    @property
    def is_overfull(self) -> bool:
        """Whether the answer was ended because too much of it would have had to be held."""
        return self._guard.is_overfull

    @property
    def generated_bytes(self) -> int:
        """How much text has come."""
        return self._guard.account.generated

    @property
    def released_bytes(self) -> int:
        """How much text has been let go that the client did not have."""
        return self._guard.account.released - self.repeated_bytes

    @property
    def repeated_bytes(self) -> int:
        """How much text was let go that the client has from an earlier answer."""
        return 0 if self._continuation is None else self._continuation.repeated_bytes

    def feed(self, frames: Sequence[Frame], now: float) -> Sequence[Frame]:
        """Take in what a read has brought; return what may leave.

        Raises: ProviderError when the answer does not go on with the one that it should.
        """
        self.look_at(now)
        if self.is_stopped:
            return ()
        if self._continuation is None:
            return self._guard.feed(frames, now)
        return self._behind_the_seam(self._guard.feed(self._continuation.arriving(frames), now))

    def finish(self, now: float) -> Sequence[Frame]:
        """Take in the end; return what may leave. Raises: ProviderError like `feed`."""
        self.look_at(now)
        left = () if self.is_stopped else self._guard.finish(now)
        self._hold_to_form(chain(self._begun(), (event for frame in left for event in frame.events)))
        return () if self.is_stopped else self._behind_the_seam(left)

    def _begun(self) -> Iterator[StreamEvent]:
        """What the client has of the answer that this one does not say again."""
        if self._continuation is not None and self._continuation.by == "prefill":
            yield Text(self._continuation.choice, self._continuation.released["text"])

    def _behind_the_seam(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        if self._continuation is None:
            return frames
        left = self._continuation.leaving(frames)
        if self._continuation.has_strayed:
            raise ProviderError(
                Failure("not_resumed", "the answer does not begin like the one that it should go on with")
            )
        return left

    def judge(self, completion: Completion) -> Completion:
        """Apply the rules to a whole answer; what it comes to may be given unless it `is_stopped`.

        Raises: ProviderError when a text of the answer is not where rules could read it.
        """
        try:
            judged = judge(self._rules, read_events(completion))
            self._guard = judged.guard
            made = answer_without_echoes(with_texts(completion, judged.changed), self._rules.enforced)
            self._hold_to_form((*read_events(made), *read_finishes(made)))
        except msgspec.DecodeError as error:
            raise ProviderError(
                Failure("bad_response", f"the answer cannot be read by the rules of this model: {error}")
            ) from None
        return made

    def _hold_to_form(self, events: Iterable[StreamEvent]) -> None:
        """Judge the form of an answer that may leave as far as the rules are concerned."""
        if self._contract is None or self.is_stopped:
            return
        self.violation, self.output = self._contract.judge(events)
        if self.violation is not None:
            self._guard.withhold()

    def overdue_at(self) -> float | None:
        """When text will have been held as long as it may."""
        return self._guard.overdue_at()

    def forgive(self, seconds: float) -> None:
        """Let so much time not count: the client took it, and no rule."""
        if self._rules.max_hold_s is not None and seconds > 0:
            self._guard.postpone(seconds)

    def look_at(self, now: float) -> None:
        """End the answer if text has been held for too long."""
        due, patience = self._guard.overdue_at(), self._rules.max_hold_s
        if due is not None and patience is not None and now >= due and not self.is_stopped:
            self._held_too_long_s = now - due + patience

    def finding(self) -> StreamFinding | None:
        """What the rules made of the answer, for the receipt; None when there are none, also when it was only held for its form."""
        if self._rules.is_empty or (not self._rules.rules and self._contract is not None):
            return None
        guard, account = self._guard, self._guard.account
        tripped = guard.tripped
        last = guard.fired[-1].action if guard.fired else None
        is_held_too_much = self._held_too_long_s is not None or guard.is_overfull
        is_blocked = is_held_too_much or (tripped is not None and not tripped.is_retrying)
        once = {rule.id for rule in self._rules.rules if rule.once_per == "session"}
        return StreamFinding(
            mode=self._rules.mode,
            action=last if tripped is None else tripped.action,
            stopped_by=None if tripped is None else tripped.id,
            trigger_count=guard.trigger_count,
            fired=tuple(guard.fired),
            held_bytes=account.held,
            max_held_bytes=account.max_held,
            rewritten_bytes=account.rewritten,
            inserted_bytes=account.inserted,
            blocked_bytes=account.held if is_blocked else 0,
            hold_exceeded_ms=None if self._held_too_long_s is None else round(self._held_too_long_s * 1000, 3),
            hold_exceeded_bytes=guard.load_bytes if guard.is_overfull else None,
            spent=tuple(sorted(once & guard.fired_rules)),
        )

    @property
    def fired_rules(self) -> frozenset[str]:
        """The rules that have fired."""
        return frozenset(self._guard.fired_rules)


class Standing(msgspec.Struct, frozen=True):
    """A request as it stands: what is asked, and the plan and the facts that hold for it."""

    request: ChatRequest
    plan: RoutePlan
    facts: RequestFacts


@dataclass(frozen=True, slots=True)
class Refused:
    """The answer is withheld: how the request ends. `note` is what the receipt is told of it."""

    status: FinalStatus
    error: AnswerRefused
    note: NotAskedAgain | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """Another answer is asked for: of whom, as what, and what the receipt is told of it."""

    target: Target
    standing: Standing
    note: AskedAgain


class AnswerPolicy:
    """What holds for the answers of one request. `replan` decides anew; see `Replan`."""

    def __init__(
        self, composition: Composition, session: SessionFacts | None, replan: Replan, outputs: OutputBook
    ) -> None:
        self._holdings = holdings_of(composition)
        self._outputs = outputs
        self._repairs = RepairBudget()
        self._max_attempts = composition.root.max_attempts
        self._replan = replan
        self._spent = frozenset() if session is None else frozenset(session.spent_rules)
        self._retries: dict[str, int] = {}
        self.newly_spent: dict[str, None] = {}
        """The rules that hold once per session and have fired for this request."""

    def governed(
        self, target: Target, continuation: Continuation | None = None, *, whole_calls: bool = False
    ) -> GovernedAnswer | None:
        """The next answer of a target, under the rules that still hold; None when it may pass as it comes."""
        holding, contract = self._holdings.get(target.id, UNRULED), self._outputs.contract(target.id)
        rules = holding.compiled(self._spent, buffered=contract is not None)
        if rules.is_empty and continuation is None and not whole_calls:
            return None
        return GovernedAnswer(rules, contract, continuation, whole_calls=whole_calls)

    @property
    def completed(self) -> Literal["completed", "completed_after_guard"]:
        """How a request ends whose answer may be given."""
        return "completed_after_guard" if self._repairs.rejections else "completed"

    def note(self, target: Target, answer: GovernedAnswer) -> None:
        """Remember which rules have fired and are done with."""
        holding = self._holdings.get(target.id, UNRULED)
        done = {rule.id: rule.once_per for rule in holding.rules if rule.id in answer.fired_rules}
        self._spent |= {rule_id for rule_id, once_per in done.items() if once_per is not None}
        self.newly_spent |= {rule_id: None for rule_id, once_per in done.items() if once_per == "session"}

    async def after(
        self, answer: GovernedAnswer, target: Target, standing: Standing, *, attempt: int, released: bool
    ) -> Again | Refused:
        """Decide what follows an answer that was ended. Cancel point when a plan is made anew."""
        rule = answer.stopped_by
        if answer.violation is not None:
            return await self._after_a_fault(answer.violation, target, standing, attempt, released=released)
        if rule is None:
            what = "more of the answer would have to be" if answer.is_overfull else "text of the answer was"
            than = "than" if answer.is_overfull else "for longer than"
            message = f"{what} held back {than} this model's stream policy allows"
            return Refused("stream_policy_hold_exceeded", AnswerRefused(message, "stream_policy_hold_exceeded"))
        if not rule.is_retrying:
            message = f"the answer breaks the stream rule {rule.id!r} of this model"
            return Refused("stream_policy_blocked", AnswerRefused(message, "stream_policy_blocked"))
        if released:
            return self._refused(rule, "already_released", attempt)
        if self._retries.get(rule.id, 0) >= rule.max_retries:
            return self._refused(rule, "retries_spent", attempt)
        if attempt >= self._max_attempts:
            return self._refused(rule, "attempts_spent", attempt)
        return await self._again(rule, target, standing, attempt)

    async def _again(self, rule: StreamRule, target: Target, before: Standing, attempt: int) -> Again | Refused:
        asked, standing = target, before
        if rule.action == "retry_with_reminder" and rule.reminder is not None:
            grown = await self._grown(with_system_message(before.request, REMINDER, rule.reminder), target, before)
            if grown is None:
                return self._refused(rule, "nothing_fits", attempt)
            asked, standing = grown
        elif rule.action == "escalate" and rule.target != target.id:
            decided = await self._replan(before.request, rule.target)
            if not decided.plan.targets:
                return self._refused(rule, "target_unavailable", attempt)
            asked, standing = decided.plan.targets[0], Standing(before.request, decided.plan, decided.inputs.request)
        asked_before = self._retries.get(rule.id, 0)
        self._retries[rule.id] = asked_before + 1
        note = AskedAgain(
            attempt=attempt,
            rule_id=rule.id,
            action=rule.action,
            retry_count=asked_before + 1,
            max_retries=rule.max_retries,
            from_model=target.id,
            to_model=asked.id,
            estimated_prompt_tokens=standing.facts.estimated_prompt_tokens,
            reminder_injected=standing.request is not before.request,
        )
        return Again(asked, standing, note)

    async def _grown(self, request: ChatRequest, target: Target, before: Standing) -> tuple[Target, Standing] | None:
        """Whom to ask a request that has grown: the target that it was for, or where it does not fit there, a new plan's; None for nobody."""
        decided = await self._replan(request, None)
        standing = Standing(request, before.plan, decided.inputs.request)
        if before.plan.overflow is not None or unfit(target, standing.facts) is None:
            return target, standing
        if not decided.plan.targets:
            return None
        return decided.plan.targets[0], Standing(request, decided.plan, decided.inputs.request)

    async def _after_a_fault(
        self, violation: Violation, target: Target, before: Standing, attempt: int, *, released: bool
    ) -> Again | Refused:
        """Ask for an answer without the fault, with word of it or without, or tell that there is none to be had."""
        is_first = not self._repairs.rejections
        spent = self._repairs.take(violation)
        if released:
            return self._exhausted(violation, "already_released", attempt)
        if spent is not None or attempt >= self._max_attempts:
            return self._exhausted(violation, spent or "attempts_spent", attempt)
        asked, standing = target, before
        if violation.loop.on_violation == "retry_with_validation_feedback":
            grown = None
            for feedback in violation.feedback:
                request = with_system_message(before.request, FEEDBACK, feedback, replacing=not is_first)
                grown = await self._grown(request, target, before)
                if grown is not None and grown[0] is target:
                    break
            if grown is None:
                return self._exhausted(violation, "nothing_fits", attempt)
            asked, standing = grown
        note = AskedAgain(
            attempt=attempt,
            rule_id=violation.rule_id,
            action=violation.loop.on_violation,
            retry_count=self._repairs.rejections,
            max_retries=violation.loop.max_attempts - 1,
            from_model=target.id,
            to_model=asked.id,
            estimated_prompt_tokens=standing.facts.estimated_prompt_tokens,
            reminder_injected=standing.request is not before.request,
            policy="structured_output",
        )
        return Again(asked, standing, note)

    def _exhausted(self, violation: Violation, reason: RetryRefusal, attempt: int) -> Refused:
        note = NotAskedAgain(
            attempt=attempt,
            rule_id=violation.rule_id,
            action=violation.loop.on_violation,
            reason=reason,
            retry_count=self._repairs.rejections - 1,
            max_retries=violation.loop.max_attempts - 1,
            policy="structured_output",
        )
        kind = violation.guard_type.replace("_", " ")
        kind += "; it was cut off at its limit of tokens" if violation.is_cut else ""
        message = f"no answer has the form that it must have: {violation.rule_id!r} rejects the last one ({kind}), and {_REFUSALS[reason]}"
        code = "structured_output_exhausted"
        return Refused("structured_output_exhausted", AnswerRefused(message, code), note)

    def _refused(self, rule: StreamRule, reason: RetryRefusal, attempt: int) -> Refused:
        note = NotAskedAgain(attempt, rule.id, rule.action, reason, self._retries.get(rule.id, 0), rule.max_retries)
        message = f"the answer breaks the stream rule {rule.id!r} of this model, and {_REFUSALS[reason]}"
        code = "stream_policy_retries_exhausted"
        return Refused("stream_policy_retries_exhausted", AnswerRefused(message, code), note)
