"""A program as a user would write it, without a cast: `mypy --strict` has nothing to say against it.

`test_typed_messages` runs it, and puts mistakes into it which the checker must find.
"""

from dataclasses import dataclass
from typing import Any, assert_type

from supervisors import (
    NO_REPLY,
    Actor,
    ActorRef,
    Call,
    ChildSpec,
    ChildStatus,
    Down,
    DynamicSupervisor,
    NamedRef,
    ReplyTo,
    Supervisor,
    System,
    start_child,
    which_children,
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a `GetPlan` is answered with."""

    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GetPlan(Call[Plan]):
    model: str


@dataclass(frozen=True, slots=True)
class CountPlans(Call[int]):
    pass


@dataclass(frozen=True, slots=True)
class NextPlan(Call[Plan | None]):
    pass


class Planner(Actor):
    """Answers several types of request."""

    def __init__(self) -> None:
        self.plans = 0
        self.curious: list[ReplyTo[Plan | None]] = []

    async def handle_call(self, request: GetPlan | CountPlans | NextPlan, reply_to: ReplyTo[Any]) -> object:
        match request:
            case GetPlan(model):
                return self._plan(model)
            case CountPlans():
                return self.plans
            case NextPlan():
                self.curious.append(reply_to)
                return NO_REPLY

    def _plan(self, model: str) -> Plan:
        self.plans += 1
        plan = Plan((model,))
        for reply_to in self.curious:
            reply_to.reply(plan)
        return plan


class Clerk(Actor):
    """Answers one type of request, so its own half of the exchange is checked as well."""

    async def handle_call(self, request: CountPlans, reply_to: ReplyTo[int]) -> int:
        return await self.system.named("app/planner").call(request)

    async def handle_info(self, message: Down) -> None:
        assert_type(message.ref, ActorRef | NamedRef)


async def main() -> list[str]:
    """Ask everybody once, and hand back what was answered."""
    root = Supervisor(
        [
            ChildSpec("planner", Planner, restart="permanent"),
            ChildSpec("clerks", DynamicSupervisor, type="supervisor"),
        ]
    )
    async with System("app", root) as system:
        planner = system.named("app/planner")
        reply = await planner.call(GetPlan("fox"))
        assert_type(reply, Plan)
        clerk = await start_child(system.named("app/clerks"), ChildSpec("clerk", Clerk, restart="temporary"))
        assert_type(clerk, ActorRef)
        count = await clerk.call(CountPlans(), timeout=1)
        assert_type(count, int)
        children = await which_children(system.named("app/clerks"))
        assert_type(children, list[ChildStatus])
        return [*reply.targets, str(count), *(child.id for child in children)]


async def wait_for_plan(planner: ActorRef) -> str:
    """Use an answer that comes later."""
    plan = await planner.call(NextPlan())
    return "none" if plan is None else plan.targets[0]
