"""What a plan is made from, gathered from the world: the request's size, its policies' demands, health, what was
spent, who asks, and a draw.

A live request and a simulated one gather alike; from there on everything is a function of what was gathered.
"""

from collections.abc import Callable, Mapping

import msgspec
from msgspec.structs import replace

from wardwright.domain.caller import Caller
from wardwright.domain.chat import ChatRequest
from wardwright.domain.policy import PolicyAction
from wardwright.domain.route import Composition, PlanInputs, RouteConstraints, SessionFacts
from wardwright.planner.compiled import compiled
from wardwright.planner.estimate import request_facts
from wardwright.runtime.decision import Decided, decide
from wardwright.runtime.exact import ExactCounts
from wardwright.runtime.health import HealthBoard
from wardwright.runtime.ledger import Ledger
from wardwright.runtime.policy import PolicyBook

_SEEDS = 2**53  # what every reader of JSON keeps exact


class Gathered(msgspec.Struct, frozen=True):
    """The inputs of a plan, and the policy's rules that led to the constraints among them."""

    inputs: PlanInputs
    actions: tuple[PolicyAction, ...]


class FactFinder:
    """Gathers facts. For the one event loop's use; `draw` takes a number below its argument."""

    def __init__(
        self,
        exact_counts: ExactCounts,
        health: HealthBoard,
        ledger: Ledger,
        *,
        now: Callable[[], float],
        draw: Callable[[int], int],
    ) -> None:
        self._exact_counts = exact_counts
        self._health = health
        self._ledger = ledger
        self._policies = PolicyBook()
        self._now = now
        self._draw = draw

    async def gather(
        self, composition: Composition, request: ChatRequest, caller: Caller, session: SessionFacts | None
    ) -> Gathered:
        """State everything that a plan for a request is made from. Cancel point if tokens are counted."""
        route = compiled(composition)
        constraints, actions = self._policies.judge(composition, request)
        facts = await self._exact_counts.refine(request_facts(request), request, composition)
        inputs = PlanInputs(
            request=facts,
            caller=caller_facts(caller, route.caller_fields),
            caller_tags=tags_asked_for(caller, route.caller_tags),
            session=session,
            health=self._health.concerning(composition, self._now()),
            constraints=constraints,
            spent_usd=self._ledger.spent_usd(composition.root.id, route.budgets) if route.budgets else {},
            seed=self._draw(_SEEDS) if route.draws else 0,
        )
        return Gathered(inputs, actions)

    async def decide_again(
        self, composition: Composition, before: PlanInputs, request: ChatRequest, only: str | None
    ) -> Decided:
        """Decide for a request that has grown since, or, with `only`, that no other target shall answer. Cancel point.

        What policy demanded of the route still holds, and so does what the session and the server's draw have decided.
        """
        facts = await self._exact_counts.refine(request_facts(request), request, composition)
        constraints = before.constraints
        if only is not None:
            root = composition.root.id
            constraints = {**constraints, root: _forced_to(only, constraints.get(root, RouteConstraints()))}
        health = self._health.concerning(composition, self._now())
        return decide(composition, replace(before, request=facts, health=health, constraints=constraints))


def _forced_to(target: str, demanded: RouteConstraints) -> RouteConstraints:
    """Force a target as far as policy lets it: where it forces another one already, nothing is left."""
    is_open = demanded.forced_model in (None, target) or demanded.allow_fallback
    return replace(
        demanded,
        forced_model=target,
        allow_fallback=False,
        allowed_targets=demanded.allowed_targets if is_open else (),
    )


def caller_facts(caller: Caller, fields: frozenset[str]) -> Mapping[str, str]:
    """The caller's fields that are looked at, where somebody stated them. Purity: pure."""
    stated = ((name, getattr(caller, name)) for name in sorted(fields) if name != "tags")
    return {name: fact.value for name, fact in stated if fact is not None}


def tags_asked_for(caller: Caller, tags: frozenset[str]) -> tuple[str, ...]:
    """Those of the caller's tags that some guard asks for: words of the operator's, which stay when the caller is erased. Purity: pure."""
    return tuple(tag for tag in caller.tags if tag in tags)
