"""Putting a model together with the models below it, each in one version."""

from collections.abc import Mapping

from wardwright.domain.route import MODEL_PREFIX, Composition, ModelDefinition


def compose(root: ModelDefinition, models: Mapping[str, ModelDefinition]) -> Composition:
    """Collect the definitions that a model is made of, from the definitions to go by, by model id. Purity: pure.

    A model that is named and not there is left out: `planner.nesting` has refused it when the definitions were loaded.
    """
    nested: dict[str, ModelDefinition] = {}
    waiting = [root]
    while waiting:
        for name in nested_models(waiting.pop()):
            definition = models.get(name)
            if definition is not None and name != root.id and name not in nested:
                nested[name] = definition
                waiting.append(definition)
    return Composition(root, dict(sorted(nested.items())))


def nested_models(definition: ModelDefinition) -> list[str]:
    """The models that a definition names as members. Purity: pure."""
    names = [definition.root, *(member for selector in definition.selectors for member in selector.models)]
    return [name.removeprefix(MODEL_PREFIX) for name in names if name.startswith(MODEL_PREFIX)]
