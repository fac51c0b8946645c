"""The rules of a sound route graph, each with the problem it reports, and what expansion makes of a sound one."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.domain.route import Cascade, Dispatcher, Selector, Target
from wardwright.planner.graph import IMPLICIT_ROOT, MAX_DEPTH, GraphProblem, expand, validate_graph

TARGETS = ("local/small", "managed/large")


def problems(selectors: Sequence[Selector], root: str | None = None, targets: Sequence[str] = TARGETS) -> list[str]:
    return [f"{problem.path}: {problem.message}" for problem in validate_graph(selectors, targets, root)]


def target(name: str, window: int = 100) -> Target:
    return Target(name, "p", name, window)


def test_a_nested_graph_with_a_named_root_is_sound() -> None:
    selectors: list[Selector] = [Dispatcher("fit", ("local/small", "long")), Cascade("long", ("managed/large",))]
    assert problems(selectors, "fit") == []


def test_a_graph_without_selectors_is_sound() -> None:
    assert problems([]) == []


def test_a_lone_selector_needs_no_root() -> None:
    assert problems([Cascade("only", TARGETS)]) == []


def test_a_root_may_name_a_target() -> None:
    assert problems([], "local/small") == []


def test_two_selectors_need_a_root() -> None:
    selectors: list[Selector] = [Dispatcher("fit", TARGETS), Cascade("long", TARGETS)]
    assert problems(selectors) == [
        'route_root: expected the selector where routing begins, one of "fit", "long", got nothing'
    ]


def test_an_unknown_root_names_the_nearest_selector() -> None:
    assert problems([Dispatcher("fit", TARGETS)], "fitt") == [
        'route_root: expected the id of a target or of a selector of this model, got "fitt", did you mean "fit"?'
    ]


def test_an_unknown_member_names_its_place_and_the_nearest_target() -> None:
    assert problems([Dispatcher("fit", ("local/small", "managed/larg"))]) == [
        (
            "dispatchers.fit.models[1]: expected the id of a target or of a selector of this model, "
            'got "managed/larg", did you mean "managed/large"?'
        )
    ]


def test_another_synthetic_model_is_refused_as_not_supported_yet() -> None:
    (problem,) = problems([Cascade("long", ("wardwright/other",))])
    assert problem.startswith("cascades.long.models[0]: ")
    assert "not supported as members by this version yet" in problem


def test_a_selector_needs_a_member() -> None:
    assert problems([Cascade("long", ())]) == [
        "cascades.long.models: expected at least one target or selector, got an empty list"
    ]


def test_a_member_is_listed_once() -> None:
    assert problems([Cascade("long", ("local/small", "local/small"))]) == [
        'cascades.long.models[1]: expected every member once, got "local/small" again'
    ]


def test_two_selectors_of_one_id_are_a_problem() -> None:
    assert problems([Dispatcher("a", TARGETS), Cascade("a", TARGETS)], "a") == [
        'cascades.a.id: expected an id of its own, but another selector of this model is "a" too'
    ]


def test_a_selector_may_not_share_its_id_with_a_target() -> None:
    assert 'dispatchers.local/small.id: expected an id of its own, but a target is "local/small" too' in problems(
        [Dispatcher("local/small", ("managed/large",))]
    )


def test_a_cycle_is_spelled_out() -> None:
    selectors: list[Selector] = [Dispatcher("a", ("b",)), Cascade("b", ("local/small", "c")), Cascade("c", ("a",))]
    assert problems(selectors, "a") == ["dispatchers.a.models: expected no cycle, got a → b → c → a"]


def test_a_selector_that_names_itself_is_a_cycle() -> None:
    assert problems([Cascade("a", ("a",))]) == ["cascades.a.models: expected no cycle, got a → a"]


def test_a_cycle_beside_the_root_is_found_too() -> None:
    selectors: list[Selector] = [Dispatcher("fit", TARGETS), Cascade("x", ("y",)), Cascade("y", ("x",))]
    assert problems(selectors, "fit") == ["cascades.x.models: expected no cycle, got x → y → x"]


@pytest.mark.parametrize(("length", "sound"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False)])
def test_at_most_eight_selectors_stand_in_a_row(length: int, sound: bool) -> None:
    chain: list[Selector] = [Cascade(f"s{number}", (f"s{number + 1}",)) for number in range(1, length)]
    chain.append(Cascade(f"s{length}", ("local/small",)))
    found = problems(chain, "s1")
    assert (found == []) == sound
    if not sound:
        assert found == [
            (
                "cascades.s1.models: expected at most 8 selectors in a row, got 9: "
                "s1 → s2 → s3 → s4 → s5 → s6 → s7 → s8 → s9"
            )
        ]


def test_a_very_long_chain_is_a_problem_and_not_a_crash() -> None:
    chain: list[Selector] = [Cascade(f"s{number}", (f"s{number + 1}",)) for number in range(5000)]
    assert any("selectors in a row" in problem for problem in problems([*chain, Cascade("s5000", TARGETS)], "s0"))


def test_a_model_without_targets_has_nothing_to_route_to() -> None:
    assert problems([], targets=()) == ["route_root: expected a target to route to, but no target is configured"]


def test_all_problems_are_reported_at_once_in_order_of_declaration() -> None:
    selectors: list[Selector] = [Dispatcher("fit", ("nowhere",)), Cascade("long", ())]
    assert [problem.split(":")[0] for problem in problems(selectors)] == [
        "dispatchers.fit.models[0]",
        "cascades.long.models",
        "route_root",
    ]


def test_expansion_without_selectors_dispatches_over_every_target() -> None:
    graph = expand([], [target("a"), target("b")])
    assert graph.root == IMPLICIT_ROOT
    assert graph.selectors == (Dispatcher(IMPLICIT_ROOT, ("a", "b")),)
    assert [found.id for found in graph.targets] == ["a", "b"]


def test_expansion_takes_a_lone_selector_as_the_root() -> None:
    assert expand([Cascade("long", ("b",))], [target("a"), target("b")]).root == "long"


def test_expansion_keeps_only_what_the_root_reaches() -> None:
    selectors: list[Selector] = [Dispatcher("fit", ("a", "long")), Cascade("long", ("b",)), Cascade("aside", ("c",))]
    graph = expand(selectors, [target("c"), target("b"), target("a")], "fit")
    assert [selector.id for selector in graph.selectors] == ["fit", "long"]
    assert [found.id for found in graph.targets] == ["b", "a"]


def test_expansion_of_a_target_root_is_that_target_alone() -> None:
    graph = expand([], [target("a"), target("b")], "b")
    assert (graph.root, graph.selectors, [found.id for found in graph.targets]) == ("b", (), ["b"])


names = st.sampled_from(["a", "b", "c", "d", "local/small", "managed/large", "wardwright/x", ""])
selectors_of = st.lists(
    st.builds(
        lambda kind, name, members: kind(name, tuple(members)),
        st.sampled_from([Dispatcher, Cascade]),
        names,
        st.lists(names, max_size=4),
    ),
    max_size=5,
)


@given(selectors_of, st.none() | names)
def test_every_graph_is_judged_and_every_sound_one_expands(selectors: list[Selector], root: str | None) -> None:
    found = validate_graph(selectors, TARGETS, root)
    assert all(isinstance(problem, GraphProblem) for problem in found)
    if not found:
        graph = expand(selectors, [target(name) for name in TARGETS], root)
        assert graph.targets
