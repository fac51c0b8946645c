"""What each kind of selector offers, alone and nested."""

from collections import Counter
from typing import Any

import pytest

from tests.wardwright.planner.graphs import composed, down, model, order, planned, reasons, target
from wardwright.domain.route import (
    Alias,
    Alloy,
    Cascade,
    Constituent,
    Dispatcher,
    Guard,
    Requirements,
    RouteConstraints,
    SessionFacts,
    Skip,
)


def blend(*names: str, strategy: str = "round_robin", **keys: object) -> Alloy:
    return Alloy("blend", strategy, tuple(map(Constituent, names)), **keys)  # type: ignore[arg-type]


# --- dispatchers and cascades -----------------------------------------------------------------------------------------


def test_a_dispatcher_orders_by_window_then_by_id() -> None:
    targets = [target("large", 256), target("b", 64), target("a", 64), target("small", 16)]
    found = planned(model(targets, Dispatcher("fit", ("large", "b", "a", "small"))), 32)
    assert order(found) == ["a", "b", "large"]
    assert found.graph_path == ("fit",)


def test_a_cascade_keeps_its_declared_order() -> None:
    targets = [target("reserve", 256), target("fast", 16), target("steady", 128)]
    found = planned(model(targets, Cascade("c", ("reserve", "fast", "steady"))), 96)
    assert order(found) == ["reserve", "steady"]


def test_a_dispatcher_places_a_nested_cascade_by_the_smallest_window_it_can_offer() -> None:
    targets = [target("small", 16), target("middle", 64), target("roomy", 128), target("huge", 512)]
    graph = (Dispatcher("fit", ("small", "roomy", "long")), Cascade("long", ("huge", "middle")))
    found = planned(model(targets, *graph), 32)
    assert order(found) == ["huge", "middle", "roomy"]
    assert found.graph_path == ("fit", "long")


def test_what_a_nested_selector_cannot_offer_does_not_place_it() -> None:
    targets = [target("tiny", 8), target("roomy", 128), target("huge", 512)]
    graph = (Dispatcher("fit", ("long", "roomy")), Cascade("long", ("tiny", "huge")))
    assert order(planned(model(targets, *graph), 32)) == ["roomy", "huge"]


def test_a_nested_dispatcher_inside_a_cascade_stands_at_its_declared_place() -> None:
    targets = [target("a", 512), target("b", 64), target("c", 128)]
    found = planned(model(targets, Cascade("first", ("a", "fit")), Dispatcher("fit", ("c", "b"))), 32)
    assert order(found) == ["a", "b", "c"]
    assert found.graph_path == ("first",)


def test_a_target_reachable_twice_counts_where_it_comes_first() -> None:
    targets = [target("a", 64), target("b", 128)]
    assert order(planned(model(targets, Cascade("outer", ("inner", "a", "b")), Cascade("inner", ("b",))))) == ["b", "a"]


def test_a_nested_selector_with_nothing_to_offer_is_passed_over() -> None:
    targets = [target("tiny", 8), target("large", 256)]
    found = planned(model(targets, Cascade("outer", ("inner", "large")), Dispatcher("inner", ("tiny",))), 32)
    assert (order(found), found.graph_path) == (["large"], ("outer",))


# --- alloys -----------------------------------------------------------------------------------------------------------

PAIR = [target("qwen", 32), target("kimi", 256)]


def firsts(alloy: Alloy, turns: int, **inputs: Any) -> list[str]:
    found = (planned(model(PAIR, alloy), session=SessionFacts(turn), **inputs) for turn in range(1, turns + 1))
    return [each.targets[0].id for each in found]


def test_round_robin_alternates_by_the_sessions_turn() -> None:
    assert firsts(blend("qwen", "kimi"), 4) == ["qwen", "kimi", "qwen", "kimi"]


def test_round_robin_goes_by_the_seed_without_a_session() -> None:
    found = [planned(model(PAIR, blend("qwen", "kimi")), seed=seed) for seed in range(4)]
    assert [each.targets[0].id for each in found] == ["qwen", "kimi", "qwen", "kimi"]


