"""Lines keep one contract on every event loop, by the wall clock and over real sockets."""

import socket
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

import anyio
import anyio.lowlevel
import pytest

from wardwright.edge.line import READ_AHEAD, Line, address_of

BIG = b"x" * 8_000_000  # more than the kernel takes from somebody whose client does not read

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


class Pair:
    """A line, and the client at its other end."""

    def __init__(self, line: Line, client: socket.socket) -> None:
        self.line = line
        self.client = client

    async def send(self, data: bytes) -> None:
        await anyio.to_thread.run_sync(self.client.sendall, data)

    async def receive(self, count: int) -> bytes:
        """So many bytes, or what there is before the end."""
        received = b""
        while len(received) < count:
            piece = await anyio.to_thread.run_sync(self.client.recv, min(count - len(received), 1_000_000))
            if not piece:
                break
            received += piece
        return received

    def end(self, how: str) -> None:
        """Leave, politely or not, or only say no more."""
        match how:
            case "half":
                self.client.shutdown(socket.SHUT_WR)
            case "close":
                self.client.close()
            case _:
                self.reset()

    def reset(self) -> None:
        """Leave in the rudest way there is."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.close()


@asynccontextmanager
async def pair(backend: str) -> AsyncIterator[Pair]:
    open_line = import_module(f"wardwright.edge.on_{backend}").open_line
    with (
        anyio.fail_after(60),
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname(), timeout=60) as client,
    ):
        accepted, _ = listener.accept()
        accepted.setblocking(False)
        line = await open_line(accepted)
        yield Pair(line, client)
        line.abort()
        while await line.read():  # what had come before the end can be read after it
            pass


async def stall(at: Pair, tasks: anyio.abc.TaskGroup) -> None:
    """Write until there is no more room, in a task of the group."""
    tasks.start_soon(at.line.write, BIG)
    await anyio.sleep(0.05)


async def test_what_comes_is_read_in_order_and_in_bounded_pieces(anyio_backend_name: str) -> None:
    sent = bytes(range(256)) * 2000
    async with pair(anyio_backend_name) as at, anyio.create_task_group() as tasks:
        tasks.start_soon(at.send, sent)
        received = b""
        while len(received) < len(sent):
            piece = await at.line.read()
            assert 0 < len(piece) <= READ_AHEAD
            received += piece
    assert received == sent


async def test_a_client_that_sends_more_than_is_read_is_held_back(anyio_backend_name: str) -> None:
    async with pair(anyio_backend_name) as at, anyio.create_task_group() as tasks:
        sent = anyio.Event()

        async def send() -> None:
            await at.send(BIG)
            sent.set()

        tasks.start_soon(send)
        with anyio.move_on_after(0.2):
            await sent.wait()
        assert not sent.is_set()
        received = 0
        while received < len(BIG):
            received += len(await at.line.read())
        await sent.wait()


@pytest.mark.parametrize("end", ["half", "close", "reset"])
async def test_the_clients_end_is_the_end_of_what_is_read(anyio_backend_name: str, end: str) -> None:
    async with pair(anyio_backend_name) as at:
        await at.send(b"last")
        assert await at.line.read() == b"last"
        at.end(end)
        assert await at.line.read() == b""
        assert await at.line.read() == b""


async def test_a_cancelled_read_loses_nothing(anyio_backend_name: str) -> None:
    async with pair(anyio_backend_name) as at:
        with anyio.move_on_after(0.02):
            await at.line.read()
        await at.send(b"still here")
        assert await at.line.read() == b"still here"


async def test_a_write_with_room_is_no_cancel_point(anyio_backend_name: str) -> None:
    async with pair(anyio_backend_name) as at:
        written = False
        with anyio.CancelScope() as scope:
            scope.cancel()
            await at.line.write(b"whole")
            written = True
        assert written
        assert await at.receive(5) == b"whole"


async def test_a_write_without_room_waits_for_the_client(anyio_backend_name: str) -> None:
    async with pair(anyio_backend_name) as at, anyio.create_task_group() as tasks:
        written = anyio.Event()

        async def write() -> None:
            await at.line.write(BIG)
            written.set()

        tasks.start_soon(write)
        await anyio.sleep(0.05)
        assert not written.is_set()
        assert await at.receive(len(BIG)) == BIG
        await written.wait()


async def test_what_a_cancelled_write_was_given_leaves_before_what_comes_next(anyio_backend_name: str) -> None:
    async with pair(anyio_backend_name) as at:
        with anyio.move_on_after(0.05) as scope:
            await at.line.write(BIG)
        assert scope.cancelled_caught
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(at.line.write, b"and this")
            assert await at.receive(len(BIG) + 8) == BIG + b"and this"


async def test_several_may_wait_for_room_at_once(anyio_backend_name: str) -> None:
    async with pair(anyio_backend_name) as at, anyio.create_task_group() as tasks:
        for letter in b"abc":
            tasks.start_soon(at.line.write, bytes([letter]) * 4_000_000)
        received = await at.receive(12_000_000)
        in_turn = [received[place : place + 1] for place in (0, 4_000_000, 8_000_000)]
        assert sorted(in_turn) == [b"a", b"b", b"c"]
        assert received == b"".join(letter * 4_000_000 for letter in in_turn)


@pytest.mark.parametrize("end", ["abort", "reset"])
async def test_who_waits_for_room_hears_that_there_will_be_none(anyio_backend_name: str, end: str) -> None:
    async with pair(anyio_backend_name) as at:
        with pytest.RaisesGroup(ConnectionError):
            async with anyio.create_task_group() as tasks:
                await stall(at, tasks)
                at.line.abort() if end == "abort" else at.reset()


async def test_nothing_can_be_written_after_the_end(anyio_backend_name: str) -> None:
    async with pair(anyio_backend_name) as at:
        at.line.close()
        with pytest.raises(ConnectionError):
            await at.line.write(b"too late")
        at.line.close()
        at.line.abort()
        at.line.abort()


async def test_writing_to_a_client_that_has_gone_fails_before_long(anyio_backend_name: str) -> None:
    async with pair(anyio_backend_name) as at:
        at.reset()
        assert await at.line.read() == b""
        with pytest.raises(ConnectionError):
            await at.line.write(b"hello?")


async def test_closed_it_ends_after_what_was_written_has_left(anyio_backend_name: str) -> None:
    async with pair(anyio_backend_name) as at:
        await at.line.write(b"the end")
        at.line.close()
        assert await at.receive(100) == b"the end"
        assert await at.line.read() == b""


async def test_half_closed_it_still_hears_the_client(anyio_backend_name: str) -> None:
    async with pair(anyio_backend_name) as at:
        await at.line.write(b"no more")
        at.line.half_close()
        assert await at.receive(100) == b"no more"
        await at.send(b"but I")
        assert await at.line.read() == b"but I"


async def test_aborted_it_wakes_its_reader(anyio_backend_name: str) -> None:
    async with pair(anyio_backend_name) as at, anyio.create_task_group() as tasks:
        read: list[bytes] = []

        async def reader() -> None:
            read.append(await at.line.read())

        tasks.start_soon(reader)
        await anyio.sleep(0.02)
        at.line.abort()
    assert read == [b""]


async def test_it_knows_of_what_nobody_has_read(anyio_backend_name: str) -> None:
    async with pair(anyio_backend_name) as at:
        assert not at.line.has_unread()
        await at.send(b"x")
        with anyio.fail_after(60):
            while not at.line.has_unread():
                await anyio.lowlevel.checkpoint()
        await at.line.read()
        assert not at.line.has_unread()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody tells")
@pytest.mark.parametrize("end", ["half", "close", "reset"])
async def test_it_knows_of_the_clients_end_though_something_is_unread(anyio_backend_name: str, end: str) -> None:
    async with pair(anyio_backend_name) as at:
        await at.send(b"x" * 100)
        assert not at.line.has_hung_up()
        at.end(end)
        with anyio.fail_after(60):
            while not at.line.has_hung_up():
                await anyio.lowlevel.checkpoint()


async def test_it_knows_both_ends(anyio_backend_name: str) -> None:
    async with pair(anyio_backend_name) as at:
        assert at.line.client == at.client.getsockname()
        assert at.line.server == at.client.getpeername()


@pytest.mark.parametrize(
    ("name", "address"),
    [(("::1", 5, 0, 0), ("::1", 5)), (("127.0.0.1", 5), ("127.0.0.1", 5)), ("", None), (None, None)],
)
def test_an_address_is_host_and_port(name: object, address: object) -> None:
    assert address_of(name) == address
