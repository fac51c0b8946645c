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
Channel = Literal["text", "reasoning", "tool_arguments"]


class StreamRule(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A rule over an answer's text, before it is released.

    `on` are the channels that it watches. `horizon_bytes` states how long a match of an unbounded pattern is reckoned with; a bounded
    one needs no such statement. `target` is where `escalate` goes. A `shadow` rule is observed and not enforced.
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
    on_hold_exceeded: Literal["close", "open"] = "close"
