"""What the answers to one request are held to: what the models say that govern them, and what the request itself asks for."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import TypeVar

from wardwright.domain.chat import ChatRequest
from wardwright.domain.errors import RequestError
from wardwright.domain.route import Composition
from wardwright.domain.structured import AskedFormat, DeclaredTool, Enforcement, OutputSummary, StructuredOutput
from wardwright.policy.json_schema import SchemaFault, compile_schema
from wardwright.policy.structured_output import Demand, FormatDemand, ModelDemand, OutputContract, ToolDemand
from wardwright.runtime.governing import governing
from wardwright.wire.openai_output import asked_format, declared_tools

_KEPT = 1024

T = TypeVar("T")


@lru_cache(_KEPT)
def demands_of(composition: Composition) -> Mapping[str, tuple[ModelDemand, ...]]:
    """What models say of the form of each target's answers; only of those that some do. Purity: pure; kept like routes are."""
    found: dict[str, tuple[ModelDemand, ...]] = {}
    for model, targets, prefix in governing(composition):
        if model.structured_output.schemas:
            demand = ModelDemand(model.structured_output, prefix)
            for target in targets:
                found[target] = (*found.get(target, ()), demand)
    return found


class OutputBook:
    """The contracts of one request's answers, by target; `summary` is what the receipt is told of them, None when there are none.

    Raises: RequestError when the request asks for a form that cannot be enforced.
    """

    def __init__(self, composition: Composition, request: ChatRequest) -> None:
        form = composition.root.structured_output
        self._of_models = demands_of(composition)
        asked, tools = _asked_format(form, request), _watched_tools(form, request)
        self._asked: list[Demand] = []
        if asked is not None:
            self._asked.append(
                _honoured("response_format.json_schema.schema", lambda: FormatDemand(asked, form.guard_loop))
            )
        if tools:
            self._asked.append(_tool_demand(form, tools))
        self._contracts: dict[str, OutputContract | None] = {}
        names = dict.fromkeys(
            name for demands in self._of_models.values() for demand in demands for name in demand.names
        )
        is_free = not (names or self._asked)
        self.summary = (
            None if is_free else OutputSummary(tuple(names), None if asked is None else asked.kind, len(tools))
        )

    def contract(self, target_id: str) -> OutputContract | None:
        """What the answers of a target are held to; None when they may have any form."""
        if target_id not in self._contracts:
            demands = (*self._of_models.get(target_id, ()), *self._asked)
            self._contracts[target_id] = OutputContract(demands) if demands else None
        return self._contracts[target_id]


def _asked_format(form: StructuredOutput, request: ChatRequest) -> AskedFormat | None:
    """The form that the request asks for, if it is to be enforced."""
    if form.response_format == "pass_on" or "response_format" not in request.fields:
        return None
    asked = asked_format(request)
    return asked if asked is not None and _is_enforced(form.response_format, strict=asked.strict) else None


def _watched_tools(form: StructuredOutput, request: ChatRequest) -> tuple[DeclaredTool, ...]:
    """The functions that the request offers and whose arguments are to be looked at."""
    if form.tool_arguments == "pass_on":
        return ()
    return tuple(tool for tool in declared_tools(request) if _is_enforced(form.tool_arguments, strict=tool.strict))


def _tool_demand(form: StructuredOutput, tools: Sequence[DeclaredTool]) -> ToolDemand:
    for tool in tools:
        _honoured(f"tools: the parameters of {tool.name[:80]!r}", partial(compile_schema, tool.schema), param="tools")
    return ToolDemand(tools, form.guard_loop, all_known=form.tool_arguments == "enforce")


def _is_enforced(enforcement: Enforcement, *, strict: bool) -> bool:
    return enforcement == "enforce" or (enforcement == "strict" and strict)


def _honoured(path: str, make: Callable[[], T], *, param: str | None = None) -> T:
    try:
        return make()
    except SchemaFault as fault:
        raise RequestError(f"{path}: expected a JSON Schema that {fault}", param=param or path) from None
