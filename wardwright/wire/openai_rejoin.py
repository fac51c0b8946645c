"""Chunks of one chat completion made into chunks of another, which an earlier target began: see `policy.resumption`."""

import msgspec

from wardwright.domain.chat import Fields, Usage
from wardwright.domain.stream import Frame, Start, StreamEvent, UsageReport
from wardwright.wire.openai_reframe import split, with_text, without_roles

__all__ = ["joined", "shared_fields", "split", "with_text"]

_SHARED = ("id", "object", "created", "model")
_NULL = b"null"

_USAGE = msgspec.json.Decoder(dict[str, object])


def shared_fields(frame: Frame) -> Fields:
    """The fields by which clients know that chunks belong to one answer. Purity: pure."""
    return {name: frame.fields[name] for name in _SHARED if name in frame.fields}


def joined(frame: Frame, shared: Fields, spent: Usage | None) -> Frame | None:
    """Make a chunk one of an answer that has these fields, has begun, and has used so much already. Purity: pure.

    None for a chunk that only begins an answer.
    """
    if frame.events and all(isinstance(event, Start) for event in frame.events):
        return None
    fields = {**frame.fields, **shared}
    choices = fields.get("choices")
    if choices is not None and b'"role"' in bytes(choices):
        fields["choices"] = without_roles(choices)
    usage = fields.get("usage")
    if spent is not None and usage is not None and bytes(usage) != _NULL:
        fields["usage"] = _raw(_added(_USAGE.decode(usage), spent))
    return Frame(fields, tuple(_later(event, spent) for event in frame.events if not isinstance(event, Start)))


def _added(usage: dict[str, object], spent: Usage) -> dict[str, object]:
    """Counts with those of the earlier attempts on top; what else is said of them is of this attempt alone."""
    more = {
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": spent.completion_tokens,
        "total_tokens": spent.prompt_tokens + spent.completion_tokens,
    }
    counts = {name: count for name in more if isinstance(count := usage.get(name), int)}
    return {**usage, **{name: count + more[name] for name, count in counts.items()}}


def _later(event: StreamEvent, spent: Usage | None) -> StreamEvent:
    if spent is None or not isinstance(event, UsageReport):
        return event
    own = event.usage
    total = msgspec.structs.replace(
        own,
        prompt_tokens=own.prompt_tokens + spent.prompt_tokens,
        completion_tokens=own.completion_tokens + spent.completion_tokens,
    )
    return UsageReport(total)


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
