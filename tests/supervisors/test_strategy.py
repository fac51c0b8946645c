from hypothesis import given
from hypothesis import strategies as st

from supervisors._child_spec import Strategy
from supervisors._reasons import Restart
from supervisors._strategy import RestartPlan, ends_supervisor, plan_restart

FOUR: list[tuple[str, Restart]] = [("a", "permanent"), ("b", "transient"), ("c", "temporary"), ("d", "permanent")]


def test_one_for_one_concerns_nobody_else() -> None:
    assert plan_restart("one_for_one", FOUR, "b") == RestartPlan(stop=(), start=("b",))


def test_one_for_all_stops_the_others_in_reverse_and_starts_all_in_order() -> None:
    assert plan_restart("one_for_all", FOUR, "b") == RestartPlan(stop=("d", "c", "a"), start=("a", "b", "d"))


def test_rest_for_one_leaves_the_earlier_alone() -> None:
    assert plan_restart("rest_for_one", FOUR, "b") == RestartPlan(stop=("d", "c"), start=("b", "d"))


CHILDREN = st.lists(st.sampled_from(["permanent", "transient", "temporary"]), min_size=1, max_size=8).map(
    lambda kinds: [(f"child{position}", kind) for position, kind in enumerate(kinds)]
)


@given(CHILDREN, st.data(), st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]))
def test_every_plan_keeps_the_order_and_never_revives_a_temporary_sibling(
    children: list[tuple[str, Restart]], data: st.DataObject, strategy: Strategy
) -> None:
    ids = [child_id for child_id, _ in children]
    failed = data.draw(st.sampled_from(ids))
    plan = plan_restart(strategy, children, failed)
    assert list(plan.start) == sorted(plan.start, key=ids.index)
    assert list(plan.stop) == sorted(plan.stop, key=ids.index, reverse=True)
    assert failed in plan.start
    assert failed not in plan.stop
    assert set(plan.start) - {failed} <= set(plan.stop)
    assert {kind for child_id, kind in children if child_id in plan.start and child_id != failed} <= {
        "permanent",
        "transient",
    }


def test_a_supervisor_ends_with_the_first_the_last_or_no_significant_child() -> None:
    assert [ends_supervisor("never", left) for left in (0, 1)] == [False, False]
    assert [ends_supervisor("any_significant", left) for left in (0, 1)] == [True, True]
    assert [ends_supervisor("all_significant", left) for left in (0, 1)] == [True, False]
