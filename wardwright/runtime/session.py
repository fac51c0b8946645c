"""One actor per (model, session): the session's turn. Idle sessions leave by themselves."""

from collections.abc import Mapping
from dataclasses import dataclass

from supervisors import Actor, Call, ReplyTo, Stop

_IDLE_S = 900.0


@dataclass(frozen=True, slots=True)
class NextTurn(Call[int]):
    """Count one more request of this session. Sent by runs; answered with the turn's number, from 1."""


@dataclass(frozen=True, slots=True)
class PeekTurn(Call[int]):
    """Ask which number the next request of this session will have. Sent by simulations; changes nothing."""


@dataclass(frozen=True, slots=True)
class _IdleCheck:
    turn: int


class SessionActor(Actor):
    """Numbers the requests of one session. A crash loses the count: the next turn is 1 again."""

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id
        self._turn = 0

    async def init(self) -> None:
        """Arrange to leave should no request ever come."""
        self._watch_idleness()

    async def handle_call(self, request: object, reply_to: ReplyTo[int]) -> object:
        """Answer `NextTurn` and `PeekTurn`."""
        if isinstance(request, PeekTurn):
            return self._turn + 1
        if not isinstance(request, NextTurn):
            return await super().handle_call(request, reply_to)
        self._turn += 1
        return self._turn

    async def handle_info(self, message: object) -> Stop | None:
        """Leave when no turn was taken since the last look."""
        if not isinstance(message, _IdleCheck):
            return None
        if message.turn == self._turn:
            return Stop()
        self._watch_idleness()
        return None

    def format_status(self) -> Mapping[str, object]:
        """The session and its turn."""
        return {"session_id": self._session_id, "turn": self._turn}

    def _watch_idleness(self) -> None:
        self.system.send_after(_IDLE_S, self.ref, _IdleCheck(self._turn))
