"""Receipts as a daemon writes them, made up: plain ones by number, and generated ones that differ in everything a query can name."""

from collections.abc import Sequence
from typing import Any, get_args

import msgspec
from hypothesis import strategies as st

from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.policy import RuleFired, StreamAction
from wardwright.domain.route import PlanInputs, RequestFacts
from wardwright.domain.tools import ToolContext, ToolIdentity, ToolPhase, ToolSource
from wardwright.receipts.chain import Chain
from wardwright.receipts.erasure import erased
from wardwright.receipts.events import (
    AttemptFinished,
    AttemptStarted,
    Closed,
    ContentCaptured,
    Decision,
    Event,
    FinalStatus,
    Opened,
    RequestSummary,
    SelectedTarget,
    StreamFinding,
    decode_entry,
)
from wardwright.receipts.fading import faded
from wardwright.receipts.query import CLOCK_SLACK_S, MAX_LIMIT, STATUSES, TOOL_FIELDS, ReceiptFilter, cursor

AT = 1_800_000_000
SPACING_S = 10

TARGETS = {"local/small": "local", "local/large": "local", "cloud/large": "cloud"}
NAMES = ("a", "b", "A", "a b", "ä'\"%")
CALLER_FACTS = ("tenant_id", "application_id", "consuming_agent_id", "consuming_user_id", "session_id", "run_id")
TOOLS = ("search", "shell", *NAMES)
NAMESPACES = ("openai.function", "openai.tool")
CALLS = ("call_1", "call_2", *NAMES)
MODELS = ("coding", "chat")
VERSIONS = ("1", "2")


class Written(msgspec.Struct, frozen=True):
    """One receipt as its writer had it: the id and the encoded entries."""

    receipt_id: str
    payloads: tuple[bytes, ...]


def receipt_id(number: int) -> str:
    """The id of the receipt of that number; ids sort as their numbers do."""
    return f"rcpt_{number:04d}"


def opened(
    caller: Caller | None = None, model_id: str = "coding", tools: ToolContext | None = None, **changes: Any
) -> Opened:
    """The opening fact of a request for a model with two targets, `local/small` chosen."""
    fact = Opened(
        boot="boot-1",
        model_id=model_id,
        model_version="1",
        caller=caller or Caller(),
        request=RequestSummary(
            f"wardwright/{model_id}", model_id, 1, stream=True, estimated_prompt_tokens=40, tool_context=tools
        ),
        decision=decision("local/small"),
    )
    return msgspec.structs.replace(fact, **changes)


def decision(selected: str | None) -> Decision:
    """A decision for one of the targets, or for none."""
    planned = tuple(SelectedTarget(model, provider, 8192) for model, provider in TARGETS.items())
    return Decision(
        route_type="dispatcher",
        route_id="fit",
        strategy="smallest_context_window",
        reason="the smallest window that fits",
        selected_model=selected,
        selected_provider=None if selected is None else TARGETS[selected],
        selected_context_window=None if selected is None else 8192,
        selected_models=() if selected is None else planned,
        fallback_models=(),
        skipped=(),
        graph_path=("fit",),
        estimated_prompt_tokens=40,
        route_blocked=selected is None,
        facts=PlanInputs(RequestFacts(estimated_prompt_tokens=40), {"coding": "1"}),
    )


def sealed(number: int, events: Sequence[Event], at: float | None = None) -> Written:
    """The receipt of these facts, a second apart."""
    chain = Chain(receipt_id(number), draw_salt=lambda: f"{number:032x}")
    began = AT + number * SPACING_S if at is None else at
    return Written(chain.receipt_id, tuple(chain.seal(event, began + place) for place, event in enumerate(events)))


def plain(
    number: int, *, attempts: int = 1, closed: bool = True, session_id: str | None = None, user_id: str | None = None
) -> Written:
    """A receipt without anything special about it: its opening entry, so many attempts begun, and perhaps its end."""
    caller = Caller(
        session_id=None if session_id is None else Attributed(session_id, "header"),
        consuming_user_id=None if user_id is None else Attributed(user_id, "header"),
    )
    events: list[Event] = [opened(caller)]
    events += [AttemptStarted(place, "local/small", "local", "small:7b") for place in range(1, attempts + 1)]
    if closed:
        events.append(Closed("completed", attempts, selected_model="local/small"))
    return sealed(number, events)


def erasures(written: Written) -> tuple[bytes, ...]:
    """What is left of those entries of a receipt that have anything to erase."""
    return tuple(left for payload in written.payloads if (left := erased(payload)) is not None)


def fadings(written: Written) -> tuple[bytes, ...]:
    """What is left of those entries of a receipt that fade."""
    return tuple(faded([decode_entry(payload) for payload in written.payloads]))


def after_fading(written: Written) -> Written:
    """The same receipt when its events have faded."""
    left = {decode_entry(payload).seq: payload for payload in fadings(written)}
    kept = (left.get(seq, payload) for seq, payload in enumerate(written.payloads, 1))
    return Written(written.receipt_id, tuple(kept))


def governed(number: int, action: StreamAction = "block") -> Written:
    """A receipt of which a stream rule has stopped the answer, and held for its session."""
    fired = RuleFired("rule", action, "text", 0, 0, 1, "chunk", "literal")
    finding = StreamFinding("horizon", action, "rule", 1, (fired,), spent=("rule",))
    events: list[Event] = [
        opened(Caller(session_id=Attributed("s", "header")), session_turn=1),
        AttemptStarted(1, "local/small", "local", "small:7b"),
        AttemptFinished(1, "local/small", "stopped", AT + 0.5, 10.0, stream_policy=finding),
        Closed("stream_policy_blocked", 1),
    ]
    return sealed(number, events)


