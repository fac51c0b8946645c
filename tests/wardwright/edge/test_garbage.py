"""A request leaves nothing for the garbage collector: what it would find, it stops every request for."""

import gc

import pytest

from supervisors.testing import settle
from tests.wardwright.edge.asgi import Site, site
from tests.wardwright.runtime.providers import REFUSED, Watched, failing

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]

REQUESTS = 10


async def garbage(at: Site, *, stream: bool) -> int:
    """How many objects that many requests leave in circles."""
    for _ in range(3):  # what is made once is made now
        await at.chat(stream=stream)
    await settle()
    gc.collect()
    gc.disable()
    try:
        for _ in range(REQUESTS):
            client = await at.chat(stream=stream)
            assert client.status == 200
        del client
        await settle()
        return gc.collect()
    finally:
        gc.enable()


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
async def test_an_answer_leaves_no_garbage(stream: bool) -> None:
    async with site(Watched(chunk_delay_s=1.0)) as at:
        assert await garbage(at, stream=stream) < REQUESTS, "less than one object for each request"


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
async def test_a_fallback_leaves_little(stream: bool) -> None:
    async with site(failing("first", REFUSED), Watched("second")) as at:
        assert await garbage(at, stream=stream) < REQUESTS * 100, "tracebacks are circles"
