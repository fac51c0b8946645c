import asyncio
from itertools import cycle

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wardwright.providers.http1.on_asyncio import MemoryTransport, on_asyncio, open_connection
from wardwright.providers.http1.connection import HIGH_WATER, READ_AT_MOST, Connection

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
ENDLESS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
READ = READ_AT_MOST


def chunk(size: int) -> bytes:
    return b"%x\r\n%s\r\n" % (size, b"x" * size)


def asked() -> tuple[Connection, MemoryTransport]:
    """A connection that waits for an answer."""
    connection, transport = open_connection()
    connection.send(b"request")
    return connection, transport


@on_asyncio
async def test_a_request_leaves_as_it_is() -> None:
    _, transport = asked()

    assert transport.written == b"request"


@on_asyncio
async def test_several_reads_are_taken_in_one_piece() -> None:
    connection, _ = asked()

    connection.take_in(ENDLESS + chunk(1))
    connection.take_in(chunk(2) + chunk(3))

    assert connection.take() == b"x" * 6
    assert connection.take() == b""


@on_asyncio
async def test_an_arrival_wakes_the_one_who_waits() -> None:
    connection, _ = asked()
    arrival = connection.arrival()

    connection.take_in(OK)

    await arrival
    assert connection.take() == b"hi"


@on_asyncio
async def test_a_reader_that_was_cancelled_is_not_woken() -> None:
    connection, _ = asked()
    connection.arrival().cancel()

    connection.take_in(OK)

    assert connection.take() == b"hi"


@on_asyncio
async def test_a_connection_may_serve_again_once_its_answer_was_taken() -> None:
    connection, transport = asked()
    before = connection.is_reusable
    connection.take_in(OK)
    untaken = connection.is_reusable
    connection.take()
    taken = connection.is_reusable
    transport.unsent = 1  # the peer answered without having taken the whole request
    unsent = connection.is_reusable

    assert (before, untaken, taken, unsent) == (False, False, True, False)


@on_asyncio
async def test_bytes_nobody_asked_for_close_the_connection() -> None:
    connection, transport = asked()
    connection.take_in(OK)
    assert connection.take() == b"hi"

    connection.take_in(b"\r\n")

    assert not connection.is_reusable
    assert transport.is_closing()


@on_asyncio
async def test_a_malformed_answer_closes_the_connection_and_keeps_what_came_before() -> None:
    connection, transport = asked()

    connection.take_in(ENDLESS + chunk(3) + b"zz\r\n")

    assert transport.is_closing()
    assert connection.take() == b"xxx"
    assert connection.answer.malformed is not None


@on_asyncio
async def test_what_comes_after_closing_is_ignored() -> None:
    connection, _ = asked()
    connection.take_in(ENDLESS)

    connection.abort()
    connection.take_in(chunk(1))

    assert connection.take() == b""


@on_asyncio
async def test_the_end_of_input_ends_the_connection_and_a_body_without_length() -> None:
    connection, transport = asked()
    connection.take_in(b"HTTP/1.1 200 OK\r\n\r\nbody")
    arrival = connection.arrival()

    connection.eof_received()
    await arrival

    assert connection.take() == b"body"
    assert connection.answer.is_complete
    assert connection.is_lost
    assert transport.is_closing()


@on_asyncio
async def test_a_reset_does_not_complete_a_body_without_length() -> None:
    connection, _ = asked()
    connection.take_in(b"HTTP/1.1 200 OK\r\n\r\nbody")

    connection.connection_lost(ConnectionResetError())

    assert connection.take() == b"body"
    assert not connection.answer.is_complete


@on_asyncio
async def test_a_loss_is_told_once_and_wakes_the_reader() -> None:
    connection, transport = asked()
    arrival = connection.arrival()

    connection.abort()
    connection.abort()
    await arrival

    assert connection.is_lost
    assert transport.is_closing()


@on_asyncio
async def test_a_request_on_a_lost_connection_is_not_sent() -> None:
    connection, transport = open_connection()
    connection.connection_lost(None)

    connection.send(b"request")

    assert transport.written == b""
    assert connection.is_lost


@given(
    sizes=st.lists(st.sampled_from([500, 5000, READ // 2, READ - 10]), min_size=1, max_size=20),
    takes=st.lists(st.booleans(), min_size=1, max_size=20),
)
@settings(max_examples=50, deadline=None)
def test_whatever_comes_in_whatever_pieces_no_more_is_held_than_is_stated(sizes: list[int], takes: list[bool]) -> None:
    """The peer sends for ever, in chunks of these sizes, while it is read from; the reader takes now and then."""

    @on_asyncio
    async def exchange() -> None:
        connection, transport = asked()
        connection.take_in(ENDLESS)
        arrived = taken = 0
        for size, is_time in zip(cycle(sizes), cycle([*takes, True]), strict=False):
            if not transport.is_paused:
                connection.take_in(chunk(size))
                arrived += size
            assert arrived - taken <= HIGH_WATER + READ
            if is_time:
                part = len(connection.take())
                assert part <= READ
                taken += part
            if arrived > 6 * READ:
                break
        while part := len(connection.take()):
            assert part <= READ
            taken += part
        assert taken == arrived
        assert not transport.is_paused

    exchange()


@on_asyncio
async def test_reading_goes_on_once_enough_was_taken() -> None:
    connection, transport = asked()
    connection.take_in(ENDLESS + chunk(HIGH_WATER - 1))
    paused = [transport.is_paused]
    connection.take_in(chunk(2))
    paused.append(transport.is_paused)
    connection.take()
    paused.append(transport.is_paused)

    assert paused == [False, True, False]
    assert connection.take() == b"xx"


@on_asyncio
async def test_a_lost_connection_is_left_alone_when_its_last_bytes_are_taken() -> None:
    connection, transport = asked()
    connection.take_in(ENDLESS + chunk(HIGH_WATER + 1))
    connection.connection_lost(None)

    assert len(connection.take()) == HIGH_WATER + 1
    assert transport.is_paused
    await asyncio.sleep(0)
