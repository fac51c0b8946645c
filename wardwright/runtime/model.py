"""One actor per public model: what has become of the requests for it."""

from collections import Counter
from collections.abc import Mapping

import msgspec

from supervisors import Actor
from wardwright.runtime.catalog_board import CatalogBoard


class RequestEnded(msgspec.Struct, frozen=True):
    """A request for this model ended. Cast by runs; counted. A crash here loses the counts, never a request."""

    status: str
    target: str | None


class ModelActor(Actor):
    """Counts outcomes of one model since its own start."""

    def __init__(self, model_id: str, board: CatalogBoard) -> None:
        self._model_id = model_id
        self._board = board
        self._by_status: Counter[str] = Counter()
        self._by_target: Counter[str] = Counter()

    async def handle_cast(self, message: object) -> None:
        """Count a `RequestEnded`."""
        if isinstance(message, RequestEnded):
            self._by_status[message.status] += 1
            if message.target is not None:
                self._by_target[message.target] += 1

    def format_status(self) -> Mapping[str, object]:
        """Active version and counts."""
        active = self._board.models.get(self._model_id)
        return {
            "model_id": self._model_id,
            "version": None if active is None else active.definition.version,
            "requests_by_status": dict(self._by_status),
            "answers_by_target": dict(self._by_target),
        }
