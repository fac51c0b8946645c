import asyncio

from tests.wardwright.providers.http1.on_asyncio import ORIGIN, on_asyncio, open_connection
from wardwright.providers.http1.connection import Connection
from wardwright.providers.http1.pool import ConnectionPool
from wardwright.providers.http1.request import Origin
from wardwright.providers.transport import TransportOptions

OPTIONS = TransportOptions(keepalive_s=15)


def served() -> Connection:
    """A connection whose first answer was read to its end."""
    connection, _ = open_connection()
    connection.send(b"request")
    connection.take_in(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    return connection


@on_asyncio
async def test_a_kept_connection_is_taken_once() -> None:
    pool, connection = ConnectionPool(OPTIONS), served()

    pool.release(connection)

    assert pool.take(ORIGIN) is connection
    assert pool.take(ORIGIN) is None


@on_asyncio
async def test_a_connection_serves_its_own_origin_only() -> None:
    pool = ConnectionPool(OPTIONS)

    pool.release(served())

    assert pool.take(Origin(ORIGIN.host, ORIGIN.port, is_secure=True)) is None
    assert pool.take(Origin(ORIGIN.host, 81, is_secure=False)) is None


@on_asyncio
async def test_the_connection_used_last_is_taken_first() -> None:
    pool, first, second = ConnectionPool(OPTIONS), served(), served()

    pool.release(first)
    pool.release(second)

    assert pool.take(ORIGIN) is second


@on_asyncio
async def test_a_connection_in_the_middle_of_an_answer_is_closed() -> None:
    pool, connection = ConnectionPool(OPTIONS), served()
    connection.send(b"request")

    pool.release(connection)

    assert not connection.is_open
    assert pool.take(ORIGIN) is None


@on_asyncio
async def test_a_kept_connection_that_the_peer_closed_is_never_taken() -> None:
    pool, first, second = ConnectionPool(OPTIONS), served(), served()
    pool.release(first)
    pool.release(second)

    second.eof_received()

    assert pool.take(ORIGIN) is first
    assert pool.take(ORIGIN) is None


@on_asyncio
async def test_a_kept_connection_that_sends_something_is_never_taken() -> None:
    pool, connection = ConnectionPool(OPTIONS), served()
    pool.release(connection)

    connection.take_in(b"HTTP/1.1 408 Request Timeout\r\n\r\n")

    assert pool.take(ORIGIN) is None


@on_asyncio
async def test_a_connection_is_kept_for_its_time_and_no_longer() -> None:
    pool, connection = ConnectionPool(OPTIONS), served()
    pool.release(connection)

    await asyncio.sleep(14.9)
    open_before = connection.is_open
    await asyncio.sleep(0.2)

    assert (open_before, connection.is_open) == (True, False)
    assert pool.take(ORIGIN) is None


@on_asyncio
async def test_each_connection_is_kept_for_its_own_time() -> None:
    pool, early, late = ConnectionPool(OPTIONS), served(), served()
    pool.release(early)
    await asyncio.sleep(10)
    pool.release(late)

    await asyncio.sleep(6)
    assert (early.is_open, late.is_open) == (False, True)

    await asyncio.sleep(10)
    assert not late.is_open


@on_asyncio
async def test_a_connection_in_use_is_not_idle() -> None:
    pool, connection = ConnectionPool(OPTIONS), served()
    pool.release(connection)
    await asyncio.sleep(10)
    assert pool.take(ORIGIN) is connection

    await asyncio.sleep(20)
    assert connection.is_open

    pool.release(connection)
    await asyncio.sleep(10)
    assert pool.take(ORIGIN) is connection


@on_asyncio
async def test_the_sweep_forgets_the_dead_and_spares_the_young_behind_them() -> None:
    pool, old, dead, young = ConnectionPool(OPTIONS), served(), served(), served()
    pool.release(old)
    await asyncio.sleep(5)
    pool.release(dead)
    pool.release(young)
    dead.eof_received()

    await asyncio.sleep(11)

    assert (old.is_open, young.is_open) == (False, True)
    assert pool.take(ORIGIN) is young
    assert pool.take(ORIGIN) is None


@on_asyncio
async def test_a_closed_pool_keeps_nothing() -> None:
    pool, connection = ConnectionPool(OPTIONS), served()
    await pool.aclose()

    pool.release(connection)

    assert not connection.is_open
