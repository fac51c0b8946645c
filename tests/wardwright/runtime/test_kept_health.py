"""What is known of a provider goes over to the next process: for as long as it means anything, and no longer whatever the clock says."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.config.settings import CannedSettings, OpenAICompatibleSettings, Timeouts
from wardwright.domain.errors import Failure
from wardwright.domain.limits import RateWindow
from wardwright.domain.route import Unhealthy
from wardwright.planner.attempts import RetryPolicy
from wardwright.planner.breaker import SOUND, Breaker, BreakerPolicy, Closed, HalfOpen, Mark, Open, lets_through
from wardwright.planner.holds import LONGEST_HOLD_S, Hold
from wardwright.runtime.gate import Admission, Gate, NotNow
from wardwright.runtime.health import HealthBoard, describe
from wardwright.runtime.kept_health import KeptHealth, breaker_again, holds_again, kept, place_of

POLICY = BreakerPolicy(failures=3, window_s=30, open_s=15)
SETTINGS = OpenAICompatibleSettings(id="first", base_url="http://127.0.0.1:1/v1", breaker=POLICY)
WALL = 1_900_000_000.0
REFUSED = Failure("connect", "nobody listens")


def again(breaker: Breaker, after_s: float, policy: BreakerPolicy = POLICY) -> Breaker:
    """A state that was noted at 100 by the clock of one process, so long after by that of the next, which shows 7 then."""
    known = kept(SETTINGS, breaker, {}, now=100.0, wall=WALL)
    return breaker_again(known, policy, now=7.0, wall=WALL + after_s)


class TestBreaker:
    def test_an_open_one_stays_open_for_the_time_that_is_left(self) -> None:
        assert again(Open(112.0), 5.0) == Open(7.0 + 7.0)
        assert again(Open(112.0), 20.0) == Open(7.0 - 8.0), "its time is over: the next who asks is the probe"

    def test_a_probe_that_was_under_way_has_found_out_nothing(self) -> None:
        assert again(HalfOpen(), 5.0) == Open(7.0 - 5.0)

    def test_failures_count_for_the_rest_of_their_window(self) -> None:
        before = Closed((Mark(90.0, 0), Mark(99.5, 2)), 3)
        assert again(before, 5.0) == Closed((Mark(7.0 - 15.0, 0), Mark(7.0 - 5.5, 2)), 3)
        assert again(before, 5.0, BreakerPolicy(failures=1)) == Closed((Mark(7.0 - 5.5, 2),), 3)

    def test_a_sound_one_is_sound(self) -> None:
        assert again(SOUND, 5.0) is SOUND

    @pytest.mark.parametrize("before", [Open(112.0), HalfOpen(), Closed((Mark(99.0, 0),), 0)])
    def test_what_is_older_than_window_and_open_time_is_forgotten(self, before: Breaker) -> None:
        assert again(before, 45.0) is not SOUND
        assert again(before, 45.1) is SOUND

    @given(
        st.one_of(
            st.builds(Open, st.floats(100, 115)),
            st.just(HalfOpen()),
            st.builds(Closed, st.lists(st.builds(Mark, st.floats(70, 100), st.just(0)), min_size=1).map(tuple)),
        ),
        st.floats(-1e9, 1e9),
    )
    def test_however_the_clock_was_set_nothing_is_left_alone_for_longer_than_at_first(
        self, before: Breaker, after_s: float
    ) -> None:
        found = again(before, after_s)
        assert lets_through(found, 7.0 + POLICY.open_s)
        if isinstance(found, Closed):
            assert all(mark.at <= 7.0 for mark in found.marks)


class TestHolds:
    def held(self, after_s: float, *, until: float) -> dict[str | None, Hold]:
        holds: dict[str | None, Hold] = {"p/a": Hold(until, "rate_limited", 2), None: Hold(until, "breaker_open")}
        known = kept(SETTINGS, SOUND, holds, now=100.0, wall=WALL)
        return holds_again(known, POLICY, now=7.0, wall=WALL + after_s)

    def test_they_last_for_the_time_that_is_left(self) -> None:
        assert self.held(60.0, until=190.0) == {None: Hold(37.0, "breaker_open"), "p/a": Hold(37.0, "rate_limited", 2)}

    def test_how_often_one_was_guessed_is_remembered_for_a_while_after_its_end(self) -> None:
        assert self.held(40.0, until=101.0)["p/a"] == Hold(7.0 - 39.0, "rate_limited", 2)
        assert self.held(50.0, until=101.0) == {}

    def test_a_clock_that_was_set_back_makes_none_longer_than_any_can_be(self) -> None:
        assert self.held(-1e6, until=190.0)["p/a"].until == 7.0 + LONGEST_HOLD_S


class TestPlace:
    def test_it_stays_when_only_what_is_done_about_it_changes(self) -> None:
        tuned = msgspec.structs.replace(
            SETTINGS,
            timeouts=Timeouts(connect=1),
            retry=RetryPolicy(attempts=1),
            breaker=BreakerPolicy(failures=9),
            max_concurrency=1,
        )
        assert place_of(tuned) == place_of(SETTINGS)

    @pytest.mark.parametrize(
        "other",
        [
            msgspec.structs.replace(SETTINGS, base_url="http://127.0.0.1:2/v1"),
            msgspec.structs.replace(SETTINGS, credential_env="OTHER"),
            CannedSettings(id="first", outputs=("unused",)),
        ],
        ids=["address", "credential", "kind"],
    )
    def test_another_address_credential_or_kind_is_another_place(
        self, other: CannedSettings | OpenAICompatibleSettings
    ) -> None:
        assert place_of(other) != place_of(SETTINGS)


class Process:
    """A board with one gate: its own clock began at `began`, the wall's goes on over all processes."""

    def __init__(self, began: float, known: dict[str, KeptHealth] | None = None) -> None:
        self.now = began
        self.wall = WALL
        self.board = HealthBoard(wall_clock=lambda: self.wall)
        self.board.recall(known or {})

    def gate(self, settings: OpenAICompatibleSettings = SETTINGS) -> Gate:
        return self.board.furnish(settings, lambda: self.now)

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds

    def call(self, failure: Failure | None, target: str = "first/a") -> None:
        admission = self.gate().enter_nowait(target)
        assert isinstance(admission, Admission), admission
        with admission:
            admission.settle(failure, 1.0)

    def restarted(self, after_s: float) -> "Process":
        """The next process on what this one has left on disk."""
        on_disk = msgspec.json.encode(self.board.kept())
        following = Process(3.0, msgspec.json.decode(on_disk, type=dict[str, KeptHealth]))
        following.wall = self.wall + after_s
        return following


