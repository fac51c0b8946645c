"""A provider's adapter outlives its actor for as long as somebody uses it, and its health outlives every crash."""

from functools import partial

import anyio
import msgspec
import pytest

from supervisors import ActorRef, ChildSpec, Supervisor, System
from supervisors.testing import settle
from wardwright.config.settings import CannedSettings, Timeouts
from wardwright.domain.errors import Failure, ProviderError
from wardwright.providers.canned import CannedProvider
from wardwright.runtime.gate import Admission
from wardwright.runtime.provider import ProviderActor, ProviderBoard, Refit, Slot

pytestmark = pytest.mark.anyio

SETTINGS = CannedSettings(id="first", outputs=("unused",))


class Adapter(CannedProvider):
    """A canned provider that says when it was closed, and may take its time over it."""

    def __init__(self, *, closes_in_s: float = 0.0) -> None:
        super().__init__("first")
        self.closes = 0
        self._closes_in_s = closes_in_s

    async def aclose(self) -> None:
        await anyio.sleep(self._closes_in_s)
        self.closes += 1


class Factory:
    """Builds an adapter per incarnation and remembers them."""

    def __init__(self) -> None:
        self.built: list[Adapter] = []

    def __call__(self, system: System) -> Adapter:
        self.built.append(Adapter())
        return self.built[-1]


def system(build: Factory, board: ProviderBoard) -> System:
    start = partial(ProviderActor, SETTINGS, build=build, board=board)
    return System("test", Supervisor([ChildSpec("first", start)]))


def actor(system: System) -> ActorRef:
    ref = system.whereis("test/first")
    assert ref is not None
    return ref


class TestLeases:
    async def test_an_adapter_is_closed_at_once_when_nobody_uses_it(self) -> None:
        board, before, after = ProviderBoard(), Adapter(), Adapter()
        await board.replace("first", Slot(before, SETTINGS))
        await board.replace("first", Slot(after, SETTINGS))

        assert (before.closes, after.closes) == (1, 0)
        slot = board.lease("first")
        assert slot.provider is after
        await slot.release()
        assert after.closes == 0, "a current adapter stays open between leases"

    async def test_a_replaced_adapter_is_closed_when_its_last_lease_ends(self) -> None:
        board, before = ProviderBoard(), Adapter()
        await board.replace("first", Slot(before, SETTINGS))
        leases = [board.lease("first"), board.lease("first")]
        await board.replace("first", Slot(Adapter(), SETTINGS))

        assert before.closes == 0
        await leases[0].release()
        assert before.closes == 0
        await leases[1].release()
        assert before.closes == 1

    async def test_without_an_adapter_there_is_nothing_to_lease(self) -> None:
        board = ProviderBoard()
        with pytest.raises(ProviderError, match="'first' is not configured any more"):
            board.lease("first")

        await board.replace("first", Slot(Adapter(), SETTINGS))
        await board.replace("first", None)
        with pytest.raises(ProviderError):
            board.lease("first")
        assert board.slots() == {}

    async def test_closing_at_the_end_of_a_lease_is_finished_though_the_request_is_cancelled(self) -> None:
        board, before = ProviderBoard(), Adapter(closes_in_s=5.0)
        await board.replace("first", Slot(before, SETTINGS))
        lease = board.lease("first")
        await board.replace("first", None)

        with anyio.move_on_after(1.0):
            await lease.release()
        assert before.closes == 1


class TestActor:
    async def test_a_killed_actor_leaves_its_adapter_to_those_who_use_it(self) -> None:
        build, board = Factory(), ProviderBoard()
        async with system(build, board) as running:
            lease = board.lease("first")
            actor(running).kill()
            assert board.slots()["first"] is lease, "requests still find an adapter while the actor restarts"

            await settle()
            before, after = build.built
            assert board.lease("first").provider is after
            assert (before.closes, after.closes) == (0, 0)
            assert actor(running).info().details["live_attempts"] == 1, "the old adapter's leases are not the new one's"

            await lease.release()
            assert before.closes == 1

    async def test_an_orderly_stop_takes_the_adapter_from_the_board(self) -> None:
        build, board = Factory(), ProviderBoard()
        async with system(build, board):
            assert list(board.slots()) == ["first"]
        assert board.slots() == {}
        assert build.built[0].closes == 1

    async def test_it_builds_with_its_system(self) -> None:
        systems: list[System] = []

        def build(system: System) -> Adapter:
            systems.append(system)
            return Adapter()

        start = partial(ProviderActor, SETTINGS, build=build, board=ProviderBoard())
        async with System("test", Supervisor([ChildSpec("first", start)])) as running:
            assert systems == [running]


class TestHealth:
    async def test_its_state_is_its_adapters_facts_and_the_health_of_its_provider(self) -> None:
        board = ProviderBoard()
        async with system(Factory(), board) as running:
            lease = board.lease("first")
            admission = board.health.gate("first").enter_nowait("first/m")
            details = actor(running).info().details

            assert (details["provider_id"], details["kind"]) == ("first", "canned")
            assert (details["live_attempts"], details["health"]) == (1, "unknown")
            assert details["permits"] == {"limit": 64, "in_use": 1, "waiting": 0, "expected_wait_s": 0.0}
            assert isinstance(admission, Admission)
            with admission:
                pass
            await lease.release()

    async def test_a_crash_loses_neither_health_nor_permits(self) -> None:
        board = ProviderBoard()
        async with system(Factory(), board) as running:
            gate = board.health.gate("first")
            admission = gate.enter_nowait("first/m")
            assert isinstance(admission, Admission)
            with admission:
                admission.settle(Failure("auth", "no", 401), 5.0)
                actor(running).kill()
                await settle()

                assert board.health.gate("first") is gate
                details = actor(running).info().details
                assert (details["error_count"], details["health"]) == (1, "degraded")
                assert details["breaker"] == {"state": "open", "retry_in_s": 15.0}
            assert gate.permits.in_use == 0


class TestRefit:
    CHANGED = CannedSettings(id="first", outputs=("another",))

    async def test_a_changed_provider_swaps_its_adapter_and_lets_attempts_end_on_the_old_one(self) -> None:
        board, build, changed = ProviderBoard(), Factory(), Factory()
        async with system(build, board) as running:
            lease = board.lease("first")
            await actor(running).call(Refit(self.CHANGED, changed))
            assert board.slots()["first"].settings is self.CHANGED
            assert board.slots()["first"].provider is changed.built[0]
            assert (build.built[0].closes, lease.closed.is_set()) == (0, False)
            await lease.release()
            assert (build.built[0].closes, lease.closed.is_set()) == (1, True)

    async def test_what_was_found_out_holds_for_a_provider_that_stays_where_it_is(self) -> None:
        board = ProviderBoard()
        async with system(Factory(), board) as running:
            gate = board.health.gate("first")
            tuned = msgspec.structs.replace(SETTINGS, timeouts=Timeouts(idle=1), max_concurrency=3)
            await actor(running).call(Refit(tuned, Factory()))
            assert board.health.gate("first") is gate
            assert gate.permits.limit == 3
            await actor(running).call(Refit(self.CHANGED, Factory()))
            assert board.health.gate("first") is not gate

    async def test_one_that_is_like_this_already_does_nothing(self) -> None:
        board, build = ProviderBoard(), Factory()
        async with system(build, board) as running:
            before = board.slots()["first"]
            await actor(running).call(Refit(SETTINGS, build))
            assert board.slots()["first"] is before
