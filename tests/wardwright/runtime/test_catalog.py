"""Which definition stands behind each public name, and what happens to that when the catalog restarts."""

from collections.abc import Sequence
from functools import partial

import pytest

from supervisors import ChildSpec, Supervisor, System
from supervisors.testing import settle
from wardwright.domain.errors import Forbidden, UnknownModel
from wardwright.domain.route import ModelDefinition, Target
from wardwright.runtime.catalog import Catalog, CatalogBoard

TARGET = Target("local/small", "local", "small", 8192)


def definition(name: str, *, version: str = "v1", is_public: bool = True) -> ModelDefinition:
    return ModelDefinition(name, version, TARGET.id, (), (TARGET,), callable_from_outside=is_public)


def system(definitions: list[ModelDefinition], board: CatalogBoard) -> System:
    def current() -> Sequence[ModelDefinition]:
        return tuple(definitions)

    return System("test", Supervisor([ChildSpec("catalog", partial(Catalog, current, board=board))]))


def restart(system: System) -> None:
    ref = system.whereis("test/catalog")
    assert ref is not None
    ref.kill()


@pytest.mark.anyio
async def test_a_name_is_found_with_and_without_the_prefix() -> None:
    board = CatalogBoard()
    model = definition("balanced")
    async with system([model], board):
        assert board.resolve("balanced") is model
        assert board.resolve("wardwright/balanced") is model


@pytest.mark.anyio
async def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    board = CatalogBoard()
    async with system([definition("b"), definition("a"), definition("hidden", is_public=False)], board):
        with pytest.raises(UnknownModel) as caught:
            board.resolve("wardwright/wardwright/a")
    assert caught.value.message == "unknown model 'wardwright/wardwright/a'; models served here: a, b"
    assert caught.value.param == "model"


def test_before_anything_is_published_nothing_is_known() -> None:
    with pytest.raises(UnknownModel, match="models served here: none"):
        CatalogBoard().resolve("balanced")
    assert CatalogBoard().callable_models() == []


@pytest.mark.anyio
async def test_a_model_for_internal_composition_is_not_for_callers() -> None:
    board = CatalogBoard()
    async with system([definition("public"), definition("hidden", is_public=False)], board):
        with pytest.raises(Forbidden) as caught:
            board.resolve("hidden")
        assert caught.value.code == "model_internal"
        assert [model.id for model in board.callable_models()] == ["public"]


@pytest.mark.anyio
async def test_models_are_listed_by_id() -> None:
    board = CatalogBoard()
    async with system([definition(name) for name in ("c", "a", "b")], board):
        assert [model.id for model in board.callable_models()] == ["a", "b", "c"]


@pytest.mark.anyio
async def test_what_was_published_stays_while_the_catalog_restarts_and_is_swapped_in_one_step() -> None:
    board = CatalogBoard()
    definitions = [definition("balanced")]
    async with system(definitions, board) as running:
        before = board.models
        definitions[:] = [definition("balanced", version="v2"), definition("new")]
        restart(running)
        assert board.models is before, "a killed catalog goes on serving"

        await settle()
        assert {name: model.version for name, model in board.models.items()} == {"balanced": "v2", "new": "v1"}
        assert {name: model.version for name, model in before.items()} == {"balanced": "v1"}


@pytest.mark.anyio
async def test_definitions_that_cannot_be_made_leave_the_last_good_ones() -> None:
    board = CatalogBoard()
    definitions = [definition("balanced")]
    broken = False

    def current() -> Sequence[ModelDefinition]:
        if broken:
            raise ValueError("cannot compile")
        return definitions

    tree = Supervisor([ChildSpec("catalog", partial(Catalog, current, board=board))])
    async with System("test", tree, on_event=lambda event: None) as running:
        broken = True
        restart(running)
        await running.wait_stopped()
        assert board.resolve("balanced").version == "v1"


@pytest.mark.anyio
async def test_it_shows_the_active_versions() -> None:
    board = CatalogBoard()
    async with system([definition("balanced")], board) as running:
        ref = running.whereis("test/catalog")
        assert ref is not None
        assert ref.info().details == {"active_versions": {"balanced": "v1"}}
