"""The page of guarantees says what the library has and does: its tables are held to the code, some of them by running it."""

import ast
import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import anyio
import pytest

import supervisors
import supervisors.sys
import supervisors.testing
from supervisors import (
    Backoff,
    ChildSpec,
    DynamicSupervisor,
    Event,
    ExitReason,
    Mailbox,
    Pause,
    Supervisor,
    SupervisorError,
    System,
    delete_child,
    restart_child,
    start_child,
    terminate_child,
)
from supervisors._child_spec import Overflow, Strategy
from supervisors._reasons import ExitKind, Restart, should_restart
from supervisors.inspect import Status
from supervisors.testing import EventLog
from tests.docs.pages import PAGES, code_in, inline_code, table_rows
from tests.supervisors.actors import Boom, Puppet, crash, puppet, started

FOLDER = Path("docs/supervisors")
PAGE = FOLDER / "guarantees.md"
RESTARTS: tuple[Restart, ...] = get_args(Restart)


def listed(heading: str) -> list[str]:
    """The names in the first column of the tables below a heading."""
    return [name for row in table_rows(PAGE, heading) for name in code_in(row[0])]


class TestNames:
    """The page names what there is, neither more nor less."""

    def test_every_public_name_is_explained_somewhere(self) -> None:
        pages = [page for page in PAGES if page.parent == FOLDER]
        named = {name for page in pages for code in inline_code(page) for name in re.findall(r"\w+", code)}
        assert set(supervisors.__all__) - named == set()

    def test_every_argument_of_a_system_is_listed_with_its_default(self) -> None:
        assert listed("The tree") == list(inspect.signature(System).parameters)
        assert wrong_defaults("The tree", System) == {}

    def test_every_field_of_a_child_spec_is_listed_with_its_default(self) -> None:
        assert listed("A child") == [field.name for field in dataclasses.fields(ChildSpec)]
        assert wrong_defaults("A child", ChildSpec) == {}

    def test_every_field_of_a_mailbox_is_listed_with_its_default(self) -> None:
        assert listed("A mailbox") == [field.name for field in dataclasses.fields(Mailbox)]
        assert wrong_defaults("A mailbox", Mailbox) == {}

    @pytest.mark.parametrize(("heading", "options"), [("A backoff", Backoff), ("A pause", Pause)])
    def test_every_option_of_delays_is_listed_with_its_default(self, heading: str, options: type) -> None:
        assert listed(heading) == list(inspect.signature(options).parameters)
        assert wrong_defaults(heading, options) == {}

    def test_every_argument_of_a_supervisor_is_listed_with_its_default(self) -> None:
        both = {**inspect.signature(Supervisor).parameters, **inspect.signature(DynamicSupervisor).parameters}
        assert sorted(listed("A supervisor")) == sorted(both)
        assert wrong_defaults("A supervisor", Supervisor, DynamicSupervisor) == {}

    def test_every_strategy_is_listed(self) -> None:
        assert listed("Strategies") == list(get_args(Strategy))

    def test_every_overflow_policy_is_listed(self) -> None:
        assert listed("When it is full") == list(get_args(Overflow))

    def test_every_error_is_listed(self) -> None:
        errors = {error.__name__ for error in subclasses(SupervisorError)}
        assert sorted(listed("Errors")) == sorted(errors)

    def test_every_event_is_listed(self) -> None:
        assert sorted(listed("Reports")) == sorted(event.__name__ for event in get_args(Event))

    def test_every_system_request_is_listed(self) -> None:
        assert sorted(listed("Looking into it")) == sorted(supervisors.sys.__all__)

    def test_every_status_is_listed(self) -> None:
        assert listed("Status") == list(get_args(Status))

    def test_every_tool_for_tests_is_listed(self) -> None:
        assert sorted(listed("Testing")) == sorted(supervisors.testing.__all__)


