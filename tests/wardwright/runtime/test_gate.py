"""Who may call a provider now: the breaker, its one probe, holds, and the queue for permits; and what each end teaches."""

from collections.abc import Callable

import anyio
import pytest

from supervisors.testing import settle
from tests.wardwright.runtime.conftest import Logs
from tests.wardwright.runtime.stage import cascade
from wardwright.config.settings import CannedSettings, Timeouts
from wardwright.domain.errors import Failure
from wardwright.domain.limits import RateWindow
from wardwright.domain.route import Composition, Target, Unhealthy
from wardwright.planner.breaker import BreakerPolicy
from wardwright.runtime.gate import QUEUE_PER_PERMIT, Admission, Gate, NotNow
from wardwright.runtime.health import HealthBoard, ProviderMissing, describe

pytestmark = pytest.mark.anyio

REFUSED = Failure("connect", "nobody listens")
LOCKED = Failure("auth", "no", 401)
A = Target("first/a", "first", "a", 8192)


class Door:
    """One gate on a board, and short words for what a test does at it."""

    def __init__(self, *, permits: int = 64, failures: int = 2) -> None:
        self.board = HealthBoard()
        self.settings = CannedSettings(
            id="first",
            outputs=("unused",),
            max_concurrency=permits,
            breaker=BreakerPolicy(failures=failures, window_s=30, open_s=15),
            timeouts=Timeouts(connect=5, total=600),
        )
        self.gate: Gate = self.board.furnish(self.settings, anyio.current_time)

    def enter(self, target: str = "first/a") -> Admission:
        admission = self.gate.enter_nowait(target)
        assert isinstance(admission, Admission), admission
        return admission

    def call(self, failure: Failure | None = None, target: str = "first/a") -> None:
        """A call that ends at once."""
        with self.enter(target) as admission:
            admission.settle(failure, 1.0)

    def refusal(self, target: str = "first/a") -> NotNow | None:
        """What keeps a call from being made, which is not made if nothing does."""
        entered = self.gate.enter_nowait(target)
        if isinstance(entered, Admission):
            with entered:
                return None
        return entered

    def unhealthy(self) -> list[Unhealthy]:
        return list(self.board.snapshot(anyio.current_time()))


class TestBreaker:
    async def test_after_enough_failures_nobody_is_let_through_until_its_time_is_over(self) -> None:
        door = Door()
        door.call(REFUSED)
        assert (door.refusal(), door.unhealthy()) == (None, [])
        door.call(REFUSED)
        assert door.refusal() == NotNow("breaker_open", 15.0)
        assert door.refusal("first/b") == NotNow("breaker_open", 15.0), "the provider is left alone, not the target"
        assert door.unhealthy() == [Unhealthy("first", "breaker_open", 15)]
        await anyio.sleep(14.5)
        assert door.unhealthy() == [Unhealthy("first", "breaker_open", 1)]
        await anyio.sleep(0.5)
        assert door.unhealthy() == [], "a plan may count on it again: who asks first is the probe"

    async def test_exactly_one_call_is_the_probe_and_its_answer_closes_the_breaker(self) -> None:
        door = Door()
        door.call(LOCKED)
        await anyio.sleep(15)
        with door.enter() as probe:
            assert door.refusal() == NotNow("breaker_open", None)
            assert door.unhealthy() == [Unhealthy("first", "breaker_open")]
            probe.settle(None, 1.0)
            assert (door.refusal(), door.unhealthy()) == (None, [])

    async def test_a_probe_that_fails_opens_it_again(self) -> None:
        door = Door()
        door.call(LOCKED)
        await anyio.sleep(15)
        door.call(REFUSED)
        assert door.refusal() == NotNow("breaker_open", 15.0)

    async def test_a_probe_whose_content_has_come_has_found_out_enough(self) -> None:
        door = Door()
        door.call(LOCKED)
        await anyio.sleep(15)
        with door.enter() as probe:
            probe.prove()
            assert door.refusal() is None
            probe.settle(Failure("stream_broken", "cut"), 1.0)
        assert door.refusal() is None, "that was one failure"
        door.call(REFUSED)
        assert door.refusal() == NotNow("breaker_open", 15.0)

    @pytest.mark.parametrize("how", ["cancelled", "crashed", "unfair", "left"])
    async def test_a_probe_that_found_nothing_out_leaves_it_to_the_next(self, how: str) -> None:
        door = Door()
        door.call(LOCKED)
        await anyio.sleep(15)
        with anyio.CancelScope() as scope:
            try:
                with door.enter() as probe:
                    if how == "cancelled":
                        scope.cancel()
                        await anyio.sleep(1)
                    elif how == "crashed":
                        raise RuntimeError("a bug in the adapter")
                    elif how == "unfair":
                        probe.settle(Failure("timeout", "no time was left", clock="total"), 1.0, is_fair=False)
            except RuntimeError:
                assert how == "crashed"
        with door.enter() as next_probe:
            assert door.refusal() == NotNow("breaker_open", None)
            next_probe.settle(None, 1.0)
        assert door.refusal() is None

    async def test_calls_from_before_it_opened_change_nothing_by_how_they_end(self) -> None:
        door = Door()
        with door.enter() as early, door.enter() as late:
            door.call(LOCKED)
            early.settle(None, 1.0)
            assert door.refusal() == NotNow("breaker_open", 15.0)
            await anyio.sleep(15)
            with door.enter() as probe:
                late.settle(REFUSED, 1.0)
                probe.settle(None, 1.0)
        assert door.refusal() is None

    async def test_operators_are_told_when_it_opens_and_when_it_closes(self, logs: Logs) -> None:
        door = Door()
        door.call(LOCKED)
        await anyio.sleep(15)
        door.call()
        told = [(line["log_level"], line["event"], line["provider"]) for line in logs]
        assert told == [
            ("warning", "left alone after failures", "first"),
            ("info", "asking again, with one call", "first"),
            ("info", "in use again", "first"),
        ]
        assert (logs[0]["last_failure"], logs[0]["status"], logs[0]["seconds"]) == ("auth", 401, 15)


