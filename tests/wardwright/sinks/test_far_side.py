"""HTTP to a far side: what it takes, what it will never take, and everything else for which there is another time."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.receiver import Asked, Reply, receiving
from tests.support.tls_front import TlsFront
from wardwright.ports.sink import SinkUnavailable
from wardwright.sinks.far_side import FarSide
from wardwright.sinks.tls import TlsFiles

SECRET = "Bearer hush"


@contextmanager
def far_side_of(url: str, timeout_s: float = 5) -> Iterator[FarSide]:
    made = FarSide(url, headers_env={"authorization": "TOKEN"}, environ={"TOKEN": SECRET}, timeout_s=timeout_s)
    made.open()
    yield made
    made.close()


@contextmanager
def answering(answer: Callable[[Asked], Reply]) -> Iterator[FarSide]:
    with receiving(answer) as receiver, far_side_of(f"{receiver.url}/below/") as made:
        yield made


def test_a_body_is_sent_with_the_headers_that_variables_hold() -> None:
    asked: list[Asked] = []

    def take(one: Asked) -> Reply:
        asked.append(one)
        return Reply(201, b"taken")

    with answering(take) as far_side:
        assert far_side.post("/a", b"body", {"content-type": "text/plain"}) == (201, b"taken")
        assert far_side.get("/b").is_success
    posted, got = asked
    assert (posted.method, posted.path, posted.body) == ("POST", "/below/a", b"body")
    assert (posted.headers["authorization"], posted.headers["content-type"]) == (SECRET, "text/plain")
    assert (got.method, got.path) == ("GET", "/below/b")


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_is_refused_for_good_is_for_the_sink_to_judge(status: int) -> None:
    with answering(lambda _: Reply(status, b"no")) as far_side:
        assert far_side.post("/", b"", {}) == (status, b"no")


@pytest.mark.parametrize("status", [301, 401, 403, 404, 429, 500, 503])
def test_what_may_pass_is_tried_again_when_the_far_side_says(status: int) -> None:
    with (
        answering(lambda _: Reply(status, headers={"retry-after": "7", "location": "/"})) as far_side,
        pytest.raises(SinkUnavailable, match=f"answers HTTP {status}") as failure,
    ):
        far_side.post("/", b"", {})
    assert failure.value.retry_after_s == 7


def test_an_answer_without_end_is_given_up() -> None:
    with (
        answering(lambda _: Reply(body=b"x" * (17 * 1024 * 1024))) as far_side,
        pytest.raises(SinkUnavailable, match="does not come to the end of an answer"),
    ):
        far_side.get("/")


def test_silence_is_given_up() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        far_side_of(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.05) as far_side,
        pytest.raises(SinkUnavailable, match=r"did not answer within 0\.05 s"),
    ):
        far_side.get("/")


def test_many_requests_are_given_up_together() -> None:
    with answering(lambda _: Reply()) as far_side:
        far_side.allow(0)
        with pytest.raises(SinkUnavailable, match="takes too long over a batch"):
            far_side.get("/")
        far_side.allow(60)
        assert far_side.get("/").is_success


def test_a_connection_that_was_cut_meanwhile_is_a_failure_and_not_a_bug() -> None:
    cut = threading.Event()

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
        connection.close()
        cut.set()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=serve, args=(listening,))
        server.start()
        with (
            far_side_of(f"http://127.0.0.1:{listening.getsockname()[1]}") as far_side,
            pytest.raises(SinkUnavailable, match="did not answer: RemoteProtocolError"),
        ):
            far_side.get("/")
        server.join()
    assert cut.is_set()


def test_a_variable_that_is_not_set_is_named_and_no_other() -> None:
    made = FarSide("http://127.0.0.1:9", headers_env={"a": "SET", "b": "UNSET"}, environ={"SET": SECRET}, timeout_s=1)
    with pytest.raises(SinkUnavailable, match="UNSET is not set") as failure:
        made.open()
    assert SECRET not in str(failure.value)


@pytest.mark.parametrize("value", ["sch\u00e4tze", "two\nlines", "\u20ac"])
def test_a_variable_that_can_be_no_header_is_named_and_not_shown(value: str) -> None:
    made = FarSide("http://127.0.0.1:9", headers_env={"a": "ODD"}, environ={"ODD": value}, timeout_s=1)
    with pytest.raises(SinkUnavailable, match="the variable ODD has characters that no header may have") as failure:
        made.open()
    assert value not in str(failure.value)


def test_what_was_not_opened_or_was_closed_says_so() -> None:
    made = FarSide("http://127.0.0.1:9", headers_env={}, environ={}, timeout_s=1)
    for _ in range(2):
        with pytest.raises(SinkUnavailable, match="is not open"):
            made.get("/")
        made.open()
        made.close()


def test_where_it_is_tells_neither_user_info_nor_query() -> None:
    made = FarSide("http://me:hush@host:1/path?key=hush", headers_env={}, environ={}, timeout_s=1)
    assert made.where == "http://host:1/path"


def test_who_speaks_no_tls_is_told() -> None:
    with receiving(lambda _: Reply()) as receiver:
        far_side = FarSide(receiver.url.replace("http:", "https:"), headers_env={}, environ={}, timeout_s=5)
        far_side.open()
        with pytest.raises(SinkUnavailable, match="did not answer: it does not speak TLS there"):
            far_side.get("/")
        far_side.close()


@contextmanager
def over_tls(context: ssl.SSLContext, tls: TlsFiles) -> Iterator[FarSide]:
    with receiving(lambda _: Reply()) as receiver:
        front = TlsFront(context, int(receiver.url.rpartition(":")[2]))
        far_side = FarSide(
            f"https://127.0.0.1:{front.port}", headers_env={}, environ={"WORD": "hush"}, timeout_s=20, tls=tls
        )
        try:
            far_side.open()
            yield far_side
        finally:
            far_side.close()
            front.end()


def test_an_authority_of_its_own_is_trusted_and_a_certificate_shown(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("us", password=b"hush")
    ours = TlsFiles(str(authority.file), str(certificate), str(key), "WORD")
    with over_tls(authority.server_context(asks=True), ours) as far_side:
        assert far_side.get("/").is_success


@pytest.mark.parametrize(
    ("served", "told"),
    [
        ({"expired": True}, "its certificate has expired"),
        ({"name": "elsewhere.test"}, "its certificate is for another name"),
        ({"asks": True}, "it asks for a certificate that it knows, which is for certificate_file to give"),
    ],
)
def test_what_stands_in_the_way_of_tls_is_told(tmp_path: Path, served: dict[str, Any], told: str) -> None:
    authority = Authority(tmp_path)
    with (
        over_tls(authority.server_context(**served), TlsFiles(str(authority.file))) as far_side,
        pytest.raises(SinkUnavailable, match=told),
    ):
        far_side.get("/")


def test_who_is_of_no_authority_that_is_known_is_told_of_by_the_key_that_would_name_it(tmp_path: Path) -> None:
    with (
        over_tls(Authority(tmp_path).server_context(), TlsFiles()) as far_side,
        pytest.raises(SinkUnavailable, match="which is for ca_file to say"),
    ):
        far_side.get("/")
