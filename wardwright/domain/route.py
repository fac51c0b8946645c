"""Targets, selectors, the definition of a synthetic model, and the plan that was made for one request.

A plan is a function of a `Composition` (what stands behind the name) and of `PlanInputs` (what is known of the request), and of
nothing else. A receipt records the inputs whole, and names the definitions by version: so it can be planned again.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from wardwright.domain.policy import USUAL_HOLDING, Capture, RedactionRule, RouteRule, StreamPolicy, StreamRule
from wardwright.domain.structured import USUAL_OUTPUT, StructuredOutput
from wardwright.domain.tokens import Tokenizer

MODEL_PREFIX = "wardwright/"

HealthReason = Literal["breaker_open", "rate_limited", "saturated"]
PassReason = HealthReason | Literal["not_configured"]
"""Why a planned target was not called when its turn had come: its health, or that its provider is not there any more."""
SkipReason = Literal[
    "context_window_too_small",
    "capability_missing",
    "breaker_open",
    "rate_limited",
    "saturated",
    "guard_denied",
    "guard_passed",
    "policy_route_gate",
    "forced_model_unavailable",
]
AlloyStrategy = Literal["round_robin", "weighted", "deterministic_all"]


class Price(msgspec.Struct, frozen=True, omit_defaults=True):
    """USD per million tokens."""

    input: float
    output: float
    cached_input: float | None = None


class Target(msgspec.Struct, frozen=True, omit_defaults=True):
    """A concrete model at a provider. `context_window` counts tokens of prompt and answer together.

    `capabilities` is None when the operator declared none: the target is then taken to serve everything that a request may need, but
    not to go on from the beginning of an answer (`prefill`), which many servers take for a finished one. `tokenizer` names the
    vocabulary by which its prompts can be counted exactly. `history` is private when what the target writes into a conversation
    (signed thinking, encrypted reasoning) is of no use to any other.
    """

    id: str
    provider: str
    upstream_model: str
    context_window: int
    capabilities: frozenset[str] | None = None
    price: Price | None = None
    tags: tuple[str, ...] = ()
    tokenizer: Tokenizer | None = None
    history: Literal["shared", "private"] = "shared"


class _Chooser(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What selectors that choose among several members share.

    `sticky` keeps a session on the target that served it. `on_overflow` says what becomes of a request that fits nowhere in the
    whole graph: it is refused, or sent to the largest window here all the same. `on_content_filter` says whether a provider's
    refusal of the content is the answer, or a reason to ask the next target. With `resume` a stream that breaks behind its release
    is gone on with at the next target.
    """

    sticky: bool = False
    on_overflow: Literal["refuse", "largest"] = "refuse"
    on_content_filter: Literal["pass_on", "next"] = "pass_on"
    resume: bool = False


class Dispatcher(_Chooser, frozen=True, omit_defaults=True, tag="dispatcher"):
    """Picks the smallest context window that fits; the larger ones are its fallbacks."""

    id: str
    models: tuple[str, ...]


class Cascade(_Chooser, frozen=True, omit_defaults=True, tag="cascade"):
    """Takes its members in the declared order, leaving out what cannot fit."""

    id: str
    models: tuple[str, ...]


class Constituent(msgspec.Struct, frozen=True, omit_defaults=True):
    """A member of an alloy. `weight` is its share of weighted draws."""

    model: str
    weight: int = 1


class Alloy(_Chooser, frozen=True, omit_defaults=True, tag="alloy"):
    """Blends its constituents: another one may come first in every call of one session.

    They share a context window, the smallest of theirs or `min_context_window`, beyond which none of them is used; with
    `partial_context` those that fit are used without the others.
    """

    id: str
    strategy: AlloyStrategy
    constituents: tuple[Constituent, ...]
    partial_context: bool = False
    min_context_window: int | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """The constituents by name, in declared order."""
        return tuple(constituent.model for constituent in self.constituents)