class TestHolds:
    async def test_a_rate_limit_holds_for_its_target_alone(self) -> None:
        door = Door()
        door.call(Failure("rate_limited", "", 429, 20.0))
        assert door.refusal() == NotNow("rate_limited", 20.0)
        assert door.refusal("first/b") is None
        assert door.unhealthy() == [Unhealthy("first/a", "rate_limited", 20)]
        await anyio.sleep(20)
        assert (door.refusal(), door.unhealthy()) == (None, [])

    async def test_an_account_without_funds_holds_for_every_target(self) -> None:
        door = Door()
        door.call(Failure("rate_limited", "", 402))
        assert door.refusal("first/b") == NotNow("rate_limited", 1.0)
        assert door.unhealthy() == [Unhealthy("first", "rate_limited", 1)]

    async def test_a_target_the_key_is_not_good_for_is_left_alone_and_its_neighbours_are_not(self) -> None:
        door = Door()
        door.call(Failure("auth", "", 403))
        assert door.refusal() == NotNow("breaker_open", 15.0)
        assert door.refusal("first/b") is None

    async def test_a_limit_that_an_answer_says_is_used_up_holds_before_anybody_is_refused(self) -> None:
        door = Door()
        with door.enter() as call:
            call.hear([RateWindow("requests", 60, 0, 120.0)])
            call.settle(None, 1.0)
        assert door.refusal() == NotNow("rate_limited", 2.0)
        await anyio.sleep(2)
        assert door.refusal() is None

    async def test_refusals_in_a_row_are_waited_out_longer_and_an_answer_forgets_them(self) -> None:
        door = Door()
        waits = []
        for failure in [Failure("rate_limited", "", 429)] * 3:
            door.call(failure)
            refusal = door.refusal()
            assert refusal is not None
            assert refusal.retry_after_s is not None
            waits.append(refusal.retry_after_s)
            await anyio.sleep(refusal.retry_after_s)
        door.call()
        door.call(Failure("rate_limited", "", 429))
        assert waits == [1, 2, 4]
        assert door.refusal() == NotNow("rate_limited", 1.0)


