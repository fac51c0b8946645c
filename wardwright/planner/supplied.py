"""Facts that somebody supplies for a decision without consequences, in place of those that would be gathered."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from wardwright.domain.route import PlanInputs, RouteConstraints, SessionFacts, Unhealthy

_Count = Annotated[int, Meta(ge=0, le=2**53)]
_Seed = Annotated[int, Meta(ge=0, lt=2**53)]


class SuppliedRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Facts of the request itself; what is not given is as the request has it."""

    estimated_prompt_tokens: _Count | UnsetType = UNSET
    output_budget: _Count | UnsetType = UNSET
    needs: tuple[str, ...] | UnsetType = UNSET
    exact_prompt_tokens: Mapping[str, _Count] | UnsetType = UNSET


class SuppliedSession(SessionFacts, frozen=True, forbid_unknown_fields=True):
    """What is supposed of the session."""

    turn: Annotated[int, Meta(ge=1, le=2**53)] = 1


class SuppliedHealth(Unhealthy, frozen=True, forbid_unknown_fields=True):
    """What is supposed of a provider or a target."""


class SuppliedConstraints(RouteConstraints, frozen=True, forbid_unknown_fields=True):
    """What is supposed that a model's policy demands."""


class SuppliedFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The inputs of a plan that are given, each in the words of a receipt's `decision.facts`; the rest is gathered."""

    request: SuppliedRequest = SuppliedRequest()
    caller: Mapping[str, str] | UnsetType = UNSET
    caller_tags: tuple[str, ...] | UnsetType = UNSET
    session: SuppliedSession | UnsetType | None = UNSET
    health: tuple[SuppliedHealth, ...] | UnsetType = UNSET
    constraints: Mapping[str, SuppliedConstraints] | UnsetType = UNSET
    spent_usd: Mapping[str, float] | UnsetType = UNSET
    seed: _Seed | UnsetType = UNSET

    def over(self, gathered: PlanInputs) -> PlanInputs:
        """The gathered inputs with the supplied ones in their place. Purity: pure."""
        given = {name: value for name, value in _given(self).items() if name != "request"}
        request = msgspec.structs.replace(gathered.request, **self._request(gathered))
        return msgspec.structs.replace(gathered, request=request, **given)

    def _request(self, gathered: PlanInputs) -> dict[str, object]:
        given = _given(self.request)
        if "estimated_prompt_tokens" in given and gathered.request.exact_prompt_tokens:
            # A count of the text that was sent would contradict the length that is supposed.
            given.setdefault("exact_prompt_tokens", {})
        return given


def _given(struct: msgspec.Struct) -> dict[str, object]:
    values = ((name, getattr(struct, name)) for name in struct.__struct_fields__)
    return {name: value for name, value in values if value is not UNSET}
