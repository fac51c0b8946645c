"""Captured content told to people: what was asked, message by message, and what was answered, choice by choice."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from wardwright.cli.terminal import counted
from wardwright.receipts.receipt import Captured, Content

Told = tuple[str, str, str]
"""What it is about, what there is to say of it, and in which style."""

_MARKED = "yellow"


def content_lines(content: Content) -> Iterator[Told]:
    """Everything that was captured, or that it was erased. Structures of an unknown kind are told as JSON."""
    for label, captured in (("request", content.request), ("answer", content.answer)):
        if captured is None:
            continue
        if captured.erased is not None:
            yield label, "erased", _MARKED
        else:
            yield from _messages(captured.content) if label == "request" else _choices(captured.content)
        yield from _left_out(label, captured)


def _messages(content: Any) -> Iterator[Told]:
    messages = content.get("messages") if isinstance(content, Mapping) else None
    if not isinstance(messages, list):
        yield "request", _as_json(content), ""
        return
    for message in messages:
        is_known = isinstance(message, Mapping) and isinstance(message.get("content"), str) and "role" in message
        rest = {name: value for name, value in message.items() if name not in ("role", "content")} if is_known else {}
        yield (str(message["role"]), message["content"], "") if is_known else ("message", _as_json(message), "")
        if rest:
            yield "", _as_json(rest), ""


def _choices(content: Any) -> Iterator[Told]:
    choices = content.get("choices") if isinstance(content, Mapping) else None
    if not isinstance(choices, list):
        yield "answer", _as_json(content), ""
        return
    for choice in choices:
        known: Mapping[str, Any] = choice if isinstance(choice, Mapping) else {"text": _as_json(choice)}
        for name in ("reasoning", "text"):
            if known.get(name):
                yield "answer" if name == "text" else name, str(known[name]), ""
        for call in known.get("tool_calls", ()):
            yield "tool call", f"{call.get('name', '')} {call.get('arguments', '')}".strip(), ""


def _left_out(label: str, captured: Captured) -> Iterator[Told]:
    if captured.redactions:
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(captured.redactions.items()))
        yield "redacted", f"of the {label}: {counts}", _MARKED
    if captured.cut_bytes:
        yield "cut", f"{counted(captured.cut_bytes, 'byte')} of the {label}, which was too long to be kept", _MARKED


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
