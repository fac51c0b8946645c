"""Which models govern the answers of which target: the requested one, and every model nested on the way there.

A nested model's policy comes first, for its answer is what the model around it passes on; what it names is told apart by its model's
id. It holds for its targets whichever way a request has come to these: governing more than was asked for is the safe side.
"""

from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import NamedTuple

from wardwright.domain.route import MODEL_PREFIX, Composition, ModelDefinition
from wardwright.planner.compiled import compiled
from wardwright.planner.composition import nested_models

_KEPT = 1024


class Governing(NamedTuple):
    """A model, the targets whose answers it governs, and what the names of its rules begin with."""

    model: ModelDefinition
    targets: Collection[str]
    prefix: str


@lru_cache(_KEPT)
def governing(composition: Composition) -> tuple[Governing, ...]:
    """List the models of a composition, inner ones first. Purity: pure; kept like routes are."""
    route = compiled(composition)
    below = {node.key: frozenset(target.id for target in node.below) for node in route.nodes}
    return tuple(
        Governing(model, tuple(route.by_id), "")
        if model is composition.root
        else Governing(model, below.get(MODEL_PREFIX + model.id, frozenset()), f"{model.id}/")
        for model in _inner_first(composition)
    )


def _inner_first(composition: Composition) -> Iterator[ModelDefinition]:
    seen: set[str] = set()

    def visit(model: ModelDefinition) -> Iterator[ModelDefinition]:
        if model.id not in seen:
            seen.add(model.id)
            for name in nested_models(model):
                if name in composition.nested:
                    yield from visit(composition.nested[name])
            yield model

    return visit(composition.root)
