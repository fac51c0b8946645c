"""The rules of a synthetic model's policy, as its definition holds them, and what they did to one request."""

from typing import Literal

import msgspec

RouteAction = Literal["restrict_routes", "switch_model", "reroute", "block"]


class RouteRule(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A rule over the request's text that decides on its route.

    It fires when the text has `contains`, as written, or a match of `regex`; a rule with neither fires always. `allowed_targets` is
    what `restrict_routes` leaves; `target_model` is where `switch_model` and `reroute` (one action under two names) send the
    request, and with `allow_fallback` the graph decides when that target cannot serve.
    """

    id: str
    action: RouteAction
    contains: str | None = None
    regex: str | None = None
    allowed_targets: tuple[str, ...] = ()
    target_model: str | None = None
    allow_fallback: bool = False
    message: str = "request policy matched"


class PolicyAction(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rule that fired: which one of which model, and what it asked for. Never a word of what it matched."""

    model_id: str
    rule_id: str
    kind: str
    action: str
    message: str


StreamAction = Literal["annotate", "rewrite", "drop", "block", "retry", "retry_with_reminder", "escalate"]
StreamMode = Literal["pass_through", "horizon", "semantic_boundary", "full_buffer"]
Channel = Literal["text", "reasoning", "tool_arguments"]


HoldExceeded = Literal["closed", "open"]


class StreamRule(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A rule over an answer's text, before it is released.

    `on` are the channels that it watches. `horizon_bytes` states how long a match of an unbounded pattern is reckoned with; a bounded
    one needs no such statement. `on_hold_exceeded` says what becomes of text that has been held for too long: the answer is ended, or what only
    such rules hold is let go. `target` is where `escalate` goes. A `shadow` rule is observed and not enforced. A rule `once_per`
    request or session is left out of every later answer of it, once it has fired: it steers, and guards no longer.
    """

    id: str
    action: StreamAction
    on: tuple[Channel, ...] = ("text", "tool_arguments")
    contains: str | None = None
    regex: str | None = None
    replacement: str = "[redacted]"
    reminder: str | None = None
    target: str | None = None
    max_retries: int = 1
    once_per: Literal["request", "session"] | None = None
    shadow: bool = False
    horizon_bytes: int | None = None
    max_hold_ms: int | None = None
    on_hold_exceeded: HoldExceeded = "closed"

    @property
    def is_enforced(self) -> bool:
        """Whether the rule can change, hold or end an answer."""
        return not self.shadow and self.action != "annotate"

    @property
    def is_changing(self) -> bool:
        """Whether the rule changes the text, where others only watch it."""
        return self.action in ("rewrite", "drop")

    @property
    def is_retrying(self) -> bool:
        """Whether the rule, when it ends an answer, asks for another one."""
        return self.action in ("retry", "retry_with_reminder", "escalate")


class StreamPolicy(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the answers of a model are held back.

    `max_hold_ms` is how long any text may be held for the sake of a rule, `max_hold_bytes` how much of a provider's stream, as it came.
    `on_hold_exceeded` is what becomes of text that the mode has held for too long.
    """

    mode: StreamMode = "horizon"
    max_hold_ms: int | None = None
    max_hold_bytes: int = 33_554_432
    on_hold_exceeded: HoldExceeded = "closed"


USUAL_HOLDING = StreamPolicy()

Capture = Literal["metadata", "full_session"]
"""What of a request its receipt may have: everything but content, or what was asked and answered too, without secrets."""


class RedactionRule(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What must not stand in captured content: a text as written (`contains`), or every match of `regex`.

    `[redacted:<id>]` takes its place.
    """

    id: str
    contains: str | None = None
    regex: str | None = None


class RuleFired(msgspec.Struct, frozen=True, omit_defaults=True):
    """A stream rule matched: where, never what.

    Bytes count the policy-visible text of one channel of one choice (for tool arguments, of one `call`): after what earlier rules
    changed, without what they dropped. `chunk_index` counts the pieces in which that text came; a match of scope `chunk` lies in
    the one piece, of scope `stream_window` it began in an earlier one.
    """

    rule_id: str
    action: StreamAction
    channel: Channel
    chunk_index: int
    match_start_byte: int
    match_end_byte: int
    match_scope: Literal["chunk", "stream_window"]
    match_kind: Literal["literal", "regex"]
    choice: int = 0
    call: int | None = None
    shadow: bool = False
