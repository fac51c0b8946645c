"""API keys over HTTP: shown once, listed without, revoked for good, and durable when the answer says so."""

import json
from typing import Any

import msgspec
import pytest

from tests.wardwright.edge.asgi import Client, Site, site
from tests.wardwright.runtime.providers import Watched
from tests.wardwright.runtime.stage import cascade
from wardwright.domain.caller import Attributed
from wardwright.domain.keys import key_hash

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]

PATH = "/admin/model-api-keys"


async def post(at: Site, body: object) -> Client:
    return await at.request("POST", PATH, client=Client(json.dumps(body).encode()))


async def created(at: Site, **fields: object) -> Any:
    client = await post(at, {"model": "test-model", "label": "robots", **fields})
    assert client.status == 201, client.body
    return client.json["api_key"]


async def test_a_key_is_shown_when_it_is_made_and_never_again() -> None:
    async with site(Watched()) as at:
        made = await created(at, caller={"tenant_id": " acme "}, limits={"requests_per_minute": 5, "usd_per_day": 0.5})
        listed = (await at.get(PATH)).json["data"]
        state = at.on.boards.control.state.keys[made["id"]]
    secret = made.pop("key")
    assert secret.startswith("wwk_")
    assert made == {
        "id": made["id"],
        "model_id": "test-model",
        "label": "robots",
        "prefix": secret[:12],
        "created_at": 1_800_000_000.0,
        "caller": {"tenant_id": "acme"},
        "limits": {"requests_per_minute": 5, "usd_per_day": 0.5},
    }
    unused = {"requests_in_minute": 0, "tokens_in_minute": 0, "usd_today": 0.0, "live_requests": 0}
    assert listed == [{**made, "used": unused}]
    assert state.key_hash == key_hash(secret)


async def test_a_model_may_be_named_with_its_prefix_and_lists_go_by_model() -> None:
    async with site(Watched()) as at:
        made = await created(at, model="wardwright/test-model")
        assert [key["id"] for key in (await at.get(PATH, query="model=test-model")).json["data"]] == [made["id"]]
        client = await at.get(PATH, query="model=nobody")
    assert (client.status, client.json["error"]["code"]) == (404, "model_not_found")


async def test_a_revoked_key_stays_in_the_list_as_such() -> None:
    async with site(Watched()) as at:
        made = await created(at)
        for _ in range(2):
            gone = await at.request("DELETE", f"{PATH}/{made['id']}")
            assert (gone.status, gone.json) == (200, {"deleted": True, "id": made["id"]})
        (listed,) = (await at.get(PATH)).json["data"]
    assert listed["revoked_at"] == 1_800_000_000.0


async def test_no_key_of_that_id_is_not_found() -> None:
    async with site(Watched()) as at:
        client = await at.request("DELETE", f"{PATH}/key_none")
    assert (client.status, client.json["error"]["code"]) == (404, "api_key_not_found")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"label": "x"}, "the request body is not as expected: model: required, but missing"),
        ({"model": "test-model", "label": " "}, "label: expected 1 to 256 printable characters"),
        ({"model": "test-model", "label": "a\nb"}, "label: expected 1 to 256 printable characters"),
        (
            {"model": "test-model", "label": "x", "caller": {"session_id": "s"}},
            ("caller.session_id: expected one of tenant_id, application_id, consuming_agent_id, consuming_user_id"),
        ),
        ({"model": "test-model", "label": "x", "caller": {"tenant_id": " "}}, "caller.tenant_id: expected a value"),
        ({"model": "test-model", "label": "x", "limits": {"usd_per_day": -1}}, "limits.usd_per_day: expected"),
        ({"model": "test-model", "label": "x", "limit": {}}, "limit"),
    ],
)
async def test_what_cannot_be_a_key_is_one_clear_refusal(body: object, message: str) -> None:
    async with site(Watched()) as at:
        client = await post(at, body)
        assert (await at.get(PATH)).json["data"] == []
    assert client.status == 400
    assert message in client.json["error"]["message"]


async def test_keys_are_the_operators_alone() -> None:
    async with site(Watched(), admin_token="s3cret") as at:
        for method, path in (("GET", PATH), ("POST", PATH), ("DELETE", f"{PATH}/key_1")):
            assert (await at.request(method, path)).status == 403


class TestServing:
    """What a key does for a caller: it opens its model, and vouches for who the caller is."""

    async def test_a_key_is_taken_as_a_bearer_token_and_in_a_header_of_its_own(self) -> None:
        keyed = msgspec.structs.replace(cascade("first"), requires_api_key=True)
        async with site(Watched("first"), definition=keyed) as at:
            key = (await created(at))["key"]
            asked = [
                await at.chat(headers=headers)
                for headers in (
                    {"authorization": f"Bearer {key}"},
                    {"x-wardwright-model-api-key": key, "authorization": "Bearer somebody-elses"},
                    {"authorization": "Bearer unused"},
                    {"authorization": f"Basic {key}"},
                    {},
                )
            ]
        assert [client.status for client in asked] == [200, 200, 401, 401, 401]
        refusal = asked[2].json["error"]
        assert (refusal["code"], refusal["type"]) == ("invalid_api_key", "invalid_request_error")

    async def test_what_a_key_vouches_for_beats_what_the_caller_says(self) -> None:
        async with site(Watched("first")) as at:
            made = await created(at, caller={"tenant_id": "acme"})
            headers = {
                "authorization": f"Bearer {made['key']}",
                "x-wardwright-tenant-id": "somebody else",
                "x-wardwright-agent-id": "robot",
            }
            client = await at.chat(headers=headers)
            receipt = await at.on.gateway.receipt(client.headers["x-wardwright-receipt-id"])
        assert receipt.caller.tenant_id == Attributed("acme", "trusted_auth")
        assert receipt.caller.consuming_agent_id == Attributed("robot", "header")
        assert receipt.caller.anonymous_id == Attributed(made["id"], "derived_anonymous")
        assert receipt.key_id == made["id"]
