"""Whatever is set, called off and put after whatever else: deadlines fall due in order, in time, and once."""

from collections.abc import Sequence
from typing import Literal

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisors._backend import detect_backend
from supervisors._timers import Alarm, Timers
from supervisors.testing import run_virtual, settle

Backend = Literal["asyncio", "trio"]

SECONDS = st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 5.0, 50.0])
STEPS = st.one_of(
    st.tuples(st.just("set"), SECONDS),
    st.tuples(st.just("set"), SECONDS),
    st.tuples(st.just("set off another"), SECONDS),
    st.tuples(st.just("call off"), st.integers(0, 30)),
    st.tuples(st.just("call off when due"), st.integers(0, 30)),
    st.tuples(st.just("let pass"), st.sampled_from([0.5, 1.0, 3.0])),
)


class Alarms:
    """Alarms that were set, by number, with what happens when they fall due."""

    def __init__(self, timers: Timers) -> None:
        self.timers = timers
        self.expected: dict[int, float] = {}
        self.rang: list[tuple[float, int]] = []
        self._alarms: list[Alarm] = []
        self._then: dict[int, int] = {}

    def set(self, seconds: float, *, then_set: float | None = None) -> int:
        """Set an alarm; perhaps one that sets another."""
        number = len(self._alarms)
        self.expected[number] = anyio.current_time() + seconds

        def ring() -> None:
            self.rang.append((anyio.current_time(), number))
            if number in self._then:
                self.call_off(self._then[number])
            if then_set is not None:
                self.set(then_set)

        self._alarms.append(self.timers.after(seconds, ring))
        return number

    def call_off(self, which: int) -> None:
        """Take an alarm back, if there is one that has not rung."""
        number = which % len(self._alarms) if self._alarms else 0
        if number in self.expected and number not in {rung for _, rung in self.rang}:
            self.timers.discard(self._alarms[number])
            del self.expected[number]

    def call_off_when_due(self, which: int) -> None:
        """Have the last alarm take another back."""
        if self._alarms:
            self._then[len(self._alarms) - 1] = which


async def live(story: Sequence[tuple[str, float]]) -> None:
    timers = Timers(detect_backend())
    alarms = Alarms(timers)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(timers.run)
        for what, how in story:
            match what:
                case "set":
                    alarms.set(how)
                case "set off another":
                    alarms.set(how, then_set=how)
                case "call off":
                    alarms.call_off(int(how))
                case "call off when due":
                    alarms.call_off_when_due(int(how))
                case _:
                    await anyio.sleep(how)
                    await settle()
        await anyio.sleep(200)
        await settle()
        tasks.cancel_scope.cancel()
    assert alarms.rang == sorted((at, number) for number, at in alarms.expected.items())
    assert len(timers) == 0


@settings(max_examples=100, deadline=None)
@given(story=st.lists(STEPS, max_size=30), seed=st.integers(0, 2**16))
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_deadlines_fall_due_in_order_in_time_and_once(
    story: list[tuple[str, float]], seed: int, backend: Backend
) -> None:
    run_virtual(live, story, backend=backend, seed=seed)
