"""Targets, selectors, the definition of a synthetic model, and the plan that was made for one request.

A plan is a function of a `Composition` (what stands behind the name) and of `PlanInputs` (what is known of the request), and of
nothing else. A receipt records the inputs whole, and names the definitions by version: so it can be planned again.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from wardwright.domain.policy import RouteRule
from wardwright.domain.tokens import Tokenizer

HealthReason = Literal["breaker_open", "rate_limited", "saturated"]
SkipReason = Literal[
    "context_window_too_small",
    "capability_missing",
    "breaker_open",
    "rate_limited",
    "saturated",
    "guard_denied",
    "policy_route_gate",
    "forced_model_unavailable",
]


class Price(msgspec.Struct, frozen=True, omit_defaults=True):
    """USD per million tokens."""

    input: float
    output: float
    cached_input: float | None = None


class Target(msgspec.Struct, frozen=True, omit_defaults=True):
    """A concrete model at a provider. `context_window` counts tokens of prompt and answer together.

    `capabilities` is None when the operator declared none: the target is then taken to serve everything. `tokenizer` names the
    vocabulary by which its prompts can be counted exactly.
    """

    id: str
    provider: str
    upstream_model: str
    context_window: int
    capabilities: frozenset[str] | None = None
    price: Price | None = None
    tags: tuple[str, ...] = ()
    tokenizer: Tokenizer | None = None


class Dispatcher(msgspec.Struct, frozen=True, tag="dispatcher"):
    """Picks the smallest context window that fits; the larger ones are its fallbacks."""

    id: str
    models: tuple[str, ...]


class Cascade(msgspec.Struct, frozen=True, tag="cascade"):
    """Takes its members in the declared order, leaving out what cannot fit."""

    id: str
    models: tuple[str, ...]


Selector = Dispatcher | Cascade


class ModelDefinition(msgspec.Struct, frozen=True, omit_defaults=True):
    """An immutable version of a synthetic model: the route graph behind one public name.

    `targets` are all targets of the graph, `root` names the selector (or target) where planning begins. What has its default is left
    out of the JSON, so that a key which a later version adds changes no version's content.
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
    governance: tuple[RouteRule, ...] = ()


class Composition(msgspec.Struct, frozen=True):
    """A model and every model below it, each in the version that one request goes by. `nested` is by model id."""

    root: ModelDefinition
    nested: Mapping[str, ModelDefinition] = {}

    @property
    def versions(self) -> dict[str, str]:
        """The version of every model of the composition, by model id, the root first."""
        return {model.id: model.version for model in (self.root, *self.nested.values())}


class RequestFacts(msgspec.Struct, frozen=True):
    """What planning knows of a request: estimated prompt tokens, the output budget reserved on top, needed capabilities.

    `exact_prompt_tokens` holds exact counts by tokenizer, where the estimate came so near to a window that one was made.
    """

    estimated_prompt_tokens: int
    output_budget: int = 0
    needs: tuple[str, ...] = ()
    estimate_method: str = "characters/4"
    exact_prompt_tokens: Mapping[str, int] = {}

    @property
    def required_window(self) -> int:
        """The smallest context window, in tokens, that can hold the prompt and the requested answer."""
        return self.estimated_prompt_tokens + self.output_budget

    def window_needed_at(self, target: Target) -> int:
        """The window that a target must have: by the exact count of its own tokenizer where there is one."""
        if target.tokenizer is None or not self.exact_prompt_tokens:
            return self.required_window
        exact = self.exact_prompt_tokens.get(target.tokenizer)
        return self.required_window if exact is None else exact + self.output_budget


class Unhealthy(msgspec.Struct, frozen=True, omit_defaults=True):
    """A provider or a single target that should not be asked now. `subject` is its id, `retry_after_s` when it may be again."""

    subject: str
    reason: HealthReason
    retry_after_s: float | None = None


class RouteConstraints(msgspec.Struct, frozen=True, omit_defaults=True):
    """What policy demands of a route.

    `allowed_targets` keeps a target whose id or provider is listed, or whose id begins with an entry and a slash. None restricts
    nothing; an empty tuple allows nothing. `forced_model` is the only target to ask, unless `allow_fallback` lets the graph decide
    when it cannot serve. `blocked_by` names the rule that forbids the request altogether.
    """

    allowed_targets: tuple[str, ...] | None = None
    forced_model: str | None = None
    allow_fallback: bool = False
    blocked_by: str | None = None

    def allows(self, target: Target) -> bool:
        """Whether the restriction leaves this target."""
        if self.allowed_targets is None:
            return True
        return any(
            entry in (target.id, target.provider) or target.id.startswith(f"{entry}/") for entry in self.allowed_targets
        )


class SessionFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What planning knows of the caller's session: its turn (from 1), and the target that each sticky selector stays on, by selector."""

    turn: int = 1
    sticky: Mapping[str, str] = {}


class PlanInputs(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything a plan is made from besides the definitions, which `versions` names by model id, the root first.

    `caller` holds the caller's fields that some guard looks at, `spent_usd` what was spent today by guard id, `health` only what is
    not healthy, and `seed` the server's draw for weighted choices. `constraints` are by the model whose policy demands them: those
    of a model hold for everything below it, so a nested model can only narrow them further.
    """

    request: RequestFacts
    versions: Mapping[str, str] = {}
    caller: Mapping[str, str] = {}
    session: SessionFacts | None = None
    health: tuple[Unhealthy, ...] = ()
    constraints: Mapping[str, RouteConstraints] = {}
    spent_usd: Mapping[str, float] = {}
    seed: int = 0


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
