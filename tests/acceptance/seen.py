"""What a client sees of one governed answer, streamed or whole, and what its receipt says of it."""

import json
from typing import Any, NamedTuple

import httpx2

from tests.acceptance.daemon import Daemon


class Seen(NamedTuple):
    """What a client sees of one streamed answer, and its receipt."""

    status: int
    pieces: list[str]
    is_done: bool
    error: dict[str, Any] | None
    headers: Any
    receipt: dict[str, Any]

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def policy(self) -> dict[str, Any]:
        found: dict[str, Any] = self.receipt["final"]["stream_policy"]
        return found

    @property
    def offsets(self) -> list[tuple[Any, ...]]:
        keys = ("chunk_index", "match_scope", "match_kind", "match_start_byte", "match_end_byte")
        events = (event for event in self.policy["events"] if event["type"] == "stream_policy.triggered")
        return [tuple(event[key] for key in keys) for event in events]


def seen_of(daemon: Daemon, answer: httpx2.Response) -> Seen:
    """Read an answer of the chat surface."""
    receipt = daemon.receipt(answer.headers["x-wardwright-receipt-id"])
    if answer.headers["content-type"].startswith("application/json"):
        body = answer.json()
        pieces = [choice["message"]["content"] for choice in body.get("choices", ())]
        return Seen(answer.status_code, pieces, "error" not in body, body.get("error"), answer.headers, receipt)
    events = [line.removeprefix("data: ") for line in answer.text.strip().split("\n\n")]
    said = [json.loads(event) for event in events if event != "[DONE]"]
    error = next((one["error"] for one in said if "error" in one), None)
    deltas = [choice["delta"].get("content") for one in said for choice in one.get("choices", ())]
    pieces = [text for text in deltas if text]
    return Seen(answer.status_code, pieces, events[-1] == "[DONE]", error, answer.headers, receipt)
