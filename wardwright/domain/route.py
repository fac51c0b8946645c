"""Targets, selectors, the definition of a synthetic model, and the plan that was made for one request."""

from typing import Literal

import msgspec

SkipReason = Literal["context_window_too_small", "capability_missing"]


class Price(msgspec.Struct, frozen=True):
    """USD per million tokens."""

    input: float
    output: float
    cached_input: float | None = None


class Target(msgspec.Struct, frozen=True):
    """A concrete model at a provider. `context_window` counts tokens of prompt and answer together.

    `capabilities` is None when the operator declared none: the target is then taken to serve everything.
    """

    id: str
    provider: str
    upstream_model: str
    context_window: int
    capabilities: frozenset[str] | None = None
    price: Price | None = None
    tags: tuple[str, ...] = ()


class Dispatcher(msgspec.Struct, frozen=True, tag="dispatcher"):
    """Picks the smallest context window that fits; the larger ones are its fallbacks."""

    id: str
    models: tuple[str, ...]


class Cascade(msgspec.Struct, frozen=True, tag="cascade"):
    """Takes its members in the declared order, leaving out what cannot fit."""

    id: str
    models: tuple[str, ...]


Selector = Dispatcher | Cascade


class ModelDefinition(msgspec.Struct, frozen=True):
    """An immutable version of a synthetic model: the route graph behind one public name.

    `targets` are all targets of the graph, `root` names the selector (or target) where planning begins.
    """

    id: str
    version: str
    root: str
    selectors: tuple[Selector, ...]
    targets: tuple[Target, ...]
    description: str = ""
    callable_from_outside: bool = True
    reveal_target: bool = False
    max_attempts: int = 4


class RequestFacts(msgspec.Struct, frozen=True):
    """What planning knows of a request: estimated prompt tokens, the output budget reserved on top, needed capabilities."""

    estimated_prompt_tokens: int
    output_budget: int = 0
    needs: tuple[str, ...] = ()
    estimate_method: str = "characters/4"

    @property
    def required_window(self) -> int:
        """The smallest context window, in tokens, that can hold the prompt and the requested answer."""
        return self.estimated_prompt_tokens + self.output_budget


class Skip(msgspec.Struct, frozen=True, omit_defaults=True):
    """A target left out of a plan, and why. `detail` names the missing capability where that is the reason."""

    target: str
    reason: SkipReason
    context_window: int
    detail: str | None = None


class RoutePlan(msgspec.Struct, frozen=True):
    """The ordered targets for one request, with every skipped one and why.

    `targets` is empty when nothing can serve the request. `graph_path` lists the selectors from the root down to the one
    that chose the first target.
    """

    route_type: str
    route_id: str
    strategy: str
    reason: str
    targets: tuple[Target, ...]
    skipped: tuple[Skip, ...]
    graph_path: tuple[str, ...]
