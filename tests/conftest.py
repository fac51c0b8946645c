"""The event loops on which every asynchronous test of the project runs.

Mark a module of async tests with `pytestmark = pytest.mark.anyio`. Each test then runs twice: on asyncio and on trio,
both in virtual time. `await anyio.sleep(3600)` costs nothing there, and a timeout fires only when what it guards is
stuck. Do not use threads, sockets or processes in such a test: virtual time cannot see them.

A test that needs those is marked `real_time` as well, one by one or with
`pytestmark = [pytest.mark.anyio, pytest.mark.real_time]`. It runs three times, by the wall clock: on asyncio, on
uvloop and on trio.

Async fixtures run on the loop of the test that asks for them; they must have function scope. pytest-trio is installed
but has no part in this: without `trio_mode` it touches only tests marked `trio`, and there are none.
"""

import os
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from supervisors.testing import virtual_asyncio, virtual_trio

if TYPE_CHECKING:
    from tests.support.postgres import PostgresServer

VIRTUAL_TIME = ("asyncio", "trio")
REAL_TIME = ("asyncio-real", "uvloop-real", "trio-real")


# How long an example takes says nothing of what is tested, only of how busy the machine is.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # What a shell starts in the background is deaf to interrupts, and so is every process that it starts in turn.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line(
        "markers", "real_time: runs by the wall clock, because it uses threads, sockets or processes"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "anyio_backend" in metafunc.fixturenames:
        real = metafunc.definition.get_closest_marker("real_time") is not None
        metafunc.parametrize("anyio_backend", REAL_TIME if real else VIRTUAL_TIME, indirect=True)


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    match request.param:
        case "asyncio":
            return virtual_asyncio()
        case "trio":
            return virtual_trio()
        case "asyncio-real":
            return "asyncio", {}
        case "uvloop-real":
            return "asyncio", {"use_uvloop": True}
        case _:
            return "trio", {}


@pytest.fixture(scope="session", autouse=True)
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where Python is told to write no bytecode, let the programs that tests start by the hundred write it where it goes with the tests."""
    with pytest.MonkeyPatch.context() as environment:
        if os.environ.get("PYTHONDONTWRITEBYTECODE"):
            environment.delenv("PYTHONDONTWRITEBYTECODE")
            environment.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("bytecode")))
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator["PostgresServer"]:
    """A PostgreSQL server, for all tests that ask for it."""
    from tests.support.postgres import postgres_server

    with postgres_server() as server:
        yield server
