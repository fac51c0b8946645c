"""A slow start that holds nobody up and cannot be overtaken by a message."""

from typing import Any

import anyio
import pytest

from supervisors import (
    Actor,
    BadReturnValue,
    CallTimeout,
    ChildSpec,
    Continue,
    DynamicSupervisor,
    ExitReason,
    Progress,
    ReplyTo,
    Stop,
    SupervisorReport,
    start_child,
)
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import Action, Ask, Boom, Puppet, answer, crash, puppet, sleep, started
from tests.supervisors.trees import contexts, tree

pytestmark = pytest.mark.anyio


class Patient(Puppet):
    """Continues with whatever it was made with."""

    def __init__(self, *steps: Action, trace: list[str] | None = None, on_init: Action | None = None) -> None:
        super().__init__("patient", trace, on_init=on_init)
        self._steps = list(steps)

    async def init(self) -> Any:
        await super().init()
        return Continue(self._steps.pop(0))

    async def handle_continue(self, message: Action) -> Any:
        self.trace.append("continued")
        outcome = await message(self)
        return outcome if outcome is not None or not self._steps else Continue(self._steps.pop(0))


def patient(*steps: Action, id: str = "a", **options: Any) -> ChildSpec:
    own = {name: options.pop(name) for name in ("trace", "on_init") if name in options}
    return ChildSpec(id, lambda: Patient(*steps, **own), **options)


async def test_what_was_continued_with_comes_before_messages_that_wait_already() -> None:
    trace: list[str] = []

    async def send_to_oneself(actor: Puppet) -> None:
        actor.ref.cast("waiting")

    async with tree(patient(sleep(2), trace=trace, on_init=send_to_oneself)) as system:
        started(system, "app/a").cast("later")
        await anyio.sleep(3)
        assert trace[2:] == ["continued", "waiting", "later"]


async def test_the_starter_goes_on_and_so_do_the_siblings() -> None:
    trace: list[str] = []
    async with tree(patient(sleep(5)), puppet("b", trace)) as system:
        assert trace == ["b init", "b up"]
        assert system.now() == 0
        assert started(system, "app/a").info().status == "running"


async def test_the_starter_of_a_dynamic_child_goes_on() -> None:
    async with tree(ChildSpec("pool", DynamicSupervisor, type="supervisor")) as system:
        ref = await start_child(system.named("app/pool"), patient(sleep(5)))
        assert system.now() == 0
        assert await ref.call(Ask(), timeout=10) == "patient"
        assert system.now() == pytest.approx(5)


async def test_a_continuation_may_be_followed_by_another() -> None:
    trace: list[str] = []
    async with tree(patient(sleep(1), sleep(1), sleep(1), trace=trace)) as system:
        started(system, "app/a").cast("message")
        await anyio.sleep(4)
        assert trace[2:] == ["continued", "continued", "continued", "message"]


async def test_the_deadline_of_a_call_runs_during_a_continuation() -> None:
    async with tree(patient(sleep(5))) as system:
        with pytest.raises(CallTimeout) as caught:
            await started(system, "app/a").call(Ask(), timeout=2)
        assert not caught.value.started


async def test_a_continuation_is_what_the_actor_is_busy_with() -> None:
    async with tree(patient(sleep(5))) as system:
        await anyio.sleep(2)
        info = started(system, "app/a").info()
        assert (info.current_message, info.busy_since) == ("function", 0)
        await anyio.sleep(4)
        assert started(system, "app/a").info().current_message is None


async def test_a_continuation_may_end_the_actor() -> None:
    trace: list[str] = []
    async with tree(patient(answer(Stop()), trace=trace, restart="temporary")) as system:
        await settle()
        assert system.whereis("app/a") is None
        assert trace[2:] == ["continued", "patient terminate normal"]


async def test_a_crash_in_a_continuation_is_a_crash_and_no_failed_start() -> None:
    log = EventLog()
    async with tree(patient(crash, restart="temporary"), log=log):
        await settle()
    assert [type(event) for event in log.events if isinstance(event, Progress | SupervisorReport)] == [
        Progress,
        SupervisorReport,
    ]
    assert contexts(log) == [("child_terminated", "app/a")]


async def test_an_actor_that_continues_must_say_how() -> None:
    class Forgetful(Actor):
        async def init(self) -> Continue:
            return Continue("what?")

    log = EventLog()
    async with tree(ChildSpec("a", Forgetful, restart="temporary"), log=log):
        await settle()
    [report] = log.of(SupervisorReport)
    assert "Forgetful returned Continue and has no handle_continue" in str(report.reason)


async def test_a_bad_answer_of_a_continuation_is_a_crash() -> None:
    log = EventLog()
    async with tree(patient(answer("what now?"), restart="temporary"), log=log):
        await settle()
    [report] = log.of(SupervisorReport)
    assert isinstance(report.reason.error, BadReturnValue)
    assert str(report.reason.error) == "handle_continue returned a str"


async def test_a_stop_comes_after_the_present_continuation_and_before_the_next() -> None:
    trace: list[str] = []
    async with tree(patient(sleep(2), sleep(2), trace=trace, restart="temporary")) as system:
        assert await started(system, "app/a").stop() == ExitReason.NORMAL
        assert system.now() == pytest.approx(2)
        assert trace[2:] == ["continued", "patient terminate normal"]


async def test_a_kill_interrupts_a_continuation() -> None:
    async with tree(patient(sleep(5), restart="temporary")) as system:
        ref = started(system, "app/a")
        await settle()
        ref.kill()
        await settle()
        assert ref.info().exit_reason == ExitReason.KILLED
        assert system.now() == 0


async def test_a_continuation_is_bound_by_no_deadline() -> None:
    class Asker(Actor):
        async def init(self) -> Continue:
            return Continue("ask")

        async def handle_continue(self, message: Any) -> None:
            answers.append(await self.system.named("app/slow").call(Ask(), timeout=100))

    class Slow(Puppet):
        async def handle_call(self, request: Any, reply_to: ReplyTo[Any]) -> Any:
            await anyio.sleep(50)
            return "at last"

    answers: list[str] = []
    async with tree(ChildSpec("slow", Slow), ChildSpec("a", Asker)):
        await anyio.sleep(60)
    assert answers == ["at last"]


async def test_each_incarnation_continues_anew() -> None:
    failures = [Boom("first"), None]

    async def fail_first_time(actor: Puppet) -> None:
        if (failure := failures.pop(0)) is not None:
            raise failure

    async with tree(patient(fail_first_time)) as system:
        assert await system.named("app/a").call(Ask()) == "patient"
        assert failures == []
