"""Where a session stands, read off what a store has of it, also after requests that got no turn."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import msgspec
import pytest

from supervisors import DynamicSupervisor, System
from wardwright.app.storage import storage_at
from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.route import SessionFacts, StickyChoice
from wardwright.ports.storage import ReceiptStore
from wardwright.receipts.events import AttemptFinished, Closed, Entry, StreamFinding
from wardwright.runtime.checkpointer import StoreBoard
from wardwright.runtime.sessions import Sessions
from wardwright.storage.memory import MemoryReceiptStore
from wardwright.testing.sample_receipts import Written, opened, sealed

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]

CHOICES = (StickyChoice("blend", ("local/small", "local/large")),)


class CountingStore(MemoryReceiptStore):
    """The memory store, and how many receipts were read from it."""

    read = 0

    def entries(self, receipt_id: str) -> tuple[Entry, ...]:
        self.read += 1
        return super().entries(receipt_id)


@pytest.fixture(params=["memory", "file", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ReceiptStore]:
    kind: str = request.param
    with closing(MemoryReceiptStore() if kind == "memory" else storage_at(kind, tmp_path).open()) as opened_store:
        yield opened_store


@asynccontextmanager
async def sessions_on(store: ReceiptStore) -> AsyncIterator[Sessions]:
    board = StoreBoard()
    board.replace(store)
    async with System("test", DynamicSupervisor()) as system:
        yield Sessions(system, board)


def asked(number: int, turn: int | None, *, session: str = "s", spent: tuple[str, ...] = ()) -> Written:
    """A request that the larger target served, ten seconds after the one of the number before, and rules that have fired in it."""
    event = opened(Caller(session_id=Attributed(session, "header")), session_turn=turn)
    facts = msgspec.structs.replace(event.decision.facts, session=None if turn is None else SessionFacts(turn))
    decision = msgspec.structs.replace(event.decision, facts=facts, sticky=() if turn is None else CHOICES)
    finding = StreamFinding("horizon", spent=spent)
    return sealed(
        number,
        [
            msgspec.structs.replace(event, decision=decision),
            AttemptFinished(1, "local/large", "stopped", 0.0, 1.0, stream_policy=finding),
            Closed("completed", 1, selected_model="local/large"),
        ],
    )


def write(store: ReceiptStore, *receipts: Written) -> None:
    store.append([payload for receipt in receipts for payload in receipt.payloads])


@pytest.mark.parametrize("without", [0, 1, 7, 8, 9, 100])
async def test_a_session_goes_on_from_its_newest_receipt_that_has_a_turn(store: ReceiptStore, without: int) -> None:
    write(store, *(asked(turn, turn, spent=("first",)) for turn in (1, 2, 3)))
    write(store, *(asked(4 + number, None, spent=("late",)) for number in range(without)))
    write(store, *(asked(200 + number, number, session="another") for number in range(1, 10)))
    async with sessions_on(store) as sessions:
        known = await sessions.peek("coding", "s")
    assert known == SessionFacts(4, {"blend": "local/large"}, ("first", "late") if without else ("first",))


async def test_where_no_receipt_has_a_turn_the_next_request_is_the_first(store: ReceiptStore) -> None:
    write(store, *(asked(number, None, spent=(f"rule {number}",)) for number in (1, 2)))
    async with sessions_on(store) as sessions:
        assert await sessions.peek("coding", "s") == SessionFacts(1, {}, ("rule 1", "rule 2"))


async def test_it_does_not_look_for_a_turn_without_end() -> None:
    store = CountingStore()
    write(store, asked(1, 1), *(asked(number, None) for number in range(2, 1000)))
    async with sessions_on(store) as sessions:
        assert await sessions.peek("coding", "s") == SessionFacts(1)
    assert 500 < store.read < 600


async def test_where_the_newest_has_a_turn_no_more_is_read_than_those_beside_it() -> None:
    store = CountingStore()
    write(store, *(asked(number, None if number < 90 else number) for number in range(1, 100)))
    async with sessions_on(store) as sessions:
        known = await sessions.peek("coding", "s")
    assert (known and known.turn, store.read) == (100, 9)