class TestBoard:
    def broken(self) -> Process:
        process = Process(1000.0)
        for _ in range(3):
            process.call(REFUSED)
        process.passes(5.0)
        return process

    def test_plans_see_after_a_restart_what_they_would_have_seen_without_one(self) -> None:
        before = self.broken()
        before.gate().hear("first/a", [RateWindow("requests", limit=1, remaining=0, resets_in_s=60.0)])
        after = before.restarted(4.0)
        after.gate()
        before.passes(4.0)
        expected = (Unhealthy("first", "breaker_open", 6.0), Unhealthy("first/a", "rate_limited", 56.0))
        assert before.board.snapshot(before.now) == expected
        assert after.board.snapshot(after.now) == expected
        assert after.gate().enter_nowait("first/b") == NotNow("breaker_open", 6.0)
        assert describe(after.gate())["breaker"] == {"state": "open", "retry_in_s": 6.0}
        assert describe(after.gate())["health"] == "degraded"
        after.passes(6.0)
        after.call(None, "first/b")
        assert after.board.snapshot(after.now) == (Unhealthy("first/a", "rate_limited", 50.0),)

    def test_one_more_failure_opens_what_was_about_to_open(self) -> None:
        before = Process(1000.0)
        before.call(REFUSED)
        before.call(REFUSED)
        after = before.restarted(1.0)
        after.call(REFUSED)
        assert after.gate().enter_nowait("first/a") == NotNow("breaker_open", 15.0)

    def test_what_is_well_is_not_kept_at_all(self) -> None:
        process = Process(1000.0)
        process.call(None)
        assert process.board.kept() == {}
        process.board.forget("first")
        assert process.board.kept() == {}

    def test_a_provider_that_is_gone_is_remembered_until_nobody_needs_it(self) -> None:
        process = self.broken()
        kept_before = process.board.kept()
        process.board.forget("first")
        assert process.board.kept() == kept_before
        process.passes(LONGEST_HOLD_S - 1)
        assert process.board.kept() == kept_before
        process.passes(2)
        assert process.board.kept() == {}

    def test_one_that_comes_back_is_as_it_was_and_another_in_its_place_is_sound(self) -> None:
        process = self.broken()
        process.board.forget("first")
        process.passes(4.0)
        assert process.gate().enter_nowait("first/a") == NotNow("breaker_open", 6.0)
        process.board.forget("first")
        elsewhere = msgspec.structs.replace(SETTINGS, base_url="http://127.0.0.1:2/v1")
        assert isinstance(process.gate(elsewhere).enter_nowait("first/a"), Admission)
        assert process.board.kept() == {}

    def test_what_an_earlier_process_knew_goes_on_to_the_next_though_the_provider_never_came(self) -> None:
        before = self.broken()
        assert before.restarted(1.0).restarted(1.0).board.kept() == before.board.kept()

    def test_every_change_is_told(self) -> None:
        process = Process(1000.0)
        process.call(None)
        assert not process.board.changed.is_set()
        process.call(REFUSED)
        assert process.board.changed.is_set()