def test_round_robin_alternates_among_those_that_can_serve() -> None:
    three = [*PAIR, target("sonnet", 200)]
    graph = model(three, blend("qwen", "kimi", "sonnet"))
    found = [planned(graph, session=SessionFacts(turn), health=down("kimi")) for turn in range(1, 5)]
    assert [order(each) for each in found] == [["qwen", "sonnet"], ["sonnet", "qwen"]] * 2


def test_a_blend_inside_a_blend_has_its_own_turns() -> None:
    targets = [target(name, 64) for name in ("a", "b", "c")]
    inner = Alloy("inner", "round_robin", (Constituent("b"), Constituent("c")))
    outer = Alloy("outer", "round_robin", (Constituent("a"), Constituent("inner")))
    graph = model(targets, outer, inner)
    found = [planned(graph, session=SessionFacts(turn)).targets[0].id for turn in range(1, 9)]
    assert found == ["a", "b", "a", "c", "a", "b", "a", "c"]


def test_a_weighted_blend_draws_by_weight_from_the_seed_alone() -> None:
    alloy = Alloy("blend", "weighted", (Constituent("qwen", 1), Constituent("kimi", 3)))
    graph = model(PAIR, alloy)
    drawn = Counter(planned(graph, seed=seed).targets[0].id for seed in range(4000))
    assert 2850 < drawn["kimi"] < 3150
    for turn in (1, 2, 3):
        assert planned(graph, 5, seed=7, session=SessionFacts(turn), caller={"tenant_id": "x"}).targets == (
            planned(graph, seed=7).targets
        )


def test_a_draw_is_without_replacement() -> None:
    alloy = Alloy("blend", "weighted", (Constituent("qwen", 1), Constituent("kimi", 3)))
    assert {tuple(sorted(order(planned(model(PAIR, alloy), seed=seed)))) for seed in range(50)} == {("kimi", "qwen")}


def test_deterministic_all_keeps_the_declared_order() -> None:
    alloy = blend("kimi", "qwen", strategy="deterministic_all")
    assert order(planned(model(PAIR, alloy), seed=9, session=SessionFacts(4))) == ["kimi", "qwen"]


def test_partial_context_uses_those_that_fit() -> None:
    found = planned(model(PAIR, blend("qwen", "kimi", partial_context=True)), 96)
    assert (order(found), reasons(found)) == (["kimi"], {"qwen": "context_window_too_small"})


def test_without_partial_context_none_is_used_beyond_the_window_they_share() -> None:
    found = planned(model(PAIR, blend("qwen", "kimi")), 96)
    assert found.targets == ()
    assert found.skipped == (
        Skip("qwen", "context_window_too_small", 32, "alloy blend"),
        Skip("kimi", "context_window_too_small", 32, "alloy blend"),
    )


def test_what_a_blend_shares_is_told_of_targets_that_are_too_small_by_themselves_too() -> None:
    found = planned(model(PAIR, blend("qwen", "kimi")), 300)
    assert [skip.context_window for skip in found.skipped] == [32, 32]
    beside = model(PAIR, Cascade("steps", ("blend", "kimi")), blend("qwen", "kimi"))
    assert [skip.context_window for skip in planned(beside, 300).skipped] == [32, 256]


def test_a_blend_may_share_less_than_its_smallest_window() -> None:
    graph = model(PAIR, blend("qwen", "kimi", min_context_window=16))
    assert len(planned(graph, 16).targets) == 2
    assert planned(graph, 17).targets == ()


def test_a_nested_constituent_brings_its_largest_window() -> None:
    targets = [target("small", 8), target("wide", 64), target("kimi", 256)]
    graph = model(targets, blend("fit", "kimi"), Dispatcher("fit", ("small", "wide")))
    assert order(planned(graph, 64, session=SessionFacts(1))) == ["wide", "kimi"]
    assert planned(graph, 65).targets == ()


