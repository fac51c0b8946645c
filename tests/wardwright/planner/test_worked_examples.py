"""The worked examples of the public contract, at the planner.

Where a fixed token estimate stands in an example it is given here as it stands there. What this project decided otherwise is
marked: a request that fits nowhere is refused, and an alloy whose window is exceeded does not fall back to its largest constituent,
unless `on_overflow = "largest"` says so.
"""

from collections import Counter

import pytest

from tests.wardwright.planner.graphs import composed, model, order, planned, reasons, target
from wardwright.domain.route import (
    Alloy,
    AlloyStrategy,
    Cascade,
    Constituent,
    Dispatcher,
    RouteConstraints,
    RoutePlan,
    Selector,
    Skip,
    Target,
)
from wardwright.planner.nesting import declared_graph, validate_nesting

SIZES = [target("tiny/model", 8), target("medium/model", 32), target("large/model", 256)]
LOCAL_AND_MANAGED = [target("local/qwen", 32), target("managed/kimi", 256)]
UNSELECTED = model(SIZES)


def told(found: RoutePlan) -> tuple[list[str], list[str]]:
    return order(found), [skip.target for skip in found.skipped]


def blend(strategy: AlloyStrategy, *constituents: Constituent, **keys: object) -> Alloy:
    return Alloy("blend", strategy, constituents, **keys)  # type: ignore[arg-type]


def pair(selector: Selector) -> tuple[list[Target], Selector]:
    return [target("qwen", 32), target("kimi", 256)], selector


BOTH = (Constituent("qwen"), Constituent("kimi"))


@pytest.mark.parametrize(
    ("graph", "tokens", "expected"),
    [
        (
            (
                [target("small", 16), target("medium", 64), target("large", 256)],
                Dispatcher("d", ("small", "medium", "large")),
            ),
            32,
            (["medium", "large"], ["small"]),
        ),
        (
            (
                [target("fast", 16), target("steady", 128), target("reserve", 256)],
                Cascade("c", ("fast", "steady", "reserve")),
            ),
            96,
            (["steady", "reserve"], ["fast"]),
        ),
        (pair(blend("deterministic_all", *BOTH, partial_context=True)), 16, (["qwen", "kimi"], [])),
        (pair(blend("deterministic_all", *BOTH, partial_context=True)), 96, (["kimi"], ["qwen"])),
        (  # decided otherwise: nothing fits
            ([target("small", 16), target("large", 64)], Dispatcher("d", ("small", "large"))),
            100,
            ([], ["small", "large"]),
        ),
        (
            ([target("small", 16), target("large", 64)], Dispatcher("d", ("small", "large"), on_overflow="largest")),
            100,
            (["large"], ["small"]),
        ),
        (pair(blend("deterministic_all", *BOTH)), 96, ([], ["qwen", "kimi"])),  # decided otherwise
        (pair(blend("deterministic_all", *BOTH, on_overflow="largest")), 96, (["kimi"], ["qwen"])),
    ],
)
def test_a_selector_plans(
    graph: tuple[list[Target], Selector], tokens: int, expected: tuple[list[str], list[str]]
) -> None:
    targets, selector = graph
    found = planned(model(targets, selector), tokens)
    assert told(found) == expected
    assert set(reasons(found).values()) <= {"context_window_too_small"}


def test_a_weighted_alloy_prefers_the_heavy_constituent() -> None:
    targets = [target("cheap", 128), target("strong", 128)]
    alloy = blend("weighted", Constituent("cheap", 1), Constituent("strong", 100), min_context_window=128)
    plans = [planned(model(targets, alloy), 4, seed=seed) for seed in range(2000)]
    drawn = Counter(tuple(order(found)) for found in plans)
    assert plans[0].strategy == "weighted"
    assert drawn["strong", "cheap"] > 1950
    assert drawn["cheap", "strong"] > 0


def test_a_model_without_selectors_takes_the_smallest() -> None:
    assert order(planned(UNSELECTED, 4)) == ["tiny/model", "medium/model", "large/model"]


