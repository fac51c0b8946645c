import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisors import Pause
from supervisors._intensity import FailureMeter, RestartWindow


def counted(window: RestartWindow, *times: float) -> RestartWindow:
    for time in times:
        window = window.add(time)
    return window


def measured(*times: float, threshold: float = 5, half_life: float = 30) -> FailureMeter:
    meter = FailureMeter(Pause(threshold=threshold, half_life=half_life))
    for time in times:
        meter = meter.add(time)
    return meter


def test_zero_restarts_bears_none() -> None:
    assert counted(RestartWindow(0, 5), 0.0).exceeded


def test_the_limit_itself_is_borne() -> None:
    assert not counted(RestartWindow(2, 5), 0.0, 1.0).exceeded
    assert counted(RestartWindow(2, 5), 0.0, 1.0, 2.0).exceeded


def test_a_restart_exactly_as_old_as_the_window_counts() -> None:
    assert counted(RestartWindow(1, 5), 0.0, 5.0).exceeded
    assert not counted(RestartWindow(1, 5), 0.0, 5.1).exceeded


def test_slow_crashes_are_borne_forever() -> None:
    assert not counted(RestartWindow(1, 1), *(2.1 * n for n in range(100))).exceeded


@given(
    max_restarts=st.integers(0, 6),
    max_seconds=st.floats(0.1, 20),
    gaps=st.lists(st.floats(0, 10, allow_nan=False), max_size=40),
)
def test_it_gives_up_exactly_when_too_many_restarts_lie_in_one_window(
    max_restarts: int, max_seconds: float, gaps: list[float]
) -> None:
    window, now, all_restarts = RestartWindow(max_restarts, max_seconds), 0.0, []
    for gap in gaps:
        now += gap
        all_restarts.append(now)
        window = window.add(now)
        recent = [at for at in all_restarts if at >= now - max_seconds]
        assert window.exceeded == (len(recent) > max_restarts)


@given(st.lists(st.floats(0, 3), min_size=1, max_size=200))
def test_it_remembers_no_more_than_its_window(gaps: list[float]) -> None:
    window, now = RestartWindow(1000, 5), 0.0
    for gap in gaps:
        now += gap
        window = window.add(now)
    assert all(now - at <= 5 for at in window.restarts)


def test_failures_at_one_moment_add_up() -> None:
    assert measured(7.0, 7.0, 7.0).level == 3
    assert not measured(7.0, 7.0, threshold=2).exceeded
    assert measured(7.0, 7.0, 7.0, threshold=2).exceeded


def test_what_was_counted_is_halved_with_every_half_life() -> None:
    assert measured(0, 30).level == pytest.approx(1.5)
    assert measured(0, 60).level == pytest.approx(1.25)
    assert measured(0, 30, 60).level == pytest.approx(1.75)


def test_failures_that_are_far_apart_never_exceed() -> None:
    assert not measured(*(30.0 * n for n in range(1000)), threshold=2).exceeded


def test_a_meter_that_was_reset_begins_anew() -> None:
    assert measured(0, 0, 0, threshold=2).reset().add(1.0).level == 1


@given(st.lists(st.floats(0, 100), max_size=50), st.floats(0.1, 100))
def test_every_failure_counts_for_less_the_longer_ago_it_was(gaps: list[float], half_life: float) -> None:
    times = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    expected = sum(0.5 ** ((times[-1] - at) / half_life) for at in times)
    assert measured(*times, half_life=half_life).level == pytest.approx(expected)
