"""Upstream calls as a Run would make them."""

import json

from wardwright.domain.route import Target
from wardwright.ports.provider import UpstreamCall
from wardwright.wire.openai import parse_chat_request


def upstream_call(upstream_model: str = "ok", *, stream: bool = False, **fields: object) -> UpstreamCall:
    """A call for a model of the test upstream, with further request fields."""
    body = {"model": "public-name", "messages": [{"role": "user", "content": "Hello"}], **fields}
    if stream:
        body["stream"] = True
    target = Target(id=f"local/{upstream_model}", provider="local", upstream_model=upstream_model, context_window=8192)
    return UpstreamCall(target=target, request=parse_chat_request(json.dumps(body).encode()), request_id="req-1")