def test_a_restriction_by_provider_keeps_its_targets() -> None:
    found = planned(model(LOCAL_AND_MANAGED), 4, policy=RouteConstraints(allowed_targets=("local",)))
    assert told(found) == (["local/qwen"], ["managed/kimi"])
    assert reasons(found) == {"managed/kimi": "policy_route_gate"}


def test_a_restriction_that_leaves_nothing_blocks() -> None:
    found = planned(UNSELECTED, 4, policy=RouteConstraints(allowed_targets=("nonexistent-provider",)))
    assert order(found) == []
    assert set(reasons(found).values()) == {"policy_route_gate"}


def test_a_forced_model_is_the_whole_plan() -> None:
    found = planned(UNSELECTED, 4, policy=RouteConstraints(forced_model="large/model"))
    assert told(found) == (["large/model"], ["tiny/model", "medium/model"])
    assert set(reasons(found).values()) == {"policy_route_gate"}
    assert (found.route_type, found.route_id, found.strategy) == (
        "policy_override",
        "policy.forced_model",
        "policy_forced_model",
    )


def test_a_forced_model_that_is_missing_blocks() -> None:
    found = planned(UNSELECTED, 19, policy=RouteConstraints(forced_model="missing/model"))
    assert (order(found), found.fallback_used, found.route_type) == ([], False, "policy_override")
    assert found.skipped[0] == Skip("missing/model", "forced_model_unavailable", detail="this model has no such target")


def test_a_forced_model_that_is_missing_may_fall_back() -> None:
    forced = RouteConstraints(forced_model="missing/model", allow_fallback=True)
    found = planned(UNSELECTED, 19, policy=forced)
    assert order(found) == ["medium/model", "large/model"]
    assert reasons(found) == {
        "missing/model": "forced_model_unavailable",
        "tiny/model": "context_window_too_small",
    }
    assert (found.route_type, found.strategy, found.fallback_used) == (
        "policy_override_fallback",
        "policy_forced_model_with_explicit_fallback",
        True,
    )


def test_a_forced_model_that_is_too_small_blocks() -> None:
    found = planned(UNSELECTED, 54, policy=RouteConstraints(forced_model="tiny/model"))
    assert order(found) == []
    assert found.skipped[0] == Skip("tiny/model", "context_window_too_small", 8)


INNER = model([target("canned/final", 8192)], name="policy-safe-writer")
OUTER = composed(model([], Cascade("safe", ("wardwright/policy-safe-writer",)), name="outer"), INNER)


def test_a_nested_model_is_planned_through() -> None:
    found = planned(OUTER, 32)
    assert order(found) == ["canned/final"]
    assert found.graph_path == ("safe", "wardwright/policy-safe-writer", "all targets")


def test_a_target_of_a_nested_model_can_be_forced() -> None:
    forced = RouteConstraints(allowed_targets=("canned",), forced_model="canned/final")
    found = planned(OUTER, 32, policy=forced)
    assert (order(found), found.route_type) == (["canned/final"], "policy_override")
    assert found.graph_path == ("safe", "wardwright/policy-safe-writer", "all targets")


def test_a_model_that_nests_itself_is_refused_at_load() -> None:
    loop = model([], Cascade("again", ("wardwright/loop-model",)), name="loop-model")
    (found,) = validate_nesting([declared_graph(loop)])
    assert found.problem.message == "expected no cycle, got again → wardwright/loop-model → again"


def test_intersecting_restrictions_fail_closed() -> None:
    inner = model(SIZES, name="inner")
    outer = composed(model([], root="wardwright/inner", name="outer"), inner)
    both = planned(
        outer,
        constraints={
            "outer": RouteConstraints(allowed_targets=("tiny",)),
            "inner": RouteConstraints(allowed_targets=("large",)),
        },
    )
    assert order(both) == []
    assert set(reasons(both).values()) == {"policy_route_gate"}
