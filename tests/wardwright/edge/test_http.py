"""The small pieces every endpoint shares: bounded bodies, headers, queries, whole answers."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wardwright.edge.asgi import Client, http_scope
from wardwright.domain.errors import RequestError, RequestTooLarge, UnsupportedMediaType, WardwrightError
from wardwright.edge.http import (
    ClientGone,
    header,
    headers_of,
    query_parameters,
    read_json_body,
    send_body,
    send_json,
)

LIMIT = 10


async def read(*chunks: bytes, **headers: str) -> bytes:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await read_json_body(http_scope("POST", headers=sent), Client(*chunks).receive, limit=LIMIT)


@pytest.mark.anyio
class TestBody:
    @pytest.mark.parametrize("chunks", [[b"0123456789"], [b"01234", b"56789"], [b"", b"0123456789", b""]])
    async def test_it_is_read_whole_up_to_the_limit(self, chunks: list[bytes]) -> None:
        assert await read(*chunks) == b"0123456789"

    async def test_an_empty_one_is_read_too(self) -> None:
        assert await read(b"") == b""

    @pytest.mark.parametrize("chunks", [[b"0123456789x"], [b"01234", b"56789", b"x"], [b"x"] * 11])
    async def test_one_that_is_longer_is_refused(self, chunks: list[bytes]) -> None:
        with pytest.raises(RequestTooLarge, match="larger than the 10 bytes"):
            await read(*chunks)

    async def test_one_that_grows_without_end_is_refused_at_the_limit(self) -> None:
        client = Client(*[b"xxx"] * 1000)
        with pytest.raises(RequestTooLarge):
            await read_json_body(http_scope("POST"), client.receive, limit=LIMIT)
        assert (await client.receive())["body"] == b"xxx", "the rest is not read"

    @pytest.mark.parametrize("length", ["11", "99999999999999999999", "9" * 5000])
    async def test_one_that_announces_too_much_is_refused_unread(self, length: str) -> None:
        client = Client(b"{}")
        with pytest.raises(RequestTooLarge):
            await read_json_body(http_scope("POST", headers={"content-length": length}), client.receive, limit=LIMIT)
        assert (await client.receive())["body"] == b"{}"

    @pytest.mark.parametrize("length", ["10", "0010", "", "two", "-1", "\u00b2", "1e9"])
    async def test_other_announcements_are_left_to_the_server(self, length: str) -> None:
        assert await read(b"{}", content_length=length) == b"{}"

    @pytest.mark.parametrize(
        "content_type",
        [
            "application/json",
            "application/json; charset=utf-8",
            "APPLICATION/JSON ;charset=utf-8",
            " application/json ",
        ],
    )
    async def test_json_by_any_spelling_is_accepted(self, content_type: str) -> None:
        assert await read(b"{}", content_type=content_type) == b"{}"

    async def test_one_that_is_compressed_is_refused(self) -> None:
        with pytest.raises(UnsupportedMediaType, match="not in the encoding gzip"):
            await read(b"\x1f\x8b", content_encoding="GZip")
        assert await read(b"{}", content_encoding="identity") == b"{}"

    async def test_so_is_a_body_that_does_not_say_what_it_is(self) -> None:
        assert await read(b"{}") == b"{}"
        assert await read(b"{}", content_type="") == b"{}"

    @pytest.mark.parametrize(
        "content_type",
        ["text/plain", "application/x-www-form-urlencoded", "application/json2", "multipart/form-data; x"],
    )
    async def test_anything_else_is_refused(self, content_type: str) -> None:
        with pytest.raises(UnsupportedMediaType, match="must be application/json"):
            await read(b"{}", content_type=content_type)

    async def test_a_client_that_leaves_before_its_body_is_there_is_gone(self) -> None:
        client = Client()
        client.leave()
        with pytest.raises(ClientGone):
            await read_json_body(http_scope("POST"), client.receive, limit=LIMIT)


@pytest.mark.anyio
class TestAnswers:
    async def test_a_whole_answer_has_its_length_and_type(self) -> None:
        client = Client()
        await send_body(client.send, 201, b"fine", content_type="text/plain", headers=[("x-name", "gr\u00fcn")])
        assert (client.status, client.body, client.is_complete) == (201, b"fine", True)
        assert client.headers == {"content-type": "text/plain", "content-length": "4", "x-name": "gr\u00fcn"}

    async def test_json_shows_what_it_cannot_encode_as_text(self) -> None:
        client = Client()
        await send_json(client.send, {"where": Path("/data"), "what": [1, None]})
        assert client.json == {"where": "/data", "what": [1, None]}
        assert client.headers["content-type"] == "application/json"


class TestReading:
    @pytest.mark.parametrize(
        ("sent", "read"),
        [("Jürgen".encode(), "Jürgen"), ("Jürgen".encode("latin-1"), "Jürgen"), (b"plain", "plain"), (b"", "")],
    )
    def test_a_name_is_the_same_in_a_header_as_in_a_body(self, sent: bytes, read: str) -> None:
        scope = {**http_scope(), "headers": [(b"x-wardwright-user-id", sent)]}
        assert headers_of(scope) == {"x-wardwright-user-id": read}

    def test_the_first_of_repeated_headers_counts(self) -> None:
        scope = http_scope()
        scope["headers"] = [(b"x-name", b"first"), (b"x-name", b"second"), (b"x-other", b"gr\xfcn")]
        assert header(scope, b"x-name") == "first"
        assert header(scope, b"x-none") is None
        assert headers_of(scope) == {"x-name": "first", "x-other": "gr\u00fcn"}

    @pytest.mark.parametrize(
        ("query", "read"),
        [
            ("", {}),
            ("a=1&b=2", {"a": "1", "b": "2"}),
            ("a=1&a=2", {"a": "2"}),
            ("a=&b", {"a": "", "b": ""}),
            ("a=gr%C3%BCn+tea%26", {"a": "gr\u00fcn tea&"}),
        ],
    )
    def test_a_query_is_read_by_name(self, query: str, read: dict[str, str]) -> None:
        assert query_parameters(http_scope(query=query)) == read

    @pytest.mark.parametrize("query", ["a=%FF", "%FF=1", "a=gr\u00fcn"])
    def test_a_query_that_is_no_text_is_refused(self, query: str) -> None:
        with pytest.raises(RequestError, match="query string is not valid UTF-8"):
            query_parameters(http_scope(query=query))

    @given(query=st.binary(max_size=60))
    def test_no_query_breaks_anything(self, query: bytes) -> None:
        scope = http_scope()
        scope["query_string"] = query
        attempt: Callable[[], object] = lambda: query_parameters(scope)
        try:
            attempt()
        except WardwrightError:
            pass
