"""Looking into a running actor without its help."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
import pytest

from supervisors import (
    Actor,
    ActorDown,
    ActorRef,
    Call,
    CallCycle,
    CallingSelf,
    CallTimeout,
    ChildSpec,
    Continue,
    DynamicSupervisor,
    ExitReason,
    Mailbox,
    NamedRef,
    NoMailbox,
    NotRunning,
    ReplyTo,
    UnexpectedRequest,
    adopt,
)
from supervisors import sys as actors
from supervisors._ref import run_errand
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import Ask, Boom, Do, Later, Puppet, answer, hang, puppet, puppet_of, sleep, started
from tests.supervisors.trees import tree

pytestmark = pytest.mark.anyio

ASKED: dict[str, Callable[[ActorRef | NamedRef], Awaitable[object]]] = {
    "suspend": actors.suspend,
    "resume": actors.resume,
    "get_state": actors.get_state,
    "replace_state": lambda ref: actors.replace_state(ref, lambda state: state),
    "get_status": actors.get_status,
    "trace": lambda ref: actors.trace(ref, to=True),
    "log": lambda ref: actors.log(ref, keep=1),
    "statistics": actors.statistics,
}


class Tally(Actor):
    """Counts what it is sent; its state is the number."""

    def __init__(self) -> None:
        self.total = 0
        self.key = "sk-very-secret"

    async def handle_cast(self, message: int) -> None:
        self.total += message

    def get_state(self) -> int:
        return self.total

    def set_state(self, state: Any) -> None:
        if not isinstance(state, int):
            raise TypeError("expected a number")
        self.total = state

    def format_status(self) -> Mapping[str, object]:
        return {"total": self.total, "key": "***"}


# --- the state


@pytest.mark.parametrize("suspended", [False, True])
async def test_a_state_is_read_and_replaced_also_while_suspended(suspended: bool) -> None:
    async with tree(ChildSpec("a", Tally)) as system:
        ref = started(system, "app/a")
        ref.cast(3)
        await settle()
        if suspended:
            await actors.suspend(ref)
        assert await actors.get_state(ref) == 3
        assert await actors.replace_state(ref, lambda state: state * 10) == 30
        assert await actors.get_state(ref) == 30
        assert (await actors.get_status(ref)).details == {"total": 30, "key": "***"}
        await actors.resume(ref)
        ref.cast(1)
        await settle()
        assert await actors.get_state(ref) == 31


async def test_the_state_is_by_default_a_copy_of_the_attributes_without_the_librarys_own() -> None:
    class Plain(Actor):
        def __init__(self) -> None:
            self.total = 3

    async with tree(ChildSpec("a", Plain)) as system:
        ref = started(system, "app/a")
        state = await actors.get_state(ref)
        assert state == {"total": 3}
        state["total"] = 4
        assert await actors.get_state(ref) == {"total": 3}


async def test_a_replaced_default_state_leaves_the_librarys_own_attributes() -> None:
    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")
        await actors.replace_state(ref, lambda state: {**state, "name": "b", "ref": None})
        assert await ref.call(Ask()) == "b"
        assert puppet_of(ref).ref == ref
        assert puppet_of(ref).system is system


@pytest.mark.parametrize("suspended", [False, True])
async def test_a_replacement_that_raises_changes_nothing_and_only_the_caller_hears(suspended: bool) -> None:
    log = EventLog()

    def broken(state: object) -> object:
        raise Boom("no")

    async with tree(ChildSpec("a", Tally), log=log) as system:
        ref = started(system, "app/a")
        ref.cast(3)
        if suspended:
            await actors.suspend(ref)
        with pytest.raises(Boom, match="no"):
            await actors.replace_state(ref, broken)
        await actors.resume(ref)
        assert await actors.get_state(ref) == 3
        assert ref.alive
    assert [type(event).__name__ for event in log.events] == ["Progress"]


@pytest.mark.parametrize("start", [Tally, Puppet])
async def test_a_state_that_will_not_do_is_refused_and_changes_nothing(start: Callable[[], Actor]) -> None:
    async with tree(ChildSpec("a", start)) as system:
        ref = started(system, "app/a")
        before = await actors.get_state(ref)
        with pytest.raises(TypeError, match="expected a"):
            await actors.replace_state(ref, lambda state: "nonsense")
        assert await actors.get_state(ref) == before


async def test_a_state_that_cannot_be_read_fails_only_the_caller() -> None:
    class Shy(Puppet):
        def get_state(self) -> Any:
            raise Boom("not for you")

    async with tree(ChildSpec("a", Shy)) as system:
        ref = started(system, "app/a")
        with pytest.raises(Boom, match="not for you"):
            await actors.get_state(ref)
        assert await ref.call(Ask()) == "puppet"


async def test_a_request_whose_caller_has_gone_is_not_carried_out() -> None:
    async with tree(ChildSpec("a", Tally), puppet("b")) as system:
        b = started(system, "app/b")
        b.cast(sleep(10))
        await settle()
        with anyio.move_on_after(1):
            await actors.replace_state(b, lambda state: {**state, "name": "replaced"})
        with pytest.raises(CallTimeout) as caught:
            await actors.replace_state(b, lambda state: {**state, "name": "replaced"}, timeout=1)
        assert not caught.value.started
        assert await b.call(Ask(), timeout=20) == "b"


# --- status and statistics


async def test_a_status_says_what_an_operator_wants_to_know() -> None:
    async with tree(ChildSpec("a", Tally), puppet("b")) as system:
        ref, b = started(system, "app/a"), started(system, "app/b")

        async def bind(actor: Puppet) -> None:
            actor.trap_exit = True
            actor.link(ref)

        await b.call(Do(bind))
        status = await actors.get_status(ref)
        assert (status.path, status.status, status.parent) == ("app/a", "running", "app")
        assert status.module == f"{__name__}.Tally"
        assert (status.links, status.traps_exit, status.debug, status.log) == (("app/b",), False, (), ())
        assert (await actors.get_status(b)).traps_exit
        await actors.trace(ref, to=lambda traced: None)
        await actors.log(ref, keep=2)
        assert (await actors.get_status(ref)).debug == ("trace", "log")
        assert (await actors.get_status(started(system, "app"))).parent is None


async def test_a_status_shows_the_state_only_through_format_status() -> None:
    async with tree(ChildSpec("a", Tally)) as system:
        ref = started(system, "app/a")
        await actors.log(ref, keep=10)
        ref.cast(3)
        await settle()
        status = await actors.get_status(ref)
        assert status.details == {"total": 3, "key": "***"}
        assert "sk-very-secret" not in repr(status)


async def test_statistics_count_what_came_what_went_and_what_waits() -> None:
    async with tree(puppet("a", mailbox=Mailbox(2))) as system:
        ref = started(system, "app/a")
        await anyio.sleep(3)
        await ref.call(Ask())
        ref.cast("noted")
        await settle()
        await actors.suspend(ref)
        for _ in range(5):
            ref.cast("more")
        counted = await actors.statistics(ref)
        assert [counted.started_at, counted.now] == pytest.approx([0, 3])
        assert (counted.handled, counted.waiting, counted.dropped) == (2, 2, 3)
        assert (counted.messages_in, counted.messages_out) == (7, 1)


# --- the lane of the system


@pytest.mark.parametrize("function", list(ASKED))
async def test_what_is_asked_here_passes_the_queue(function: str) -> None:
    async with tree(puppet("a", shutdown="brutal_kill")) as system:
        ref = started(system, "app/a")
        ref.cast(sleep(1))
        ref.cast(hang)
        await settle()
        await ASKED[function](ref)
        assert system.now() == pytest.approx(1)


@pytest.mark.parametrize("function", list(ASKED))
async def test_what_is_asked_of_nobody_fails_at_once(function: str) -> None:
    async with tree(puppet("a", restart="temporary")) as system:
        ref = started(system, "app/a")
        await ref.stop()
        with pytest.raises(ActorDown) as caught:
            await ASKED[function](ref)
        assert caught.value.reason == ExitReason.NOPROC
        with pytest.raises(NotRunning, match="is not running"):
            await ASKED[function](system.named("app/nobody"))
        assert system.now() == 0


@pytest.mark.parametrize("function", list(ASKED))
async def test_an_actor_cannot_ask_itself(function: str) -> None:
    async with tree(puppet("a")) as system:

        async def ask(actor: Puppet) -> str:
            with pytest.raises(CallingSelf):
                await ASKED[function](actor.ref)
            return "refused"

        assert await started(system, "app/a").call(Do(ask)) == "refused"


@pytest.mark.parametrize("function", list(ASKED))
async def test_an_adopted_task_has_no_mailbox_to_ask(function: str) -> None:
    async def ask(actor: Puppet) -> None:
        with pytest.raises(NoMailbox):
            await ASKED[function](system.named("app/pool/body"))
        actor.trace.append("refused")

    pool = ChildSpec("pool", DynamicSupervisor, type="supervisor")
    async with tree(pool, puppet("a")) as system, adopt(system.named("app/pool"), "body"):
        ref = started(system, "app/a")
        ref.cast(ask)
        await settle()
        assert puppet_of(ref).trace[-1] == "refused"


async def test_a_circle_is_refused() -> None:
    async with tree(puppet("a"), puppet("b")) as system:
        a, b = started(system, "app/a"), started(system, "app/b")

        async def ask_back(actor: Puppet) -> tuple[str, ...]:
            with pytest.raises(CallCycle) as caught:
                await actors.get_state(a)
            return caught.value.path

        async def ask(actor: Puppet) -> Any:
            return await b.call(Do(ask_back))

        assert await a.call(Do(ask)) == ("app/b", "app/a", "app/b")


async def test_an_actor_that_is_stuck_answers_none_of_this_in_time() -> None:
    async with tree(puppet("a", shutdown="brutal_kill")) as system:
        ref = started(system, "app/a")
        ref.cast(hang)
        await settle()
        with pytest.raises(CallTimeout) as caught:
            await actors.get_state(ref, timeout=2)
        assert not caught.value.started
        assert system.now() == pytest.approx(2)


async def test_a_death_fails_what_waits_in_the_lane_as_unstarted() -> None:
    async with tree(puppet("a", restart="temporary")) as system:
        ref = started(system, "app/a")
        ref.cast(hang)
        await settle()

        async def ask() -> None:
            with pytest.raises(ActorDown) as caught:
                await actors.get_state(ref, timeout=1000)
            assert not caught.value.started

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await settle()
            ref.kill()
        assert system.now() == 0


async def test_who_is_still_starting_answers_once_it_is_up() -> None:
    class Slow(Puppet):
        async def init(self) -> Any:
            return Continue("more")

        async def handle_continue(self, message: Any) -> None:
            await anyio.sleep(3)
            self.name = "ready"

    async with tree(ChildSpec("a", Slow)) as system:
        assert (await actors.get_state(started(system, "app/a")))["name"] == "ready"
        assert system.now() == pytest.approx(3)


async def test_a_full_mailbox_is_not_in_the_way() -> None:
    async with tree(puppet("a", mailbox=Mailbox(1))) as system:
        ref = started(system, "app/a")
        await actors.suspend(ref)
        ref.cast("full")
        assert not ref.cast("refused")
        await actors.resume(ref)
        assert await ref.call(Ask()) == "a"


async def test_what_is_asked_here_is_no_message_of_the_actors() -> None:
    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")
        for ask in ASKED.values():
            await ask(ref)
        await actors.resume(ref)
        assert (await actors.statistics(ref)).messages_in == 0


async def test_a_system_request_nobody_knows_is_refused_and_the_actor_lives() -> None:
    class Unheard(Call[None]):
        pass

    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")
        with pytest.raises(UnexpectedRequest, match="Unheard"):
            await run_errand(ref, Unheard(), 5)
        assert await ref.call(Do(answer("alive"))) == "alive"


async def test_a_traced_actor_answers_as_before() -> None:
    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")
        await actors.trace(ref, to=lambda traced: None)
        answers: list[str] = []

        async def ask() -> None:
            answers.append(await ref.call(Later()))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await settle()
            kept: ReplyTo[str] = puppet_of(ref).kept[0]
            kept.reply("later")
        assert answers == ["later"]
