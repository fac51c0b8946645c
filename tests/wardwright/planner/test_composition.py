"""Which definitions a model is put together from, and what becomes of it when one is missing."""

from tests.wardwright.planner.graphs import composed, model, order, planned, reasons, target
from wardwright.domain.route import Cascade, Composition, Dispatcher
from wardwright.planner.composition import compose

INNER = model([target("b", 64)], name="inner")
MIDDLE = model([target("c", 128)], Cascade("steps", ("wardwright/inner", "c")), name="middle")
OUTER = model([target("a", 16)], Dispatcher("fit", ("a", "wardwright/middle")), name="outer")


def test_models_are_collected_at_every_depth_and_no_others() -> None:
    known = {definition.id: definition for definition in (INNER, MIDDLE, OUTER, model([target("x")], name="other"))}
    composition = compose(OUTER, known)
    assert list(composition.nested) == ["inner", "middle"]
    assert composition.versions == {"outer": "1", "inner": "1", "middle": "1"}


def test_a_root_can_be_another_model() -> None:
    delegating = model([], root="wardwright/inner", name="front")
    found = planned(composed(delegating, INNER))
    assert (order(found), found.route_type, found.route_id) == (["b"], "model", "wardwright/inner")
    assert found.graph_path == ("wardwright/inner", "all targets")


def test_the_path_leads_through_the_nested_models() -> None:
    found = planned(composed(OUTER, MIDDLE, INNER), 32)
    assert order(found) == ["b", "c"]
    assert found.graph_path == ("fit", "wardwright/middle", "steps", "wardwright/inner", "all targets")
    assert reasons(found) == {"a": "context_window_too_small"}


def test_a_model_that_is_missing_offers_nothing() -> None:
    assert order(planned(composed(OUTER, MIDDLE), 4)) == ["a", "c"]


def test_models_that_name_each_other_do_not_trap_the_planner() -> None:
    one = model([target("a")], Cascade("x", ("wardwright/two", "a")), name="one")
    two = model([target("b")], Cascade("x", ("wardwright/one", "b")), name="two")
    assert order(planned(composed(one, two))) == ["b", "a"]


def test_two_models_may_use_one_selector_id() -> None:
    inner = model([target("b", 64)], Cascade("fit", ("b",)), name="inner")
    outer = model([target("a", 16)], Dispatcher("fit", ("a", "wardwright/inner")), name="outer")
    assert planned(composed(outer, inner), 32).graph_path == ("fit", "wardwright/inner", "fit")


def test_an_id_means_the_outer_models_target() -> None:
    inner = model([target("a", 8)], name="inner")
    outer = model([target("a", 64)], Cascade("steps", ("wardwright/inner", "a")), name="outer")
    assert planned(composed(outer, inner), 32).targets == (target("a", 64),)


def test_a_composition_is_itself_and_no_other() -> None:
    assert Composition(INNER) != Composition(INNER)
