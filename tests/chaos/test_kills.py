"""A short form of `make chaos`: a few deaths under load, on each kind of storage that lasts and on both event loops."""

import random
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.chaos.kills import Line, check_turns
from tests.chaos.settings import Setting
from tests.chaos.verdict import Broken
from tests.support.postgres import PostgresServer
from wardwright.domain.caller import Attributed, Caller
from wardwright.storage.memory import MemoryReceiptStore
from wardwright.testing.sample_receipts import opened, sealed


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting",
    [Setting("file", "asyncio"), Setting("file", "trio", forgets=True), Setting("sqlite", "asyncio")],
    ids=str,
)
def test_after_kill_9_every_answered_request_has_its_receipt_and_open_ones_are_closed(
    tmp_path: Path, setting: Setting
) -> None:
    counts = Counter[str]()
    with closing(Line(tmp_path, setting, random.Random(5), counts)) as line:
        line.reign()
        line.die_in_birth()
        line.end()
    assert counts["kills"] == 2
    assert counts["answered requests"] > 0
    assert counts["receipts closed as interrupted"] > 0


@pytest.mark.slow
def test_after_each_kill_9_no_sink_is_further_than_what_it_got_and_in_the_end_it_has_everything(tmp_path: Path) -> None:
    counts = Counter[str]()
    with closing(Line(tmp_path, Setting("file", "trio", sends=True), random.Random(5), counts)) as line:
        for _ in range(2):
            line.reign()
        line.end()
    assert counts["kills"] == 2
    assert counts["events at the receiver"] > 3 * counts["receipts in the file"] > 0


@pytest.fixture
def server(postgres: PostgresServer) -> Iterator[PostgresServer]:
    yield postgres
    postgres.drop("wardwright")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the server's processes are found as Linux tells them")
def test_two_daemons_outlive_their_server_and_one_closes_what_the_other_leaves_open(
    tmp_path: Path, server: PostgresServer
) -> None:
    counts = Counter[str]()
    setting = Setting("postgres", "asyncio", is_shared=True)
    with closing(Line(tmp_path, setting, random.Random(5), counts, server)) as line:
        line.outlive_server()
        line.end()
    assert (counts["kills"], counts["kills of the server"]) == (2, 1)
    assert counts["answered requests"] > 0
    assert counts["requests refused while the server was away"] > 0
    assert counts["receipts closed as interrupted by a neighbour"] > 0


def store_of(*turns: int | None) -> MemoryReceiptStore:
    """A store that has requests of one session, in this order."""
    store = MemoryReceiptStore()
    for number, turn in enumerate(turns, 1):
        event = opened(Caller(session_id=Attributed("s", "header")), session_turn=turn)
        store.append(sealed(number, [event]).payloads)
    return store


def test_turns_that_count_on_hold_and_those_that_sessions_did_not_give_are_counted() -> None:
    assert check_turns(store_of(1, 2, 3), Counter()) == 0
    assert check_turns(store_of(None, 1, None, 2), Counter(s=2)) == 2


def test_turns_of_refused_requests_may_be_missing() -> None:
    assert check_turns(store_of(1, 3, 6), Counter(), Counter(s=3)) == 0
    with pytest.raises(Broken, match="turn 5 of s says that it is turn 6"):
        check_turns(store_of(1, 3, 6), Counter(), Counter(s=2))
    with pytest.raises(Broken, match="says that it is turn 1"):
        check_turns(store_of(1, 1), Counter(), Counter(s=9))


@pytest.mark.parametrize("turns", [(2,), (1, 1), (1, 3), (1, None, 3), (1, None, 1)])
def test_a_wrong_turn_is_found_whatever_sessions_did_not_give(turns: tuple[int | None, ...]) -> None:
    with pytest.raises(Broken, match="says that it is turn"):
        check_turns(store_of(*turns), Counter(s=9))


def test_a_request_without_a_turn_that_no_daemon_has_told_of_is_found() -> None:
    with pytest.raises(Broken, match="'s': 1"):
        check_turns(store_of(1, None, None, 2), Counter(s=1, other=5))


def test_sessions_that_hardly_ever_answer_are_found() -> None:
    with pytest.raises(Broken, match="3 requests got no turn"):
        check_turns(store_of(1, None, None, None, 2), Counter(s=3))
