"""`/__test/config`: hidden unless allowed, protected when it is, and what it answers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.routing import Router

from tests.wardwright.edge.asgi import Client, http_scope, site
from tests.wardwright.edge.test_catalog import route
from tests.wardwright.runtime.catalog_rig import Rig, rig
from tests.wardwright.runtime.providers import Watched
from wardwright.edge.app import ErrorBoundary
from wardwright.edge.inline import InlineModels, InlineOptions

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]

TINY = {"model_id": "unit", "version": "t1", "targets": [{"model": "tiny/x", "context_window": 8}]}


@asynccontextmanager
async def endpoint(folder: Path, **options: Any) -> AsyncIterator[tuple[Rig, ErrorBoundary]]:
    async with rig(folder) as on:
        inline = InlineModels(on.desk, InlineOptions(is_allowed=True, **options), max_body_bytes=100_000)
        yield on, ErrorBoundary(Router([route("POST", "/__test/config", inline.place)], redirect_slashes=False))


async def post(app: ErrorBoundary, body: object) -> Client:
    client = Client(body if isinstance(body, bytes) else msgspec.json.encode(body))
    await app(http_scope("POST", "/__test/config"), client.receive, client.send)
    return client


async def test_where_it_is_not_allowed_there_is_nothing_not_even_for_strangers() -> None:
    async with site(Watched()) as at:
        for peer in (("127.0.0.1", 1), ("192.0.2.7", 1)):
            client = await at.request("POST", "/__test/config", peer=peer)
            assert (client.status, client.json["error"]["code"]) == (404, "not_found")


async def test_where_it_is_allowed_it_is_protected() -> None:
    async with site(Watched(), inline=InlineOptions(is_allowed=True)) as at:
        client = await at.request("POST", "/__test/config", peer=("192.0.2.7", 1))
        assert (client.status, client.json["error"]["code"]) == (403, "protected_endpoint")


async def test_it_answers_with_what_it_has_placed(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as (on, app):
        client = await post(app, TINY)
        assert (client.status, client.json) == (
            200,
            {"status": "ok", "model_id": "unit", "version": "t1", "targets": ["tiny/x"]},
        )
        assert on.active()["unit"] == "t1"


async def test_every_problem_is_told_with_its_place(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as (on, app):
        client = await post(app, {**TINY, "colour": 1, "sinks": [{"id": "s"}]})
        assert (client.status, client.json["error"]["code"]) == (400, "invalid_test_config")
        assert [p["path"] for p in client.json["wardwright"]["problems"]] == ["sinks", "colour"]
        assert "unit" not in on.active()


@pytest.mark.parametrize("body", [b"[]", b"", b"{", b'"x"'])
async def test_a_body_that_is_no_object_is_refused(tmp_path: Path, body: bytes) -> None:
    async with endpoint(tmp_path) as (_, app):
        client = await post(app, body)
        assert (client.status, client.json["error"]["code"]) == (400, "invalid_request")
        assert client.json["error"]["message"] == "request body must be a JSON object"


async def test_credentials_and_ollamas_place_are_the_environments_to_say(tmp_path: Path) -> None:
    keyed = {"provider_kind": "openai-compatible", "provider_base_url": "http://h/v1", "credential_env": "KEY"}
    artifact = {"model_id": "unit", "targets": [{"model": "up/x", "context_window": 8, **keyed}]}
    async with endpoint(tmp_path, credentials_allowed=True, ollama_url="http://box:1") as (on, app):
        assert (await post(app, artifact)).status == 200
        artifact = {"model_id": "unit", "targets": [{"model": "ollama/x", "context_window": 8}]}
        assert (await post(app, artifact)).status == 200
        assert on.providers.slots()["ollama"].provider.info.base_url == "http://box:1"