class TestQueue:
    async def test_a_permit_comes_back_however_the_call_ends(self) -> None:
        door = Door(permits=1)
        door.call()
        door.call(REFUSED)
        with anyio.CancelScope() as scope, door.enter():
            scope.cancel()
            await anyio.sleep(1)
        assert door.gate.permits.in_use == 0

    async def test_who_waits_is_let_through_when_a_permit_comes_back(self) -> None:
        door = Door(permits=1)
        async with anyio.create_task_group() as tasks:
            with door.enter():
                assert door.gate.enter_nowait("first/a") is None, "there is no permit, and nothing else against it"
                waiting = _later(tasks, door, patience_s=60)
                await anyio.sleep(10)
                assert door.gate.permits.waiting == 1
            await settle()
            admission = waiting()
            assert isinstance(admission, Admission)
            with admission:
                assert admission.began == anyio.current_time()
        assert (door.gate.permits.in_use, door.gate.permits.waiting) == (0, 0)

    async def test_nobody_waits_longer_than_they_have_patience(self) -> None:
        door = Door(permits=1)
        with door.enter():
            began = anyio.current_time()
            assert await door.gate.enter("first/a", patience_s=5) == NotNow("saturated", 0.0)
            assert anyio.current_time() - began == 5
        assert (door.gate.permits.in_use, door.gate.permits.waiting) == (0, 0)

    async def test_who_would_wait_too_long_is_told_at_once(self) -> None:
        door = Door(permits=1)
        with door.enter():
            await anyio.sleep(20)  # so long does a call take here
        with door.enter():
            began = anyio.current_time()
            assert await door.gate.enter("first/a", patience_s=5) == NotNow("saturated", 20.0)
            assert anyio.current_time() == began

    async def test_the_queue_has_an_end_and_then_plans_do_without_the_provider(self) -> None:
        door = Door(permits=1)
        async with anyio.create_task_group() as tasks:
            with door.enter():
                for _ in range(QUEUE_PER_PERMIT):
                    assert door.unhealthy() == []
                    _later(tasks, door, patience_s=600)
                    await settle()
                assert await door.gate.enter("first/a", patience_s=600) == NotNow("saturated", 0.0)
                assert door.unhealthy() == [Unhealthy("first", "saturated", 1)]
                tasks.cancel_scope.cancel()
        assert door.gate.permits.waiting == 0
        assert door.unhealthy() == []

    @pytest.mark.parametrize("failure", [LOCKED, Failure("rate_limited", "", 402)])
    async def test_those_who_wait_are_told_when_waiting_has_no_point_any_more(self, failure: Failure) -> None:
        door = Door(permits=2)
        async with anyio.create_task_group() as tasks:
            with door.enter(), door.enter() as call:
                waiting = _later(tasks, door, patience_s=600)
                await settle()
                call.settle(failure, 1.0)
                await settle()
                assert isinstance(waiting(), NotNow)
        assert (door.gate.permits.in_use, door.gate.permits.waiting) == (0, 0)

    async def test_a_rate_limit_sends_away_those_who_wait_for_its_target_alone(self) -> None:
        door = Door(permits=2)
        async with anyio.create_task_group() as tasks:
            with door.enter() as call, door.enter():
                for_a = _later(tasks, door, patience_s=600)
                for_b = _later(tasks, door, patience_s=600, target="first/b")
                await settle()
                call.settle(Failure("rate_limited", "", 429, 60.0), 1.0)
                await settle()
                assert for_a() == NotNow("rate_limited", 60.0)
                assert door.gate.permits.waiting == 1
            await settle()
            admission = for_b()
            assert isinstance(admission, Admission)
            with admission:
                assert door.gate.permits.in_use == 1

    async def test_whose_turn_has_come_while_somebody_else_is_the_probe_goes_elsewhere(self) -> None:
        door = Door(permits=1)
        async with anyio.create_task_group() as tasks:
            with door.enter() as hanging:
                door.gate.permits.resize(2)
                door.call(LOCKED)
                door.gate.permits.resize(1)
                await anyio.sleep(15)
                waiting = [_later(tasks, door, patience_s=600) for _ in range(2)]
                await settle()
                door.gate.permits.resize(2)
                await settle()
                hanging.settle(None, 1.0)
            await settle()
            entered = [came() for came in waiting]
            [probe] = [one for one in entered if isinstance(one, Admission)]
            assert NotNow("breaker_open", None) in entered
            with probe:
                pass
        assert door.gate.permits.in_use == 0

    async def test_settings_may_change_while_calls_are_under_way(self) -> None:
        door = Door(permits=1)
        with door.enter():
            door.board.furnish(CannedSettings(id="first", outputs=("unused",), max_concurrency=2), anyio.current_time)
            with door.enter():
                assert door.gate.enter_nowait("first/a") is None
        assert door.board.gate("first") is door.gate