def test_a_blend_without_one_of_its_own_goes_on_with_the_others() -> None:
    found = planned(model(PAIR, blend("qwen", "kimi")), health=down("qwen"))
    assert (order(found), reasons(found)) == (["kimi"], {"qwen": "breaker_open"})


# --- guards, aliases, models ------------------------------------------------------------------------------------------

OPEN = target("open", 64)
PRIVATE = target("private", 64, tags=("private",))


@pytest.mark.parametrize("otherwise", [None, "open"])
def test_a_guard_passes_when_its_requirements_hold(otherwise: str | None) -> None:
    guard = Guard("paid", "private", Requirements(tenant_id=("acme",)), otherwise)
    graph = model([OPEN, PRIVATE], guard)
    passed = planned(graph, caller={"tenant_id": "acme"})
    assert (order(passed), passed.graph_path) == (["private"], ("paid",))
    assert reasons(passed) == ({} if otherwise is None else {"open": "guard_passed"})
    denied = planned(graph)
    assert order(denied) == ([] if otherwise is None else ["open"])
    assert denied.skipped == (Skip("private", "guard_denied", 64, "paid: tenant_id"),)


def test_a_guard_inside_a_cascade_closes_its_targets_and_no_others() -> None:
    graph = model(
        [OPEN, PRIVATE], Cascade("steps", ("paid", "open")), Guard("paid", "private", Requirements(tags=("x",)))
    )
    assert order(planned(graph)) == ["open"]
    assert order(planned(graph, caller_tags=("x",))) == ["private", "open"]


def test_a_target_behind_a_guard_and_beside_it_is_planned_beside_it() -> None:
    graph = model([OPEN], Cascade("steps", ("paid", "open")), Guard("paid", "open", Requirements(tags=("x",))))
    found = planned(graph)
    assert (order(found), found.skipped) == (["open"], ())


def test_target_tags_leave_in_what_bears_one_of_them() -> None:
    guard = Guard("inside", "all", Requirements(target_tags=("private", "onsite")))
    graph = model([OPEN, PRIVATE], guard, Cascade("all", ("open", "private")))
    found = planned(graph)
    assert (order(found), found.graph_path) == (["private"], ("inside", "all"))
    assert found.skipped == (Skip("open", "guard_denied", 64, "inside: target_tags"),)


def test_target_tags_hold_only_behind_their_guard() -> None:
    guard = Guard("inside", "all", Requirements(target_tags=("private",)))
    graph = model([OPEN, PRIVATE], Cascade("steps", ("inside", "all")), guard, Cascade("all", ("open", "private")))
    assert order(planned(graph)) == ["private", "open"]


def test_a_guard_whose_tags_nobody_bears_passes_to_otherwise() -> None:
    guard = Guard("inside", "open", Requirements(target_tags=("private",)), otherwise="private")
    found = planned(model([OPEN, PRIVATE], guard))
    assert (order(found), reasons(found)) == (["private"], {"open": "guard_denied"})


def test_a_guard_of_a_nested_model_is_known_by_its_key() -> None:
    guard = Guard("paid", "private", Requirements(max_usd_per_day=1))
    inner = model([PRIVATE], guard, name="inner")
    outer = composed(model([], root="wardwright/inner", name="outer"), inner)
    assert order(planned(outer, spent_usd={"paid": 5.0})) == ["private"]
    assert order(planned(outer, spent_usd={"wardwright/inner/paid": 5.0})) == []


def test_an_alias_stands_for_its_member() -> None:
    found = planned(model([OPEN, PRIVATE], Alias("big", "steps"), Cascade("steps", ("private", "open"))))
    assert (order(found), found.graph_path) == (["private", "open"], ("big", "steps"))
    assert (found.route_type, found.strategy) == ("alias", "alias")


