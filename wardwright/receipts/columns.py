"""Receipts as rows of a table with typed columns, for engines that ask questions of many: one flat row each.

A column has its type whether or not a receipt says anything for it. What a receipt says in lists (its attempts, the rules that fired)
stands in columns of JSON, as it is there. Columns that the CSV export has too have the same names.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from wardwright.receipts.fold import attempt_count, summarise
from wardwright.receipts.receipt import Receipt

ColumnType = Literal["text", "texts", "integer", "number", "flag", "time", "json"]
"""What a column holds. `texts` is a list of text, `json` any JSON; a time is given as ISO 8601 in UTC."""

_Cell = Callable[[Receipt], object]


class Column(NamedTuple):
    """A column, and what a receipt says in it: None where it says nothing."""

    name: str
    type: ColumnType
    cell: _Cell


def row_of(receipt: Receipt) -> dict[str, object]:
    """The row of a receipt by column, in their order; msgspec encodes its values as JSON. Purity: pure."""
    return {column.name: column.cell(receipt) for column in COLUMNS}


def _at(path: str) -> _Cell:
    """What stands at a path of the receipt; None when the path ends before."""
    names = path.split(".")

    def cell(receipt: Receipt) -> object:
        value: object = receipt
        for name in names:
            if value is None:
                return None
            value = getattr(value, name)
        return value

    return cell


def _created_at(receipt: Receipt) -> str:
    return datetime.fromtimestamp(receipt.created_at, tz=UTC).isoformat().replace("+00:00", "Z")


def _closed_at(receipt: Receipt) -> str | None:
    return receipt.final.receipt_recorded_at if receipt.final else None


def _is_fallback(receipt: Receipt) -> bool | None:
    """Whether another target answered than was decided on, as `receipts stats` counts it."""
    final = receipt.final
    return None if final is None else final.selected_model not in (None, receipt.decision.selected_model)


def _first_token_ms(receipt: Receipt) -> float | None:
    """Of the last attempt that brought anything."""
    return next((one.first_token_ms for one in reversed(receipt.attempts) if one.first_token_ms is not None), None)


def _finish_reasons(receipt: Receipt) -> tuple[str, ...]:
    return receipt.attempts[-1].finish_reasons if receipt.attempts else ()


def _called_tools(receipt: Receipt) -> tuple[str, ...]:
    return receipt.attempts[-1].called_tools if receipt.attempts else ()


COLUMNS = (
    Column("receipt_id", "text", _at("receipt_id")),
    Column("created_at", "time", _created_at),
    Column("closed_at", "time", _closed_at),
    Column("model_id", "text", _at("model_id")),
    Column("model_version", "text", _at("model_version")),
    Column("status", "text", _at("final.status")),
    Column("simulation", "flag", _at("simulation")),
    Column("endpoint", "text", _at("request.endpoint")),
    Column("stream", "flag", _at("request.stream")),
    Column("message_count", "integer", _at("request.message_count")),
    Column("estimated_prompt_tokens", "integer", _at("request.estimated_prompt_tokens")),
    Column("request_id", "text", _at("request.request_id")),
    Column("trace_id", "text", _at("request.trace_id")),
    Column("tool_namespace", "text", _at("request.tool_context.primary_tool.namespace")),
    Column("tool_name", "text", _at("request.tool_context.primary_tool.name")),
    Column("tool_phase", "text", _at("request.tool_context.phase")),
    Column("tool_source", "text", _at("request.tool_context.primary_tool.source")),
    Column("tool_call_id", "text", _at("request.tool_context.tool_call_id")),
    Column("available_tools", "texts", _at("request.tool_context.available_tools")),
    Column("tenant_id", "text", _at("caller.tenant_id.value")),
    Column("application_id", "text", _at("caller.application_id.value")),
    Column("consuming_agent_id", "text", _at("caller.consuming_agent_id.value")),
    Column("consuming_user_id", "text", _at("caller.consuming_user_id.value")),
    Column("session_id", "text", _at("caller.session_id.value")),
    Column("session_turn", "integer", _at("session_turn")),
    Column("run_id", "text", _at("caller.run_id.value")),
    Column("client_request_id", "text", _at("caller.client_request_id.value")),
    Column("anonymous_id", "text", _at("caller.anonymous_id.value")),
    Column("caller_tags", "texts", _at("caller.tags")),
    Column("key_id", "text", _at("key_id")),
    Column("route_type", "text", _at("decision.route_type")),
    Column("route_id", "text", _at("decision.route_id")),
    Column("strategy", "text", _at("decision.strategy")),
    Column("decided_model", "text", _at("decision.selected_model")),
    Column("selected_model", "text", lambda receipt: summarise(receipt).selected_model),
    Column("selected_provider", "text", lambda receipt: summarise(receipt).selected_provider),
    Column("fallback", "flag", _is_fallback),
    Column("attempts", "integer", attempt_count),
    Column("latency_ms", "number", _at("final.latency_ms")),
    Column("first_token_ms", "number", _first_token_ms),
    Column("finish_reasons", "texts", _finish_reasons),
    Column("called_tools", "texts", _called_tools),
    Column("prompt_tokens", "integer", _at("final.usage.prompt_tokens")),
    Column("cached_prompt_tokens", "integer", _at("final.usage.cached_prompt_tokens")),
    Column("completion_tokens", "integer", _at("final.usage.completion_tokens")),
    Column("usage_source", "text", _at("final.usage.source")),
    Column("cost_usd", "number", _at("final.cost_usd")),
    Column("released", "flag", _at("final.released")),
    Column("released_bytes", "integer", _at("final.released_bytes")),
    Column("error_code", "text", _at("final.error_code")),
    Column("error_message", "text", _at("final.error_message")),
    Column("stream_policy_action", "text", _at("final.stream_policy.action")),
    Column("stream_policy_triggers", "integer", _at("final.stream_policy.trigger_count")),
    Column("structured_output_status", "text", _at("final.structured_output.final_status")),
    Column("attempt_details", "json", _at("attempts")),
    Column("passed_over", "json", _at("passed_over")),
    Column("skipped", "json", _at("decision.skipped")),
    Column("policy_actions", "json", _at("decision.policy_actions")),
    Column("stream_policy", "json", _at("final.stream_policy")),
    Column("structured_output", "json", _at("final.structured_output")),
    Column("canaries", "json", _at("canaries")),
    Column("seams", "json", _at("seams")),
)
