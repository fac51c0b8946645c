"""The policies of active models, compiled once per definition, and what they demand of one request."""

from collections.abc import Mapping

from wardwright.domain.chat import ChatRequest
from wardwright.domain.policy import PolicyAction
from wardwright.domain.route import Composition, ModelDefinition, RouteConstraints
from wardwright.policy.route_gate import RouteGate, request_text

_KEPT = 256

Demands = tuple[Mapping[str, RouteConstraints], tuple[PolicyAction, ...]]
"""Constraints by model id, and the rules that fired."""

_NONE: Demands = ({}, ())


class PolicyBook:
    """Compiled policies by definition. For the one event loop's use: compiled patterns are not safe for several threads."""

    def __init__(self) -> None:
        self._gates: dict[tuple[str, str], tuple[ModelDefinition, RouteGate]] = {}

    def judge(self, composition: Composition, request: ChatRequest) -> Demands:
        """Apply the policy of a model, and of every model nested in it, to a request."""
        governed = [model for model in (composition.root, *composition.nested.values()) if model.governance]
        if not governed:
            return _NONE
        text = request_text(request.messages)
        targets = [target for model in (composition.root, *composition.nested.values()) for target in model.targets]
        constraints: dict[str, RouteConstraints] = {}
        actions: list[PolicyAction] = []
        for model in governed:
            gated = self._gate(model).judge(text, targets)
            actions += gated.actions
            if gated.constraints is not None:
                constraints[model.id] = gated.constraints
        return constraints, tuple(actions)

    def _gate(self, model: ModelDefinition) -> RouteGate:
        key = (model.id, model.version)
        kept = self._gates.get(key)
        if kept is not None and kept[0] is model:
            return kept[1]
        if len(self._gates) >= _KEPT:
            self._gates.clear()  # versions come and go by the handful: what is in use is compiled again at once
        gate = RouteGate(model.id, model.governance)
        self._gates[key] = (model, gate)
        return gate