class Requirements(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a guard asks for; all of it has to hold.

    A list holds when one of its entries does; an empty one asks nothing. A caller's field that nobody stated is in no list.
    `target_tags` narrows the guarded targets to those that bear one of the tags. `max_usd_per_day` holds until that much was
    spent through the guard today.
    """

    tenant_id: tuple[str, ...] = ()
    application_id: tuple[str, ...] = ()
    consuming_agent_id: tuple[str, ...] = ()
    consuming_user_id: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    target_tags: tuple[str, ...] = ()
    max_usd_per_day: float | None = None


class Guard(msgspec.Struct, frozen=True, omit_defaults=True, tag="guard"):
    """Passes to `model` when its requirements hold, and to `otherwise` when they do not; without one, to nothing."""

    id: str
    model: str
    require: Requirements
    otherwise: str | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """What the guard may pass to, by name."""
        return (self.model,) if self.otherwise is None else (self.model, self.otherwise)


class Alias(msgspec.Struct, frozen=True, omit_defaults=True, tag="alias"):
    """Another name for one member."""

    id: str
    model: str

    @property
    def models(self) -> tuple[str, ...]:
        """The one member."""
        return (self.model,)


Selector = Dispatcher | Cascade | Alloy | Guard | Alias


class ModelDefinition(msgspec.Struct, frozen=True, omit_defaults=True):
    """An immutable version of a synthetic model: the route graph behind one public name.

    `targets` are all targets of the graph, `root` names where planning begins. A member is a target, a selector of this model, or
    another model by its prefixed name. `capture` says what receipts may have of the requests that name this model, `redaction` what of
    captured content they may not, beside what no receipt may. What has its default is left out of the JSON, so that a key which a later version adds
    changes no version's content.
    """

    id: str
    version: str
    root: str
    selectors: tuple[Selector, ...]
    targets: tuple[Target, ...]
    description: str = ""
    callable_from_outside: bool = True
    requires_api_key: bool = False
    reveal_target: bool = False
    max_attempts: int = 4
    governance: tuple[RouteRule, ...] = ()
    stream_rules: tuple[StreamRule, ...] = ()
    stream_policy: StreamPolicy = USUAL_HOLDING
    structured_output: StructuredOutput = USUAL_OUTPUT
    capture: Capture = "metadata"
    redaction: tuple[RedactionRule, ...] = ()


class Composition(msgspec.Struct, frozen=True, eq=False):
    """A model and every model below it, each in the version that one request goes by. `nested` is by model id.

    A composition equals only itself, so that what planning prepares for it can be kept by it.
    """

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

    def allowance(self) -> Callable[[Target], bool]:
        """The test for the targets that the restriction leaves, for whoever has many to test."""
        if self.allowed_targets is None:
            return lambda target: True
        exact, prefixes = frozenset(self.allowed_targets), tuple(f"{entry}/" for entry in self.allowed_targets)
        return lambda target: target.id in exact or target.provider in exact or target.id.startswith(prefixes)

    def allows(self, target: Target) -> bool:
        """Whether the restriction leaves this target."""
        return self.allowance()(target)


class SessionFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of the caller's session: its turn, from 1, and the target that each sticky selector stays on.

    Sticky selectors go by their key: the id in the requested model, `wardwright/<model>/<id>` in a nested one. `spent_rules` are the
    stream rules that hold once per session and have fired in it; planning does not look at them.
    """

    turn: int = 1
    sticky: Mapping[str, str] = {}
    spent_rules: tuple[str, ...] = ()


class PlanInputs(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything a plan is made from besides the definitions, which `versions` names by model id, the root first.

    `caller` and `caller_tags` hold what some guard looks at, `health` only what is not healthy, `spent_usd` what was spent today by
    guard (its key is made as that of a sticky selector), and `seed` the server's draw for weighted choices. `constraints` are by the
    model whose policy demands them: those of a model hold for everything below it, so a nested model can only narrow them further.
    """

    request: RequestFacts
    versions: Mapping[str, str] = {}
    caller: Mapping[str, str] = {}
    caller_tags: tuple[str, ...] = ()
    session: SessionFacts | None = None
    health: tuple[Unhealthy, ...] = ()
    constraints: Mapping[str, RouteConstraints] = {}
    spent_usd: Mapping[str, float] = {}
    seed: int = 0


class Skip(msgspec.Struct, frozen=True, omit_defaults=True):
    """A target left out of a plan, and why.

    `detail` names what was missing: a capability, a guard's requirement, a rule. `retry_after_s` says when the target may be asked
    again. The window is that of its alloy where the target is too small there; of a target that the graph does not have it is 0.
    """

    target: str
    reason: SkipReason
    context_window: int = 0
    detail: str | None = None
    retry_after_s: float | None = None


class StickyChoice(msgspec.Struct, frozen=True, omit_defaults=True):
    """A selector that keeps this session on one target: on whichever of `targets` serves.

    `kept` is the one that it has kept so far and that goes first, None when there is none or it cannot serve. The session stays
    because the selector says so, or because `private_history` names a target whose part of the conversation no other can read.
    """

    selector: str
    targets: tuple[str, ...]
    kept: str | None = None
    private_history: str | None = None


class RoutePlan(msgspec.Struct, frozen=True):
    """The ordered targets for one request, with every skipped one and why.

    `targets` is empty when nothing can serve the request. `graph_path` leads from the root to the selector that offered the first
    target; a nested model stands in it by its prefixed name, before its own selectors. `overflow` names the selector whose
    target was taken although no window fits. `fallback_used` says that a forced model could not serve and policy allows others.
    `blocked_by` is the policy rule that forbids the request. `refusal_moves_on` are the targets after whose refusal of the content
    the next is asked, `resumable` those whose broken stream the next goes on with.
    """

    route_type: str
    route_id: str
    strategy: str
    reason: str
    targets: tuple[Target, ...]
    skipped: tuple[Skip, ...]
    graph_path: tuple[str, ...]
    sticky: tuple[StickyChoice, ...] = ()
    overflow: str | None = None
    fallback_used: bool = False
    blocked_by: str | None = None
    refusal_moves_on: tuple[str, ...] = ()
    resumable: tuple[str, ...] = ()
