"""Receipts and queries by the thousand, drawn with a seed: what `sample_receipts` generates for Hypothesis, at a thousandth of the cost.

The same seed gives the same receipts and the same queries.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar, get_args

import msgspec

from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.policy import RuleFired, StreamAction
from wardwright.domain.tools import ToolContext, ToolIdentity, ToolPhase, ToolSource
from wardwright.receipts.events import AttemptFinished, AttemptStarted, Closed, Event, FinalStatus, StreamFinding
from wardwright.receipts.query import CLOCK_SLACK_S, FILTERS, MAX_LIMIT, TOOL_FIELDS, ReceiptFilter, cursor
from wardwright.testing.sample_receipts import (
    AT,
    CALLER_FACTS,
    CALLS,
    MODELS,
    NAMES,
    NAMESPACES,
    SPACING_S,
    TARGETS,
    TOOLS,
    VERSIONS,
    Written,
    decision,
    opened,
    receipt_id,
    sealed,
)

MOST = 10_000
"""Ids have four digits, so no history has more receipts."""

_STATUSES = get_args(FinalStatus)
_ACTIONS = get_args(StreamAction)
_SMALL_LIMITS = 0.05  # of the queries: pages of a few receipts, which are many

T = TypeVar("T")


def receipts(seed: int, count: int) -> Iterator[Written]:
    """So many receipts by ascending id, which differ in everything a query can name. Some are open, and some clocks were set back."""
    chance = random.Random(seed)
    return (_receipt(chance, number) for number in range(count))


def queries(seed: int, count: int, history: int) -> list[ReceiptFilter]:
    """So many queries for a history of so many receipts: every filter by itself at first, then up to three together."""
    chance = random.Random(seed)
    values = _values(chance, history)
    asked = [{}, *({name: draw()} for name, draw in values.items())]
    while len(asked) < count:
        chosen = chance.sample(sorted(values), chance.randint(1, 3))
        asked.append({name: values[name]() for name in chosen})
    return [ReceiptFilter.parse(_with_limit(chance, one)) for one in asked[:count]]


def _receipt(chance: random.Random, number: int) -> Written:
    facts = [name for name in CALLER_FACTS if chance.random() < 0.5]
    caller = msgspec.structs.replace(Caller(), **{name: Attributed(chance.choice(NAMES), "header") for name in facts})
    selected = chance.choice([*TARGETS, None])
    events: list[Event] = [
        opened(
            caller,
            chance.choice(MODELS),
            _tool_context(chance) if chance.random() < 0.5 else None,
            model_version=chance.choice(VERSIONS),
            decision=decision(selected),
            simulation=chance.random() < 0.2,
        )
    ]
    if selected is not None and chance.random() < 0.7:
        events.append(AttemptStarted(1, selected, TARGETS[selected], "upstream"))
        events.append(AttemptFinished(1, selected, "completed", AT + 0.5, 10.0, stream_policy=_stream_finding(chance)))
    if chance.random() < 0.9:
        answered = chance.choice([*TARGETS, None]) if selected else None
        events.append(Closed(chance.choice(_STATUSES), 1, selected_model=answered))
    jitter = chance.uniform(-CLOCK_SLACK_S / 2, 0)
    return sealed(number, events, AT + number * SPACING_S + jitter)


def _tool_context(chance: random.Random) -> ToolContext:
    tool = ToolIdentity(chance.choice(NAMESPACES), chance.choice(TOOLS), chance.choice(get_args(ToolSource)))
    return ToolContext(
        phase=chance.choice(get_args(ToolPhase)),
        confidence="exact",
        primary_tool=chance.choice([tool, None]),
        available_tools=tuple(chance.sample(TOOLS, chance.randint(0, 2))),
        tool_call_id=chance.choice([*CALLS, None]),
    )


def _stream_finding(chance: random.Random) -> StreamFinding | None:
    action = chance.choice([None, *_ACTIONS])
    fired = () if action is None else (RuleFired("rule", action, "text", 0, 0, 1, "chunk", "literal"),)
    return chance.choice([None, StreamFinding("horizon", action, None, len(fired), fired)])


def _values(chance: random.Random, history: int) -> Mapping[str, Callable[[], str]]:
    """How a value is drawn for each filter there is; a few can be met by no receipt."""

    def one_of(*values: str) -> Callable[[], str]:
        return lambda: chance.choice(values)

    def second() -> str:
        return str(AT + chance.randint(-100, history * SPACING_S + 100))

    found: dict[str, Callable[[], str]] = {
        **dict.fromkeys((*CALLER_FACTS, *TOOL_FIELDS), one_of(*NAMES, "c")),
        "tool_namespace": one_of(*NAMESPACES),
        "tool_name": one_of(*TOOLS, "c"),
        "tool_phase": one_of(*get_args(ToolPhase)),
        "tool_source": one_of(*get_args(ToolSource)),
        "tool_call_id": one_of(*CALLS, "c"),
        "model": one_of(*MODELS, "wardwright/coding", "none"),
        "model_id": one_of(*MODELS),
        "model_version": one_of(*VERSIONS),
        "status": one_of(*_STATUSES),
        "selected_model": one_of(*TARGETS),
        "selected_provider": one_of("local", "cloud"),
        "simulation": one_of("true", "false", "perhaps"),
        "stream_policy_action": one_of(*_ACTIONS),
        "created_at_min": second,
        "created_at_max": second,
        "cursor": lambda: cursor(receipt_id(chance.randrange(history))),
    }
    missing = set(FILTERS) - set(found)
    assert not missing, f"no query asks for {missing}"
    return found


def _with_limit(chance: random.Random, asked: Mapping[str, str]) -> Mapping[str, str]:
    limit = chance.randint(1, 20) if chance.random() < _SMALL_LIMITS else chance.randint(50, MAX_LIMIT)
    return {**asked, "limit": str(limit)}