def test_a_nested_models_policies_hold_inside_it_and_below_it() -> None:
    deepest = model([OPEN, PRIVATE], Cascade("steps", ("open", "private")), name="deepest")
    inner = model([], root="wardwright/deepest", name="inner")
    outer = model([OPEN], Cascade("steps", ("wardwright/inner", "open")), name="outer")
    composition = composed(outer, inner, deepest)
    narrowed = planned(composition, constraints={"inner": RouteConstraints(allowed_targets=("private",))})
    assert order(narrowed) == ["private", "open"]
    blocked = planned(composition, constraints={"inner": RouteConstraints(blocked_by="rule")})
    assert (order(blocked), reasons(blocked)) == (["open"], {"private": "policy_route_gate"})


@pytest.mark.parametrize(
    ("constraints", "expected"),
    [
        (RouteConstraints(forced_model="private"), ["private"]),
        (RouteConstraints(forced_model="elsewhere"), []),
        (RouteConstraints(forced_model="elsewhere", allow_fallback=True), ["open", "private"]),
        (RouteConstraints(forced_model="open", allowed_targets=("private",)), []),
    ],
)
def test_a_nested_model_can_force_a_target(constraints: RouteConstraints, expected: list[str]) -> None:
    inner = model([OPEN, PRIVATE], Cascade("steps", ("open", "private")), name="inner")
    outer = composed(model([], root="wardwright/inner", name="outer"), inner)
    assert order(planned(outer, constraints={"inner": constraints})) == expected


def test_a_forced_target_that_is_too_small_and_taken_all_the_same_is_planned_and_not_skipped() -> None:
    graph = model([target("a/1", 10), target("b/2", 50)], Dispatcher("fit", ("a/1", "b/2"), on_overflow="largest"))
    found = planned(graph, 100, policy=RouteConstraints(forced_model="b/2", allow_fallback=True))
    assert order(found) == ["b/2"]
    assert [skip.target for skip in found.skipped] == ["a/1"]


# --- sticky selectors -------------------------------------------------------------------------------------------------


def test_a_sticky_selector_puts_the_sessions_target_first_while_it_can_serve() -> None:
    graph = model(PAIR, Dispatcher("fit", ("qwen", "kimi"), sticky=True))
    stays = SessionFacts(2, {"fit": "kimi"})
    found = planned(graph, session=stays)
    assert order(found) == ["kimi", "qwen"]
    (choice,) = found.sticky
    assert (choice.selector, choice.targets, choice.kept) == ("fit", ("qwen", "kimi"), "kimi")
    moved = planned(graph, session=stays, health=down("kimi"))
    assert (order(moved), moved.sticky[0].kept) == (["qwen"], None)


def test_nothing_sticks_without_a_session() -> None:
    assert planned(model(PAIR, Dispatcher("fit", ("qwen", "kimi"), sticky=True))).sticky == ()


def test_stickiness_inside_a_cascade_does_not_move_its_block() -> None:
    targets = [target("a", 64), target("b", 64), target("c", 64)]
    graph = model(targets, Cascade("steps", ("a", "pool")), Cascade("pool", ("b", "c"), sticky=True))
    found = planned(graph, session=SessionFacts(2, {"pool": "c"}))
    assert order(found) == ["a", "c", "b"]
    assert [(choice.selector, choice.kept) for choice in found.sticky] == [("pool", "c")]


def test_a_sticky_outer_selector_leads_the_path_to_the_target_it_stays_on() -> None:
    targets = [target("a", 64), target("b", 64)]
    graph = model(targets, Cascade("steps", ("a", "pool"), sticky=True), Cascade("pool", ("b",)))
    assert planned(graph, session=SessionFacts(2, {"steps": "b"})).graph_path == ("steps", "pool")


def test_a_selector_of_a_nested_model_is_remembered_by_its_key() -> None:
    inner = model(PAIR, Cascade("pool", ("qwen", "kimi"), sticky=True), name="inner")
    outer = composed(model([], root="wardwright/inner", name="outer"), inner)
    found = planned(outer, session=SessionFacts(2, {"pool": "kimi", "wardwright/inner/pool": "kimi"}))
    assert (order(found), found.sticky[0].selector) == (["kimi", "qwen"], "wardwright/inner/pool")


