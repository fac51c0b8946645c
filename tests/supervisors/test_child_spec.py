from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisors import ChildSpec, DynamicSupervisor, InvalidChildSpec, Mailbox, Supervisor, child_path
from supervisors._child_spec import child_id_in
from tests.supervisors.actors import Puppet, puppet


def test_a_worker_is_permanent_and_has_five_seconds_to_stop() -> None:
    spec = ChildSpec("a", Puppet)
    assert (spec.restart, spec.type, spec.shutdown_policy) == ("permanent", "worker", 5.0)


def test_a_supervisor_has_all_the_time_to_stop() -> None:
    assert ChildSpec("a", Supervisor, type="supervisor").shutdown_policy == "infinity"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", None),
        ("start", None),
        ("restart", "sometimes"),
        ("type", "manager"),
        ("shutdown", -10),
        ("shutdown", "soon"),
        ("shutdown", True),
        ("shutdown", float("nan")),
        ("shutdown", float("inf")),
        ("mailbox", 10),
        ("start_timeout", 0),
        ("start_timeout", "long"),
        ("backoff", 1.5),
        ("significant", "very"),
        ("significant", True),
    ],
)
def test_a_wrong_field_is_named(field: str, value: object) -> None:
    fields: dict[str, Any] = {"id": "a", "start": Puppet, field: value}
    with pytest.raises(InvalidChildSpec, match=field) as caught:
        ChildSpec(**fields)
    assert caught.value.field == field


def test_an_unknown_field_is_refused() -> None:
    fields: dict[str, Any] = {"id": "a", "start": Puppet, "restarts": "always"}
    with pytest.raises(TypeError):
        ChildSpec(**fields)


@pytest.mark.parametrize(
    ("field", "value"), [("capacity", 0), ("capacity", 1.5), ("capacity", True), ("overflow", "?")]
)
def test_a_wrong_mailbox_is_named(field: str, value: object) -> None:
    fields: dict[str, Any] = {field: value}
    with pytest.raises(InvalidChildSpec, match=field):
        Mailbox(**fields)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("strategy", "all_for_one"),
        ("auto_shutdown", "sometimes"),
        ("backoff", 1.5),
        ("pause", True),
        ("max_restarts", -1),
        ("max_restarts", 1.5),
        ("max_restarts", True),
        ("max_seconds", 0),
        ("max_seconds", float("inf")),
        ("max_seconds", None),
    ],
)
def test_a_wrong_supervisor_flag_is_named(field: str, value: object) -> None:
    flags: dict[str, Any] = {field: value}
    with pytest.raises(InvalidChildSpec, match=field):
        Supervisor([], **flags)


@pytest.mark.parametrize("value", [0, -1, 1.5, True])
def test_a_wrong_limit_of_children_is_named(value: Any) -> None:
    with pytest.raises(InvalidChildSpec, match="max_children"):
        DynamicSupervisor(max_children=value)
    with pytest.raises(InvalidChildSpec, match="max_passive"):
        DynamicSupervisor(max_passive=value)


def test_an_id_may_appear_once() -> None:
    with pytest.raises(InvalidChildSpec, match="'a' appears twice"):
        Supervisor([puppet("a"), puppet("b"), puppet("a")])


def test_a_slash_in_an_id_is_no_level_of_the_tree() -> None:
    assert child_path("app", "plain") == "app/plain"
    assert child_path("app", "a/b") == "app/a%2Fb"
    assert child_path("app", "a%2Fb") != child_path("app", "a/b")


@given(st.text(min_size=1), st.text(min_size=1))
def test_the_id_can_be_read_off_the_path(supervisor_id: str, child_id: str) -> None:
    assert child_id_in(child_path(child_path("app", supervisor_id), child_id)) == child_id
