"""What the tests of providers stand on: the upstream, a transport to it, and a real model."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import uvloop

from tests.support.upstream import Upstream
from wardwright.providers.transport import Transport, TransportOptions, make_transport
from wardwright.providers.weights import pull


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    """For what serves asyncio alone: runs a coroutine by the wall clock."""
    with asyncio.Runner(loop_factory=request.param) as running:
        yield running


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture
async def transport(anyio_backend: object) -> AsyncIterator[Transport]:
    opened = make_transport(TransportOptions(connect_timeout_s=60))
    try:
        yield opened
    finally:
        await opened.aclose()


@pytest.fixture(scope="session")
def weights() -> Path:
    """A small real model, fetched once per machine."""
    cache = os.environ.get("WARDWRIGHT_TEST_CACHE") or Path.home() / ".cache" / "wardwright-tests"
    return pull("smollm2", Path(cache), lambda done, total: None)
