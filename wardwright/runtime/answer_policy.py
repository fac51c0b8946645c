"""The policy of one request's answers over all its attempts: what holds for each, and what follows one that may not be given.

A rule that ends or rejects an answer is a value and not a fault. What comes of it is decided here; whom that means to call, and calling
them, is the run's.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from wardwright.domain.chat import ChatRequest
from wardwright.domain.errors import AnswerRefused
from wardwright.domain.policy import StreamRule
from wardwright.domain.route import Composition, RequestFacts, RoutePlan, SessionFacts, Target
from wardwright.planner.fitness import unfit
from wardwright.policy.repair import RepairBudget
from wardwright.policy.resumption import Continuation
from wardwright.policy.structured_output import Violation
from wardwright.receipts.events import AskedAgain, FinalStatus, NotAskedAgain, RetryRefusal
from wardwright.runtime.decision import Decided
from wardwright.runtime.governed_answer import GovernedAnswer
from wardwright.runtime.output_book import OutputBook
from wardwright.runtime.stream_book import UNRULED, holdings_of
from wardwright.wire.openai_request import with_system_message

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
