"""The graphs that planning is timed on are what they are said to be."""

import pytest

from tests.benchmarks.routes import all_facts, large_route, small_route
from wardwright.domain.route import Composition
from wardwright.planner.compiled import compiled
from wardwright.planner.nesting import declared_graph, validate_nesting
from wardwright.planner.plan import plan


@pytest.mark.parametrize(("route", "size"), [(small_route(), 10), (large_route(), 200)])
def test_a_graph_is_sound_reaches_all_its_targets_and_plans_some_of_them(route: Composition, size: int) -> None:
    assert validate_nesting([declared_graph(model) for model in (route.root, *route.nested.values())]) == []
    assert len(compiled(route).targets) == size
    found = plan(route, all_facts(route))
    assert len(found.targets) + len(found.skipped) == size
    assert size / 5 <= len(found.targets) <= size * 4 / 5
    assert {skip.reason for skip in found.skipped} >= {"context_window_too_small", "rate_limited"}
