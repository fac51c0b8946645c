"""A thread rests as long as it has worked, and never for long."""

from wardwright.runtime.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.at = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.at += seconds


def test_it_rests_after_a_millisecond_and_not_before() -> None:
    clock = Clock()
    pace = Pace(clock, clock.sleep)
    for _ in range(20):
        clock.at += 0.0003
        pace()
    assert clock.slept == [0.0012] * 5


def test_after_much_work_in_one_piece_the_rest_is_short_all_the_same() -> None:
    clock = Clock()
    pace = Pace(clock, clock.sleep)
    clock.at += 3
    pace()
    pace()
    assert clock.slept == [0.005]
