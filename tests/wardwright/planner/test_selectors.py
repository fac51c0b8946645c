"""What each selector offers, and the fit of one target."""

from wardwright.domain.route import Cascade, Dispatcher, RequestFacts, Selector, Skip, Target
from wardwright.planner.selectors import Offer, select, unfit


def target(name: str, window: int, capabilities: frozenset[str] | None = None) -> Target:
    return Target(name, "p", name, window, capabilities)


def offer(root: str, selectors: list[Selector], targets: list[Target], tokens: int) -> Offer:
    by_id = {selector.id: selector for selector in selectors}
    return select(root, by_id, {target.id: target for target in targets}, RequestFacts(tokens))


def ids(found: Offer) -> list[str]:
    return [target.id for target in found.targets]


def test_a_window_exactly_as_large_as_needed_fits() -> None:
    assert unfit(target("t", 100), RequestFacts(60, 40)) is None
    assert unfit(target("t", 100), RequestFacts(60, 41)) == Skip("t", "context_window_too_small", 100)


def test_a_target_without_declared_capabilities_serves_everything() -> None:
    assert unfit(target("t", 100), RequestFacts(1, needs=("tools",))) is None


def test_missing_capabilities_are_named_even_when_the_window_is_too_small() -> None:
    few = target("t", 100, frozenset({"chat", "tools"}))
    facts = RequestFacts(500, needs=("json_schema", "tools", "vision"))
    assert unfit(few, facts) == Skip("t", "capability_missing", 100, "json_schema, vision")


def test_a_dispatcher_orders_by_window_then_by_id() -> None:
    targets = [target("large", 256), target("b", 64), target("a", 64), target("small", 16)]
    found = offer("fit", [Dispatcher("fit", ("large", "b", "a", "small"))], targets, 32)
    assert ids(found) == ["a", "b", "large"]
    assert found.path == ("fit",)


def test_a_cascade_keeps_its_declared_order() -> None:
    targets = [target("reserve", 256), target("fast", 16), target("steady", 128)]
    assert ids(offer("c", [Cascade("c", ("reserve", "fast", "steady"))], targets, 96)) == ["reserve", "steady"]


def test_a_dispatcher_places_a_nested_cascade_by_the_smallest_window_it_can_offer() -> None:
    targets = [target("small", 16), target("middle", 64), target("roomy", 128), target("huge", 512)]
    selectors: list[Selector] = [Dispatcher("fit", ("small", "roomy", "long")), Cascade("long", ("huge", "middle"))]
    found = offer("fit", selectors, targets, 32)
    assert ids(found) == ["huge", "middle", "roomy"]
    assert found.path == ("fit", "long")


def test_what_a_nested_selector_cannot_offer_does_not_place_it() -> None:
    targets = [target("tiny", 8), target("roomy", 128), target("huge", 512)]
    selectors: list[Selector] = [Dispatcher("fit", ("long", "roomy")), Cascade("long", ("tiny", "huge"))]
    assert ids(offer("fit", selectors, targets, 32)) == ["roomy", "huge"]


def test_a_nested_dispatcher_inside_a_cascade_stands_at_its_declared_place() -> None:
    targets = [target("a", 512), target("b", 64), target("c", 128)]
    selectors: list[Selector] = [Cascade("first", ("a", "fit")), Dispatcher("fit", ("c", "b"))]
    found = offer("first", selectors, targets, 32)
    assert ids(found) == ["a", "b", "c"]
    assert found.path == ("first",)


def test_a_target_reachable_twice_counts_where_it_comes_first() -> None:
    targets = [target("a", 64), target("b", 128)]
    selectors: list[Selector] = [Cascade("outer", ("inner", "a", "b")), Cascade("inner", ("b",))]
    assert ids(offer("outer", selectors, targets, 32)) == ["b", "a"]


def test_a_nested_selector_with_nothing_to_offer_is_passed_over() -> None:
    targets = [target("tiny", 8), target("large", 256)]
    selectors: list[Selector] = [Cascade("outer", ("inner", "large")), Dispatcher("inner", ("tiny",))]
    found = offer("outer", selectors, targets, 32)
    assert (ids(found), found.path) == (["large"], ("outer",))


def test_a_target_can_be_the_root() -> None:
    assert offer("a", [], [target("a", 64)], 32) == Offer((target("a", 64),))


def test_nothing_fitting_is_an_empty_offer_of_the_root() -> None:
    assert offer("fit", [Dispatcher("fit", ("a",))], [target("a", 8)], 32) == Offer((), ("fit",))
