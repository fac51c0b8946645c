from hypothesis import given
from hypothesis import strategies as st

from supervisors._intensity import RestartWindow


def counted(window: RestartWindow, *times: float) -> RestartWindow:
    for time in times:
        window = window.add(time)
    return window


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
