"""What is found between graphs: cycles, depth, windows and tags that nothing has."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wardwright.planner.graphs import target
from wardwright.domain.route import Alloy, Cascade, Constituent, Dispatcher, Guard, Requirements, Selector, Target
from wardwright.planner.nesting import MAX_DEPTH, DeclaredGraph, NestingProblem, never_chosen, validate_nesting

TARGETS = (target("small", 32), target("large", 256, tags=("private",)))


def graph(
    name: str, *selectors: Selector, root: str | None = None, targets: tuple[Target, ...] = TARGETS
) -> DeclaredGraph:
    return DeclaredGraph(name, selectors, targets, root)


def told(found: Sequence[NestingProblem]) -> list[str]:
    return [f"{each.graph} {each.problem.path}: {each.problem.message}" for each in found]


def problems(*selectors: Selector, root: str | None = None) -> list[str]:
    return told(validate_nesting([graph("m", *selectors, root=root)]))


def test_a_cycle_is_spelled_out() -> None:
    selectors = (Dispatcher("a", ("b",)), Cascade("b", ("small", "c")), Cascade("c", ("a",)))
    assert problems(*selectors, root="a") == ["0 dispatchers.a.models: expected no cycle, got a → b → c → a"]


def test_a_selector_that_names_itself_is_a_cycle() -> None:
    assert problems(Cascade("a", ("a",))) == ["0 cascades.a.models: expected no cycle, got a → a"]


def test_a_cycle_beside_the_root_is_found_too() -> None:
    selectors = (Dispatcher("fit", ("small",)), Cascade("x", ("y",)), Cascade("y", ("x",)))
    assert problems(*selectors, root="fit") == ["0 cascades.x.models: expected no cycle, got x → y → x"]


def test_a_model_that_names_itself_is_a_cycle() -> None:
    assert problems(Cascade("a", ("small", "wardwright/m"))) == [
        "0 cascades.a.models: expected no cycle, got a → wardwright/m → a"
    ]


def test_a_cycle_through_several_models_names_every_step() -> None:
    graphs = [
        graph("one", Cascade("a", ("small", "wardwright/two"))),
        graph("two", Dispatcher("b", ("wardwright/three",))),
        graph("three", root="wardwright/one"),
    ]
    assert told(validate_nesting(graphs)) == [
        ("0 cascades.a.models: expected no cycle, got a → wardwright/two → b → wardwright/three → wardwright/one → a")
    ]


def test_models_that_are_only_each_others_names_are_a_cycle() -> None:
    graphs = [graph("one", root="wardwright/two"), graph("two", root="wardwright/one")]
    assert told(validate_nesting(graphs)) == [
        "0 route_root: expected no cycle, got wardwright/one → wardwright/two → wardwright/one"
    ]


def test_a_model_may_stand_behind_two_others_and_a_member_that_does_not_exist_leads_nowhere() -> None:
    shared = graph("shared", Cascade("c", ("small", "wardwright/gone", "nothing")))
    users = [graph(name, Cascade("c", ("wardwright/shared",))) for name in ("one", "two")]
    assert told(validate_nesting([*users, shared])) == []


@pytest.mark.parametrize(("length", "sound"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False)])
def test_at_most_eight_selectors_stand_in_a_row(length: int, sound: bool) -> None:
    chain: list[Selector] = [Cascade(f"s{number}", (f"s{number + 1}",)) for number in range(1, length)]
    chain.append(Cascade(f"s{length}", ("small",)))
    assert problems(*chain, root="s1") == (
        []
        if sound
        else [
            (
                "0 cascades.s1.models: expected at most 8 selectors and models in a row, got 9: "
                "s1 → s2 → s3 → s4 → s5 → s6 → s7 → s8 → s9"
            )
        ]
    )


@pytest.mark.parametrize(("length", "sound"), [(4, True), (5, False)])
def test_nested_models_count_as_steps(length: int, sound: bool) -> None:
    graphs = [graph(f"m{number}", Cascade("c", (f"wardwright/m{number + 1}",))) for number in range(1, length)]
    graphs.append(graph(f"m{length}", Cascade("c", ("small",))))
    found = validate_nesting(graphs)
    assert (found == []) == sound
    if not sound:
        (problem,) = told(found)
        assert problem.startswith("0 cascades.c.models: expected at most 8 selectors and models in a row, got 9: ")


def test_a_very_long_chain_is_a_problem_and_not_a_crash() -> None:
    chain = [Cascade(f"s{number}", (f"s{number + 1}",)) for number in range(5000)]
    assert any("in a row" in problem for problem in problems(*chain, Cascade("s5000", ("small",)), root="s0"))


def blend(*names: str, floor: int) -> Alloy:
    return Alloy("blend", "round_robin", tuple(map(Constituent, names)), min_context_window=floor)


def test_a_blend_cannot_promise_more_than_its_smallest_constituent_holds() -> None:
    assert problems(blend("small", "large", floor=32)) == []
    assert problems(blend("small", "large", floor=33)) == [
        '0 alloys.blend.min_context_window: expected at most the 32 tokens of constituent "small", got 33'
    ]


def test_a_constituent_behind_selectors_and_models_is_measured_by_its_largest_target() -> None:
    inner = graph("inner", Cascade("c", ("small", "fit")), Dispatcher("fit", ("large",)), root="c")
    outer = graph("outer", blend("wardwright/inner", "small", floor=64))
    assert told(validate_nesting([outer, inner])) == [
        '0 alloys.blend.min_context_window: expected at most the 32 tokens of constituent "small", got 64'
    ]


def test_a_guard_for_tags_that_nobody_behind_it_has_is_a_problem() -> None:
    assert problems(Guard("inside", "large", Requirements(target_tags=("private",)))) == []
    assert problems(Guard("inside", "small", Requirements(target_tags=("private", "onsite")))) == [
        '0 guards.inside.require.target_tags: expected a tag that a target behind "small" has, got "private", "onsite"'
    ]


def test_a_target_that_makes_the_same_call_as_an_earlier_one_is_never_chosen() -> None:
    chat, tools = frozenset({"chat"}), frozenset({"chat", "tools"})
    targets = (
        Target("b", "p", "qwen", 64, chat),
        Target("a", "p", "qwen", 64, tools),
        Target("c", "p", "qwen", 64),
        Target("d", "p", "qwen", 128),
        Target("e", "p", "kimi", 64, chat),
        Target("f", "q", "qwen", 64, chat),
    )
    fit = Dispatcher("fit", tuple(each.id for each in targets))
    assert told(list(never_chosen([graph("m", fit, targets=targets)]))) == [
        '0 dispatchers.fit.models[0]: never chosen: "a" is the same model of the same provider, and comes before it'
    ]


MODELS = ("m0", "m1", "m2", "m3")


@st.composite
def declared(draw: st.DrawFn) -> list[DeclaredGraph]:
    """Models that nest at random, selectors of which name anything at all."""
    graphs = []
    for name in MODELS:
        pool = ["small", "a", "b", *(f"wardwright/{model}" for model in MODELS)]
        members = st.lists(st.sampled_from(pool), min_size=1, max_size=3, unique=True).map(tuple)
        selectors = [Cascade(selector, draw(members)) for selector in ("a", "b")]
        graphs.append(graph(name, *selectors, root=draw(st.sampled_from(pool))))
    return graphs


def can_return(graphs: Sequence[DeclaredGraph]) -> bool:
    """Whether following members from some place leads back to it: the slow and obvious way."""
    edges: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for each in graphs:
        for name, members in [("", (each.root or "",)), *((s.id, s.models) for s in each.selectors)]:
            edges[each.model, name] = {
                (member.removeprefix("wardwright/"), "") if "/" in member else (each.model, member)
                for member in members
                if member != "small"
            }
    reach = {node: set(below) for node, below in edges.items()}
    for _ in edges:
        reach = {node: below.union(*(edges[other] for other in below)) for node, below in reach.items()}
    return any(node in below for node, below in reach.items())


@given(declared())
def test_cycles_are_always_found_and_never_invented(graphs: list[DeclaredGraph]) -> None:
    found = validate_nesting(graphs)
    assert any("no cycle" in each.problem.message for each in found) == can_return(graphs)
