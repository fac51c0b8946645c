"""Finding what a name stands for, and the side of a canary that a request is on."""

from collections.abc import Callable

import pytest

from tests.wardwright.runtime.stage import board_of
from wardwright.domain.errors import Forbidden, NoTargetAvailable, UnknownModel
from wardwright.domain.route import Cascade, ModelDefinition, Target
from wardwright.runtime.catalog_board import CatalogBoard, Route, Trial, activate

TARGET = Target("local/small", "local", "small", 8192)


def definition(name: str, *members: str, version: str = "v1", is_public: bool = True) -> ModelDefinition:
    selector = Cascade("in-order", members or (TARGET.id,))
    return ModelDefinition(name, version, "in-order", (selector,), (TARGET,), callable_from_outside=is_public)


def draws(*numbers: int) -> Callable[[int], int]:
    left = list(numbers)
    return lambda below: left.pop(0)


def on_trial(*models: ModelDefinition, trials: list[Trial]) -> CatalogBoard:
    board = CatalogBoard()
    board.replace(activate({m.id: m for m in models}, {trial.definition.id: trial for trial in trials}))
    return board


def versions(route: Route) -> dict[str, str]:
    return route.composition.versions


class TestNames:
    def test_a_name_is_found_with_and_without_the_prefix(self) -> None:
        model = definition("balanced")
        board = board_of(model)
        assert board.resolve("balanced") is model
        assert board.resolve("wardwright/balanced") is model
        assert board.route("wardwright/balanced", None, draws()).composition.root is model

    def test_an_unknown_name_is_answered_with_the_known_ones(self) -> None:
        board = board_of(definition("b"), definition("a"), definition("hidden", is_public=False))
        with pytest.raises(UnknownModel) as caught:
            board.resolve("wardwright/wardwright/a")
        assert caught.value.message == "unknown model 'wardwright/wardwright/a'; models served here: a, b"
        assert caught.value.param == "model"

    def test_before_anything_is_published_nothing_is_known(self) -> None:
        with pytest.raises(UnknownModel, match="models served here: none"):
            CatalogBoard().resolve("balanced")
        assert CatalogBoard().callable_models() == []

    def test_a_model_for_internal_composition_is_not_for_callers(self) -> None:
        board = board_of(definition("public"), definition("hidden", is_public=False))
        with pytest.raises(Forbidden) as caught:
            board.route("hidden", None, draws())
        assert caught.value.code == "model_internal"
        assert [model.id for model in board.callable_models()] == ["public"]

    def test_models_are_listed_by_id(self) -> None:
        assert [model.id for model in board_of(*map(definition, "cab")).callable_models()] == ["a", "b", "c"]

    def test_a_model_that_should_be_served_and_cannot_says_why(self) -> None:
        board = CatalogBoard()
        board.replace({}, {"balanced": "its version cannot be read"})
        with pytest.raises(
            NoTargetAvailable, match="'wardwright/balanced' cannot be served: its version cannot be read"
        ):
            board.resolve("wardwright/balanced")


class TestCanary:
    CANARY = Trial(definition("m", version="v2"), percent=50, seed=7)

    def test_without_one_nothing_is_drawn_and_the_composition_is_the_same_object(self) -> None:
        board = board_of(definition("m"))
        first, second = (board.route("m", None, draws()) for _ in range(2))
        assert first.composition is second.composition
        assert first.canaries == ()

    def test_a_session_stays_on_its_side(self) -> None:
        board = on_trial(definition("m"), trials=[self.CANARY])
        sides = {
            name: {versions(board.route("m", name, draws()))["m"] for _ in range(3)} for name in map(str, range(40))
        }
        assert all(len(seen) == 1 for seen in sides.values())
        assert {version for seen in sides.values() for version in seen} == {"v1", "v2"}

    def test_without_a_session_the_server_draws_and_the_receipt_says_what(self) -> None:
        board = on_trial(definition("m"), trials=[self.CANARY])
        taken, passed = (board.route("m", None, draws(bucket)) for bucket in (4999, 5000))
        assert (versions(taken), versions(passed)) == ({"m": "v2"}, {"m": "v1"})
        (side,) = taken.canaries
        assert (side.model_id, side.version, side.percent, side.bucket, side.by, side.taken) == (
            *("m", "v2", 50, 4999, "draw", True),
        )
        assert passed.canaries[0].taken is False

    def test_compositions_are_put_together_once_for_each_side(self) -> None:
        board = on_trial(definition("m"), trials=[self.CANARY])
        made = {id(board.route("m", None, draws(bucket)).composition) for bucket in (1, 9999, 2, 9998)}
        assert len(made) == 2

    def test_a_model_below_is_on_trial_for_those_above_it(self) -> None:
        outer, inner = definition("outer", "wardwright/m"), definition("m")
        board = on_trial(outer, inner, trials=[self.CANARY])
        route = board.route("outer", None, draws(0))
        assert versions(route) == {"outer": "v1", "m": "v2"}
        assert [side.model_id for side in route.canaries] == ["m"]

    def test_a_canary_may_stand_on_other_models_than_the_active_version(self) -> None:
        below = definition("below")
        nesting = Trial(definition("m", "wardwright/below", version="v2"), percent=50, seed=7)
        inner = Trial(definition("below", version="b2"), percent=50, seed=8)
        board = on_trial(definition("m"), below, trials=[nesting, inner])
        assert versions(board.route("m", None, draws(0, 0))) == {"m": "v2", "below": "b2"}
        aside = board.route("m", None, draws(9999, 0))
        assert versions(aside) == {"m": "v1"}
        assert [side.model_id for side in aside.canaries] == ["m"], "a canary that concerned nothing is not told"


class TestActivation:
    def test_what_has_not_changed_is_kept_as_it_is(self) -> None:
        models = {name: definition(name) for name in ("a", "b")} | {"outer": definition("outer", "wardwright/a")}
        before = activate(models)
        after = activate({**models, "a": definition("a", version="v2")}, reuse=before)
        assert after["b"] is before["b"]
        assert after["a"] is not before["a"]
        assert versions(Route(after["outer"].composition())) == {"outer": "v1", "a": "v2"}
        assert versions(Route(before["outer"].composition())) == {"outer": "v1", "a": "v1"}

    def test_a_canary_that_comes_or_goes_is_a_change_for_all_above_it(self) -> None:
        models = {"a": definition("a"), "b": definition("b"), "outer": definition("outer", "wardwright/a")}
        before = activate(models)
        trial = Trial(definition("a", version="v2"), percent=1, seed=1)
        after = activate(models, {"a": trial}, reuse=before)
        assert [name for name in models if after[name] is before[name]] == ["b"]

    def test_models_that_stand_on_each_other_end_somewhere(self) -> None:
        board = board_of(
            definition("a", "wardwright/b"), definition("b", "wardwright/a"), definition("c", "wardwright/none")
        )
        assert versions(board.route("a", None, draws())) == {"a": "v1", "b": "v1"}
        assert versions(board.route("c", None, draws())) == {"c": "v1"}