def with_content(number: int, text: str) -> Written:
    """A receipt that has captured what was answered."""
    content = ContentCaptured(
        "answer", content=msgspec.Raw(msgspec.json.encode({"choices": [{"index": 0, "text": text}]}))
    )
    return sealed(number, [opened(), content, Closed("completed", 0)])


def tool_contexts() -> st.SearchStrategy[ToolContext]:
    """What a request may have to do with tools, of few tools and calls."""
    tools = st.sampled_from(TOOLS)
    return st.builds(
        ToolContext,
        phase=st.sampled_from(get_args(ToolPhase)),
        confidence=st.just("exact"),
        primary_tool=st.none()
        | st.builds(ToolIdentity, st.sampled_from(NAMESPACES), tools, st.sampled_from(get_args(ToolSource))),
        available_tools=st.lists(tools, max_size=2, unique=True).map(tuple),
        tool_call_id=st.none() | st.sampled_from(CALLS),
    )


def _fact(value: str) -> Attributed:
    return Attributed(value, "header")


@st.composite
def receipts(draw: st.DrawFn, number: int) -> Written:
    """One receipt of a number: who asked, what was decided, how it went, all drawn from few values so that queries meet some.

    Ids sort by the time of opening, but for as much as a clock may have been set back.
    """
    caller = msgspec.structs.replace(
        Caller(), **{name: _fact(draw(st.sampled_from(NAMES))) for name in draw(st.sets(st.sampled_from(CALLER_FACTS)))}
    )
    selected = draw(st.sampled_from([*TARGETS, None]))
    events: list[Event] = [
        opened(
            caller,
            draw(st.sampled_from(MODELS)),
            draw(st.none() | tool_contexts()),
            model_version=draw(st.sampled_from(VERSIONS)),
            decision=decision(selected),
            simulation=draw(st.booleans()),
        )
    ]
    if selected is not None and draw(st.booleans()):
        action = draw(st.sampled_from([None, *get_args(StreamAction)]))
        fired = () if action is None else (RuleFired("rule", action, "text", 0, 0, 1, "chunk", "literal"),)
        finding = draw(st.sampled_from([None, StreamFinding("horizon", action, None, len(fired), fired)]))
        events.append(AttemptStarted(1, selected, TARGETS[selected], "upstream"))
        events.append(AttemptFinished(1, selected, "completed", AT + 0.5, 10.0, stream_policy=finding))
    if draw(st.integers(0, 9)):
        answered = draw(st.sampled_from([*TARGETS, None])) if selected else None
        events.append(Closed(draw(st.sampled_from(get_args(FinalStatus))), 1, selected_model=answered))
    jitter = draw(st.integers(-CLOCK_SLACK_S, 0)) / 2
    return sealed(number, events, AT + number * SPACING_S + jitter)


def histories(most: int) -> st.SearchStrategy[list[Written]]:
    """Up to so many receipts, by ascending id."""
    return st.integers(0, most).flatmap(lambda count: st.tuples(*map(receipts, range(count)))).map(list)


def queries(most: int) -> st.SearchStrategy[ReceiptFilter]:
    """Queries as a client writes them, for histories of up to so many receipts. Few find nothing, few find all."""
    names = st.sampled_from([*NAMES, "c"])
    seconds = st.integers(AT - 100, AT + most * SPACING_S + 100).map(str)
    filters: dict[str, st.SearchStrategy[str]] = {
        **dict.fromkeys(CALLER_FACTS, names),
        "model": st.sampled_from([*MODELS, "wardwright/coding", "none"]),
        "model_id": st.sampled_from(MODELS),
        "model_version": st.sampled_from(VERSIONS),
        "status": st.sampled_from(STATUSES),
        "selected_model": st.sampled_from(list(TARGETS)),
        "selected_provider": st.sampled_from(["local", "cloud"]),
        "simulation": st.sampled_from(["true", "false", "perhaps"]),
        "stream_policy_action": st.sampled_from(get_args(StreamAction)),
        "created_at_min": seconds,
        "created_at_max": seconds,
        "limit": st.integers(1, MAX_LIMIT).map(str),
        "cursor": st.integers(0, most).map(receipt_id).map(cursor),
        **dict.fromkeys(TOOL_FIELDS, names),
        "tool_namespace": st.sampled_from(NAMESPACES),
        "tool_name": st.sampled_from(TOOLS),
        "tool_phase": st.sampled_from(get_args(ToolPhase)),
        "tool_source": st.sampled_from(get_args(ToolSource)),
        "tool_call_id": st.sampled_from(CALLS),
    }
    common = {
        name: filters[name] for name in ("model", "status", "selected_model", "created_at_min", "tenant_id", "limit")
    }
    return st.one_of(
        st.fixed_dictionaries({}, optional=common),
        st.fixed_dictionaries({"stream_policy_action": filters["stream_policy_action"]}),
        st.sets(st.sampled_from(list(filters)), max_size=3).flatmap(
            lambda chosen: st.fixed_dictionaries({name: filters[name] for name in sorted(chosen)})
        ),
    ).map(ReceiptFilter.parse)
