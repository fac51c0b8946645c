"""The rules of a sound route graph, each with the problem it reports, and what expansion makes of a sound one."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tests.wardwright.planner.graphs import target
from wardwright.domain.route import Alias, Alloy, Cascade, Constituent, Dispatcher, Guard, Requirements, Selector
from wardwright.planner.graph import IMPLICIT_ROOT, GraphProblem, expand, validate_graph
from wardwright.planner.nesting import DeclaredGraph, validate_nesting

TARGETS = ("local/small", "managed/large")


def problems(
    selectors: Sequence[Selector],
    root: str | None = None,
    targets: Sequence[str] = TARGETS,
    models: Sequence[str] = (),
) -> list[str]:
    return [f"{problem.path}: {problem.message}" for problem in validate_graph(selectors, targets, root, models)]


def test_a_nested_graph_with_a_named_root_is_sound() -> None:
    selectors: list[Selector] = [Dispatcher("fit", ("local/small", "long")), Cascade("long", ("managed/large",))]
    assert problems(selectors, "fit") == []


def test_a_graph_without_selectors_is_sound() -> None:
    assert problems([]) == []


def test_a_lone_selector_needs_no_root() -> None:
    assert problems([Cascade("only", TARGETS)]) == []


def test_a_selectors_name_is_no_models() -> None:
    assert problems([Cascade("wardwright/x", TARGETS)]) == [
        'cascades.wardwright/x.id: expected an id that does not begin with "wardwright/", got "wardwright/x"'
    ]


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


def test_another_model_is_a_member_by_its_prefixed_name() -> None:
    assert problems([Cascade("long", ("wardwright/other",))], models=("other",)) == []
    assert problems([], "wardwright/other", models=("other",)) == []
    assert problems([Cascade("long", ("wardwright/othr",))], models=("other",)) == [
        (
            'cascades.long.models[0]: expected "wardwright/" and the id of a model, got "wardwright/othr", '
            'did you mean "wardwright/other"?'
        )
    ]


def test_a_selector_needs_a_member() -> None:
    assert problems([Cascade("long", ())]) == [
        "cascades.long.models: expected at least one target or selector, got an empty list"
    ]


def test_every_kind_of_selector_names_the_place_of_its_members() -> None:
    selectors: list[Selector] = [
        Alloy("blend", "weighted", (Constituent("local/small"), Constituent("x"))),
        Guard("paid", "y", Requirements(tags=("a",)), otherwise="z"),
        Alias("big", "w"),
    ]
    assert [problem.split(": ")[0] for problem in problems(selectors, "big")] == [
        "alloys.blend.constituents[1].model",
        "guards.paid.model",
        "guards.paid.otherwise",
        "aliases.big.model",
    ]


def test_a_blend_of_one_is_none() -> None:
    assert problems([Alloy("blend", "weighted", (Constituent("local/small"),))]) == [
        "alloys.blend.constituents: expected at least 2 constituents, got 1"
    ]


def test_a_guard_that_asks_for_nothing_is_a_problem() -> None:
    (problem,) = problems([Guard("paid", "local/small", Requirements())])
    assert problem.startswith('guards.paid.require: expected at least one of "tenant_id", ')
    assert problem.endswith('"max_usd_per_day", got none')


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
    targets = tuple(target(name) for name in TARGETS)
    if not found and not validate_nesting([DeclaredGraph("m", tuple(selectors), targets, root)]):
        graph = expand(selectors, targets, root)
        assert graph.targets