def test_a_blend_with_a_private_history_keeps_the_session_where_it_began() -> None:
    thinking = target("sonnet", 200, history="private")
    graph = model([target("kimi", 256), thinking], blend("kimi", "sonnet"))
    first = planned(graph, session=SessionFacts(1))
    assert first.sticky[0].private_history == "sonnet"
    later = [planned(graph, session=SessionFacts(turn, {"blend": "kimi"})) for turn in (2, 3, 4)]
    assert {each.targets[0].id for each in later} == {"kimi"}
    assert all(each.sticky[0].kept == "kimi" for each in later)


def test_a_selector_behind_a_guard_and_beside_it_remembers_the_targets_of_both() -> None:
    guard = Guard("inside", "all", Requirements(target_tags=("private",)))
    pool = Cascade("all", ("open", "private"), sticky=True)
    graph = model([OPEN, PRIVATE], Cascade("steps", ("inside", "all")), guard, pool)
    found = planned(graph, session=SessionFacts(2, {"all": "open"}))
    (choice,) = found.sticky
    assert set(choice.targets) == {"open", "private"}
    assert choice.kept == "open"


# --- overflow and refusals of content ---------------------------------------------------------------------------------


def test_overflow_takes_the_largest_when_nothing_fits() -> None:
    graph = model(PAIR, Dispatcher("fit", ("qwen", "kimi"), on_overflow="largest"))
    assert planned(graph, 300).overflow == "fit"
    found = planned(graph, 300)
    assert (order(found), reasons(found)) == (["kimi"], {"qwen": "context_window_too_small"})
    assert "takes the largest all the same" in found.reason


def test_overflow_is_the_last_resort_of_the_whole_graph() -> None:
    targets = [target("small", 16), target("large", 256)]
    graph = model(targets, Cascade("steps", ("pool", "large")), Dispatcher("pool", ("small",), on_overflow="largest"))
    found = planned(graph, 100)
    assert (order(found), found.overflow) == (["large"], None)
    assert order(planned(graph, 300)) == ["small"]


def test_overflow_does_not_replace_waiting_for_a_target_that_fits() -> None:
    graph = model(PAIR, Dispatcher("fit", ("qwen", "kimi"), on_overflow="largest"))
    assert planned(graph, 100, health=down("kimi")).targets == ()


def test_overflow_stays_within_health_capabilities_and_policy() -> None:
    graph = model([*PAIR, target("huge", 512)], Dispatcher("fit", ("qwen", "kimi", "huge"), on_overflow="largest"))
    assert order(planned(graph, 1000, health=down("huge"))) == ["kimi"]
    assert order(planned(graph, 1000, policy=RouteConstraints(allowed_targets=("qwen",)))) == ["qwen"]


def test_a_blend_can_overflow_to_its_largest() -> None:
    found = planned(model(PAIR, blend("qwen", "kimi", on_overflow="largest")), 96)
    assert (order(found), found.overflow) == (["kimi"], "blend")
    assert reasons(found) == {"qwen": "context_window_too_small"}


def test_the_plan_says_after_whose_refusal_the_next_is_asked() -> None:
    targets = [target("a", 64), target("b", 64), target("c", 64)]
    graph = model(targets, Cascade("steps", ("pool", "c")), Cascade("pool", ("a", "b"), on_content_filter="next"))
    assert planned(graph).refusal_moves_on == ("a", "b")


def test_the_plan_says_whose_broken_stream_the_next_goes_on_with() -> None:
    targets = [target("a", 64), target("b", 64), target("c", 64)]
    graph = model(targets, Cascade("steps", ("pool", "c")), Cascade("pool", ("a", "b"), resume=True))
    assert planned(graph).resumable == ("a", "b")
