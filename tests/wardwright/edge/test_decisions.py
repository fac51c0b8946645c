"""The endpoints of decisions without consequences: what they take, what they answer, what is wrong with a request."""

from typing import Any

import msgspec
import pytest

from tests.wardwright.edge.asgi import Client, Site, site
from tests.wardwright.runtime.providers import Watched

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]

HELLO = {"model": "test-model", "messages": [{"role": "user", "content": "hi"}]}


async def simulate(at: Site, body: object, **headers: str) -> Client:
    sent = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return await at.request("POST", "/v1/wardwright/simulate", client=Client(sent), headers=headers)


async def test_a_request_is_decided_and_nobody_is_called() -> None:
    provider = Watched("first")
    async with site(provider) as at:
        client = await simulate(at, {"request": HELLO}, **{"x-wardwright-tenant-id": "acme"})
        assert client.status == 200
        receipt = client.json["receipt"]
        assert (receipt["simulation"], receipt["final"]["status"]) == (True, "simulated")
        assert receipt["decision"]["selected_model"] == "first/m"
        assert receipt["caller"]["tenant_id"] == {"value": "acme", "source": "header"}
        assert receipt["request"]["request_id"] == client.headers["x-request-id"]
        assert at.on.store.all_receipts() == []
        assert at.on.details("wardwright/models/test-model/model")["requests_by_status"] == {}
    assert provider.calls == []


async def test_the_name_beside_the_request_wins() -> None:
    async with site(Watched("first")) as at:
        named = await simulate(at, {"request": {**HELLO, "model": "nobody"}, "model": "wardwright/test-model"})
        unnamed = await simulate(at, {"request": {"messages": HELLO["messages"]}, "model": "test-model"})
    assert (named.status, unnamed.status) == (200, 200)
    assert named.json["receipt"]["request"]["model"] == "wardwright/test-model"


async def test_what_would_be_refused_is_answered_with_its_receipt() -> None:
    body = {"request": HELLO, "facts": {"request": {"estimated_prompt_tokens": 10**6}}}
    async with site(Watched("first")) as at:
        client = await simulate(at, body)
    assert client.status == 200
    final = client.json["receipt"]["final"]
    assert (final["status"], final["error_code"]) == ("route_blocked", "context_length_exceeded")


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        (b"", None, "the body is not what it must be: Input data was truncated"),
        ({}, None, "missing required field `request`"),
        ({"request": HELLO, "versoin": "v1"}, None, "unknown field `versoin`"),
        ({"request": HELLO, "facts": {"session": {"turns": 1}}}, None, "unknown field `turns` - at `$.facts.session`"),
        ({"request": HELLO, "facts": {"seed": -1}}, None, "at `$.facts.seed`"),
        ({"request": {"model": "test-model"}}, "request.messages", "messages"),
        ({"request": {**HELLO, "messages": []}}, "request.messages", "at least one message"),
    ],
)
async def test_a_body_that_is_wrong_is_refused_by_what_is_wrong(body: Any, param: str | None, words: str) -> None:
    async with site(Watched("first")) as at:
        client = await simulate(at, body)
    error = client.json["error"]
    assert (client.status, error["code"], error["param"]) == (400, "invalid_request", param)
    assert words in error["message"]


async def test_unknown_models_and_versions_are_not_found() -> None:
    async with site(Watched("first")) as at:
        nobody = await simulate(at, {"request": {**HELLO, "model": "nobody"}})
        version = await simulate(at, {"request": HELLO, "version": "v9"})
    assert (nobody.status, nobody.json["error"]["code"]) == (404, "model_not_found")
    assert version.status == 404


async def test_a_replay_needs_a_receipt_and_a_sound_body() -> None:
    async with site(Watched("first")) as at:
        missing = await at.request("POST", "/v1/receipts/rcpt_none/replay")
        wrong = await at.request("POST", "/v1/receipts/rcpt_none/replay", client=Client(b'{"versoin": "v1"}'))
    assert (missing.status, missing.json["error"]["code"]) == (404, "receipt_not_found")
    assert (wrong.status, wrong.json["error"]["code"]) == (400, "invalid_request")
