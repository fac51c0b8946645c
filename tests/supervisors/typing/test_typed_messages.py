"""A request names the type of its answer, and a type checker holds both sides to it."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.supervisors.typing import plans
from tests.supervisors.typing.checker import check

EXAMPLE = Path(plans.__file__).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Mistake:
    """One change of the example, and what the checker must say to it."""

    name: str
    right: str
    wrong: str
    complaint: str


MISTAKES = [
    Mistake(
        "an_answer_taken_for_another_type",
        'reply = await planner.call(GetPlan("fox"))',
        'number: int = await planner.call(GetPlan("fox"))\n        reply = Plan((str(number),))',
        'Argument 1 to "call" of "NamedRef" has incompatible type "GetPlan"; expected "Call[int]"  [arg-type]',
    ),
    Mistake(
        "an_answer_used_as_another_type",
        "[*reply.targets,",
        "[reply.upper(),",
        '"Plan" has no attribute "upper"  [attr-defined]',
    ),
    Mistake(
        "an_answer_returned_as_another_type",
        'return "none" if plan is None else plan.targets[0]',
        "return await planner.call(CountPlans())",
        'Argument 1 to "call" of "ActorRef" has incompatible type "CountPlans"; expected "Call[str]"  [arg-type]',
    ),
    Mistake(
        "an_answer_that_may_be_none",
        'return "none" if plan is None else plan.targets[0]',
        "return plan.targets[0]",
        'Item "None" of "Plan | None" has no attribute "targets"  [union-attr]',
    ),
    Mistake(
        "an_answer_nobody_awaited",
        'reply = await planner.call(GetPlan("fox"))',
        'planner.call(GetPlan("fox"))\n        reply = Plan(())',
        'Value of type "Coroutine[Any, Any, Plan]" must be used  [unused-coroutine]',
    ),
    Mistake(
        "a_call_of_what_is_no_request",
        'reply = await planner.call(GetPlan("fox"))',
        "reply = Plan(())\n        await planner.call(reply)",
        'Argument 1 to "call" of "NamedRef" has incompatible type "Plan"; expected "Call[Never]"  [arg-type]',
    ),
    Mistake(
        "a_handler_that_returns_another_type",
        'return await self.system.named("app/planner").call(request)',
        'return str(await self.system.named("app/planner").call(request))',
        'Incompatible return value type (got "str", expected "int")  [return-value]',
    ),
    Mistake(
        "a_late_answer_of_another_type",
        "reply_to.reply(plan)",
        "reply_to.reply(self.plans)",
        'Argument 1 to "reply" of "ReplyTo" has incompatible type "int"; expected "Plan | None"  [arg-type]',
    ),
    Mistake(
        "a_child_that_is_no_actor",
        'ChildSpec("planner", Planner, restart="permanent")',
        'ChildSpec("planner", Plan, restart="permanent")',
        'Argument 2 to "ChildSpec" has incompatible type "type[Plan]"; expected "Callable[[], Startable]"  [arg-type]',
    ),
    Mistake(
        "a_restart_that_does_not_exist",
        'restart="permanent"',
        'restart="always"',
        'Argument "restart" to "ChildSpec" has incompatible type "Literal[\'always\']"; '
        "expected \"Literal['permanent', 'transient', 'temporary']\"  [arg-type]",
    ),
]


def with_mistake(mistake: Mistake) -> str:
    assert EXAMPLE.count(mistake.right) == 1, f"{mistake.right!r} must stand in the example once"
    return EXAMPLE.replace(mistake.right, mistake.wrong)


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What the checker says to the example and to every mistake, all in one run."""
    files = {"plans": EXAMPLE, **{mistake.name: with_mistake(mistake) for mistake in MISTAKES}}
    return check(files, tmp_path_factory.mktemp("typing"))


@pytest.mark.slow
def test_the_example_needs_no_cast_to_be_right(complaints: dict[str, list[str]]) -> None:
    assert complaints["plans"] == []
    assert "cast(" not in EXAMPLE
    assert "type: ignore" not in EXAMPLE


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_found(mistake: Mistake, complaints: dict[str, list[str]]) -> None:
    assert complaints[mistake.name] == [mistake.complaint]


@pytest.mark.anyio
async def test_the_example_does_what_its_types_say() -> None:
    assert await plans.main() == ["fox", "1", "clerk"]