class TestBoard:
    async def test_when_all_is_well_there_is_nothing_to_see(self) -> None:
        door = Door()
        door.call()
        assert door.board.snapshot(anyio.current_time()) == ()

    async def test_a_snapshot_is_the_same_object_until_something_changes(self) -> None:
        door = Door()
        door.call(LOCKED)
        now = anyio.current_time()
        seen = door.board.snapshot(now)
        assert door.board.snapshot(now + 0.5) is seen
        assert door.board.snapshot(now + 1.5) != seen

    async def test_a_hold_that_ends_within_the_second_is_not_shown_longer(self) -> None:
        door = Door()
        door.call(Failure("rate_limited", "", 429, 0.25))
        now = anyio.current_time()
        assert door.board.snapshot(now) == (Unhealthy("first/a", "rate_limited", 1),)
        assert door.board.snapshot(now + 0.25) == ()

    async def test_a_model_is_concerned_by_its_own_targets_and_providers_alone(self) -> None:
        door = Door()
        door.board.furnish(CannedSettings(id="second", outputs=("unused",)), anyio.current_time)
        door.call(LOCKED)
        now = anyio.current_time()
        assert door.board.concerning(Composition(cascade("first", "second")), now) == door.board.snapshot(now)
        assert door.board.concerning(Composition(cascade("second")), now) == ()
        nested = Composition(cascade("second"), {"below": cascade("first")})
        assert door.board.concerning(nested, now) == door.board.snapshot(now)

    async def test_it_says_when_the_first_of_some_targets_may_be_asked_again(self) -> None:
        door = Door()
        b = Target("first/b", "first", "b", 8192)
        door.call(Failure("rate_limited", "", 429, 20.0))
        door.call(Failure("rate_limited", "", 429, 3.0), "first/b")
        now = anyio.current_time()
        assert door.board.retry_after_s([A, b], now) == 3
        assert door.board.retry_after_s([A], now) == 20
        assert door.board.retry_after_s([], now) is None
        door.call(LOCKED, "first/c")
        assert door.board.retry_after_s([A, b], now) == 15, "before that the provider is not asked at all"

    async def test_there_is_no_gate_before_its_actor_has_started(self) -> None:
        with pytest.raises(ProviderMissing):
            HealthBoard().gate("first")

    async def test_one_that_is_forgotten_is_made_anew_and_says_nothing_of_the_new_one(self) -> None:
        door = Door(permits=2)
        with door.enter() as call:
            door.board.forget("first")
            call.settle(LOCKED, 5.0)
        assert door.unhealthy() == []
        with pytest.raises(ProviderMissing):
            door.board.gate("first")

    async def test_operators_see_all_of_it(self) -> None:
        door = Door(permits=2)
        with door.enter() as call:
            call.hear([RateWindow("requests", 60, 59, 2.0)])
            call.settle(None, 12.5)
        await anyio.sleep(0.5)
        door.call(Failure("rate_limited", "the provider answered 429", 429, 20.0), "first/b")
        door.call(Failure("overloaded", "the provider answered 503", 503))
        door.enter().call_off()
        await anyio.sleep(1)
        assert describe(door.gate) == {
            "health": "degraded",
            "attempt_count": 4,
            "completed_count": 1,
            "cancelled_count": 1,
            "error_count": 2,
            "consecutive_failures": 1,
            "last_latency_ms": 1.0,
            "last_failure": {
                "target": "first/a",
                "ago_s": 1.0,
                "failure_class": "overloaded",
                "message": "the provider answered 503",
                "status": 503,
                "retry_after_s": None,
                "clock": None,
                "code": None,
            },
            "breaker": {"state": "closed", "retry_in_s": None},
            "permits": {"limit": 2, "in_use": 1, "waiting": 0, "expected_wait_s": 0.0},
            "on_hold": None,
            "targets": [
                {
                    "target": "first/a",
                    "completed_count": 1,
                    "error_count": 1,
                    "cancelled_count": 1,
                    "on_hold": None,
                    "rate_limits": [{"unit": "requests", "limit": 60, "remaining": 59, "resets_in_s": 0.5}],
                },
                {
                    "target": "first/b",
                    "completed_count": 0,
                    "error_count": 1,
                    "cancelled_count": 0,
                    "on_hold": {"reason": "rate_limited", "for_s": 19.0},
                    "rate_limits": [],
                },
            ],
        }

    @pytest.mark.parametrize(
        ("ends", "health"),
        [
            ([], "unknown"),
            ([None], "healthy"),
            ([REFUSED], "degraded"),
            ([REFUSED, None], "healthy"),
            ([LOCKED], "degraded"),
        ],
    )
    async def test_health_is_one_word(self, ends: list[Failure | None], health: str) -> None:
        door = Door()
        for failure in ends:
            door.call(failure)
        assert describe(door.gate)["health"] == health


def _later(
    tasks: anyio.abc.TaskGroup, door: Door, *, patience_s: float, target: str = "first/a"
) -> Callable[[], Admission | NotNow]:
    """Have somebody wait at the gate; calling the result says what came of it."""
    entered: list[Admission | NotNow] = []

    async def wait() -> None:
        entered.append(await door.gate.enter(target, patience_s=patience_s))

    tasks.start_soon(wait)
    return lambda: entered[0]
