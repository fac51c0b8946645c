"""The daemon as a whole: what keeps it from starting, and how it ends. Its serving is tested from outside, in tests/acceptance."""

import gc
import socket
from collections.abc import Iterator
from pathlib import Path

import anyio
import msgspec
import pytest

import wardwright
from tests.wardwright.app.configs import CANNED, loaded
from wardwright.app.daemon import CannotStart, Daemon, run_daemon
from wardwright.app.storage import storage_of
from wardwright.config.load import Loaded
from wardwright.edge.server import bind

pytestmark = pytest.mark.usefixtures("own_logging")


@pytest.fixture(autouse=True)
def own_collector() -> Iterator[None]:
    """Undo what a daemon does to the process's garbage collector."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def bound_to(where: str, folder: Path) -> Loaded:
    """A configuration that passed its checks before the address became impossible."""
    found = loaded(folder)
    server = msgspec.structs.replace(found.settings.server, bind=where)
    return msgspec.structs.replace(found, settings=msgspec.structs.replace(found.settings, server=server))


class TestItCannotStart:
    def test_on_an_address_that_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(CannotStart, match="cannot listen on 'nonsense': expected host:port"):
            run_daemon(bound_to("nonsense", tmp_path))

    def test_on_a_port_that_is_taken(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            where = f"127.0.0.1:{taken.getsockname()[1]}"
            with pytest.raises(CannotStart, match=f"cannot listen on {where}: Address already in use"):
                run_daemon(bound_to(where, tmp_path))

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_while_another_daemon_writes_to_its_log(self, tmp_path: Path, backend: str) -> None:
        found = loaded(tmp_path, CANNED + f'[runtime]\nbackend = "{backend}"\n[server]\nbind = "127.0.0.1:0"\n')
        other = storage_of(found.settings).open()
        with pytest.raises(CannotStart) as caught:
            run_daemon(found)
        other.close()

        assert storage_of(found.settings).where in caught.value.message
        assert "StartFailed" not in caught.value.message, "the operator reads the cause, not the way to it"

    def test_and_then_leaves_the_port_to_others(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        found = loaded(tmp_path, CANNED + f'[server]\nbind = "127.0.0.1:{port}"\n')
        other = storage_of(found.settings).open()
        with pytest.raises(CannotStart):
            run_daemon(found)
        other.close()
        bind("127.0.0.1", port).close()


async def exchange(port: int, request_line: str) -> str:
    """One HTTP exchange: everything from the status line on."""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(f"{request_line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        async for chunk in stream:
            answer += chunk
    return answer.decode()


@pytest.mark.anyio
@pytest.mark.real_time
async def test_it_says_where_it_is_and_when_its_tree_gives_up_it_ends_with_an_error(
    anyio_backend_name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = loaded(tmp_path, CANNED + f'[runtime]\nbackend = "{anyio_backend_name}"\n')
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    codes: list[int] = []

    async def run() -> None:
        codes.append(await Daemon(found, listener, "text").run())

    with listener, anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            assert (await exchange(port, "GET /readyz")).startswith("HTTP/1.1 200")
            killed = await exchange(port, "POST /admin/runtime/actors/wardwright/kill")
            assert killed.startswith("HTTP/1.1 202")

    assert codes == [1]
    announced = capsys.readouterr().err
    assert f"Wardwright {wardwright.__version__} is ready at http://127.0.0.1:{port}" in announced
    assert f"receipts  {storage_of(found.settings).where}" in announced
    assert "models    test-model" in announced
