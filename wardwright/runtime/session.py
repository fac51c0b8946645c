"""One actor per (model, session): the session's turn, and the targets that it stays on.

Receipts are the only record of a session. An actor that starts, after a crash or in a new process, reads where the session stands off
its newest receipts; one that has nothing to do goes passive, and what is left of it is some hundred bytes.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from supervisors import Actor, Call, ChildSpec, ReplyTo, child_id_in
from wardwright.domain.route import SessionFacts, StickyChoice
from wardwright.receipts.session import settled, with_spent

PASSIVE_AFTER_S = 60.0

Recall = Callable[[str], Awaitable[SessionFacts | None]]
"""What is known of a session of one model, by its id. Raises: StorageUnavailable."""


@dataclass(frozen=True, slots=True)
class NextTurn(Call[SessionFacts]):
    """Count one more request of this session. Sent by the gateway; answered with its turn, and with what the session stays on."""


@dataclass(frozen=True, slots=True)
class PeekTurn(Call[SessionFacts]):
    """Ask what the next request of this session will find. Sent by simulations; changes nothing."""


@dataclass(frozen=True, slots=True)
class Served:
    """A request of this session was answered by a target, which selectors may have to keep. Cast by the gateway.

    A crash here loses nothing: the request's receipt says the same.
    """

    target: str
    choices: tuple[StickyChoice, ...]


@dataclass(frozen=True, slots=True)
class RulesSpent:
    """Stream rules that hold once per session have fired in this one. Cast by the gateway.

    A crash here loses nothing: the request's receipt says the same.
    """

    rule_ids: tuple[str, ...]


class SessionActor(Actor):
    """Numbers the requests of one session and remembers who served them. A crash loses nothing that a receipt tells."""

    def __init__(self, recall: Recall) -> None:
        self._recall = recall
        self._facts = SessionFacts(0)

    async def init(self) -> None:
        """Take the session up where its newest receipt has left it."""
        self._facts = await self._recall(child_id_in(self.ref.path)) or self._facts

    async def activate(self, state: SessionFacts) -> None:
        """Go on after a rest."""
        self._facts = state

    async def handle_call(self, request: object, reply_to: ReplyTo[SessionFacts]) -> object:
        """Answer `NextTurn` and `PeekTurn`."""
        following = replace(self._facts, turn=self._facts.turn + 1)
        if isinstance(request, PeekTurn):
            return following
        if not isinstance(request, NextTurn):
            return await super().handle_call(request, reply_to)
        self._facts = following
        return following

    async def handle_cast(self, message: object) -> None:
        """Take note of a `Served`, and of `RulesSpent`."""
        if isinstance(message, Served):
            sticky = settled(self._facts.sticky, message.choices, message.target)
            self._facts = replace(self._facts, sticky=sticky)
        elif isinstance(message, RulesSpent):
            self._facts = replace(self._facts, spent_rules=with_spent(self._facts.spent_rules, message.rule_ids))

    def passivate(self) -> SessionFacts:
        """Leave what the session has come to."""
        return self._facts

    def format_status(self) -> Mapping[str, object]:
        """The session, its turn, and the targets it stays on."""
        return {"session_id": child_id_in(self.ref.path), "turn": self._facts.turn, "sticky": dict(self._facts.sticky)}


def session_spec(session_id: str, start: Callable[[], SessionActor]) -> ChildSpec:
    """One session; all of a model share `start`, so that what is kept of a passive one is small."""
    return ChildSpec(session_id, start, restart="transient", passivate_after=PASSIVE_AFTER_S)