def wrong_defaults(heading: str, *makers: Callable[..., object]) -> dict[str, tuple[str, object]]:
    """What a table says of a default that can be read as a value, where the code says something else."""
    defaults = {
        name: parameter.default for made in makers for name, parameter in inspect.signature(made).parameters.items()
    }
    wrong = {}
    for name, said, _ in table_rows(PAGE, heading):
        default = defaults[code_in(name)[0]]
        try:
            value = ast.literal_eval(said.strip("`"))
        except (ValueError, SyntaxError):
            continue  # in words
        if value != default:
            wrong[name] = (said, default)
    return wrong


def subclasses(error: type[SupervisorError]) -> set[type[SupervisorError]]:
    below = {each for each in error.__subclasses__() if each.__module__.startswith("supervisors.")}
    return {error, *(each for child in below for each in subclasses(child))}


class TestRestarts:
    """What follows which end."""

    def test_every_kind_of_end_is_listed(self) -> None:
        assert sorted(listed("How an incarnation ends")) == sorted(get_args(ExitKind))

    def test_the_table_says_who_comes_back_and_what_is_reported(self) -> None:
        rows = table_rows(PAGE, "Restarts")
        told = {kind: dict(zip(RESTARTS, row[1:], strict=True)) for row in rows for kind in code_in(row[0])}
        assert set(told) == set(get_args(ExitKind))
        for kind, cells in told.items():
            for restart, cell in cells.items():
                reason = ExitReason(kind)  # type: ignore[arg-type]
                again = should_restart(restart, reason)
                assert cell.startswith("restarted") == again, (kind, restart)
                assert ("reported" in cell) == (again or not reason.is_normal), (kind, restart)


# --- administration, as the table has it

STATES = ("the child runs", "it is stopped", "it is between two tries", "there is none")
ACTIONS: dict[str, Callable[[System], Any]] = {
    "start_child": lambda system: start_child(system.named("app"), puppet("a")),
    "terminate_child": lambda system: terminate_child(system.named("app"), "a"),
    "restart_child": lambda system: restart_child(system.named("app"), "a"),
    "delete_child": lambda system: delete_child(system.named("app"), "a"),
}


def administration() -> Iterator[tuple[str, str, str | None]]:
    """Each cell of the table: the function, the state of the child, and the error it names, if it names one."""
    for function, *cells in table_rows(PAGE, "Administration"):
        for state, cell in zip(STATES, cells, strict=True):
            error = code_in(cell)
            yield code_in(function)[0], state, error[0] if error else None


ADMINISTRATION = list(administration())


async def bring_into(system: System, state: str) -> None:
    supervisor = system.named("app")
    match state:
        case "it is stopped":
            await terminate_child(supervisor, "a")
        case "it is between two tries":
            await anyio.sleep(1)
            started(system, "app/a").cast(crash)
            await anyio.sleep(1.5)
        case "there is none":
            await terminate_child(supervisor, "a")
            await delete_child(supervisor, "a")


async def fail_after_a_while(actor: Puppet) -> None:
    if anyio.current_time() > 0:
        await anyio.sleep(1)
        raise Boom


@pytest.mark.anyio
@pytest.mark.parametrize(("function", "state", "error"), ADMINISTRATION)
async def test_administration_is_as_the_table_says(function: str, state: str, error: str | None) -> None:
    restarting = state == "it is between two tries"
    spec = puppet("a", on_init=fail_after_a_while if restarting else None)
    async with System("app", Supervisor([spec], max_restarts=1000), on_event=EventLog()) as system:
        await bring_into(system, state)
        if error is None:
            await ACTIONS[function](system)
        else:
            with pytest.raises(SupervisorError) as caught:
                await ACTIONS[function](system)
            assert type(caught.value).__name__ == error
        if restarting:
            await terminate_child(system.named("app"), "a")


def test_the_table_of_administration_has_all_of_it() -> None:
    assert {function for function, _, _ in ADMINISTRATION} == set(ACTIONS)
