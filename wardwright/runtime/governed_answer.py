"""One answer under the policy of its request: what may be released of it, and what is told of it afterwards.

Stream rules read it as it comes. Where it must have a form it is held to its end, and judged as it would be released.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import msgspec

from wardwright.domain.chat import Completion
from wardwright.domain.errors import Failure, ProviderError
from wardwright.domain.policy import StreamRule
from wardwright.domain.stream import Frame, StreamEvent, Text
from wardwright.domain.structured import OutputFinding
from wardwright.policy.resumption import Continuation
from wardwright.policy.stream_guard import StreamGuard
from wardwright.policy.stream_rules import StreamRules
from wardwright.policy.structured_output import OutputContract, Violation
from wardwright.policy.whole_answer import judge
from wardwright.receipts.events import StreamFinding
from wardwright.wire import openai_reframe
from wardwright.wire.openai_echoes import answer_without_echoes
from wardwright.wire.openai_whole import read_events, read_finishes, with_texts


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
        opened = self.open_overdue(now)
        if self.is_stopped:
            return ()
        if self._continuation is None:
            left = self._guard.feed(frames, now)
        else:
            left = self._behind_the_seam(self._guard.feed(self._continuation.arriving(frames), now))
        return [*opened, *left] if opened else left

    def finish(self, now: float) -> Sequence[Frame]:
        """Take in the end; return what may leave. Raises: ProviderError like `feed`."""
        opened = self.open_overdue(now)
        left = () if self.is_stopped else self._guard.finish(now)
        self._hold_to_form(chain(self._begun(), (event for frame in left for event in frame.events)))
        return () if self.is_stopped else [*opened, *self._behind_the_seam(left)]

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
            if self._contract is not None:
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

    @property
    def may_open(self) -> bool:
        """Whether text that has been held for as long as it may can leave for that alone."""
        return self._rules.may_open

    def open_overdue(self, now: float) -> Sequence[Frame]:
        """Let go of text that has been held for as long as it may; return what may leave. Where that may not leave, the answer is ended.

        Raises: ProviderError like `feed`.
        """
        opened: Sequence[Frame] = ()
        due = self._guard.overdue_at()
        if due is not None and now >= due and self.may_open:
            opened = self._behind_the_seam(self._guard.let_go(now))
        self.look_at(now)
        return opened

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
        guard, account = self._guard, self._guard.account
        is_only_formed = not self._rules.rules and self._contract is not None and not guard.is_overfull
        if self._rules.is_empty or is_only_formed:
            return None
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
            opened_bytes=guard.opened_bytes,
        )

    @property
    def fired_rules(self) -> frozenset[str]:
        """The rules that have fired."""
        return frozenset(self._guard.fired_rules)
