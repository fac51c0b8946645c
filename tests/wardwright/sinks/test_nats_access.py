"""How a real NATS server lets the sink in, or does not: words, keys, credentials and certificates, and what a failure says is to be changed."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.certificates import Authority, Pair
from tests.support.nats_server import NatsServer
from tests.support.nats_users import Realm, new_key
from wardwright.ports.sink import SinkUnavailable
from wardwright.sinks.nats import NatsSink, Stream, takes
from wardwright.sinks.nats_access import Access
from wardwright.sinks.tls import TlsFiles
from wardwright.testing.sink_bench import sample_records

STREAM = Stream("RECEIPTS", "wardwright.events", create=True, duplicates_s=600)
StartServer = Callable[..., NatsServer]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("foreign"))


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """Start servers, by their settings; one with the same settings is the same."""
    servers: dict[tuple[str, bool], NatsServer] = {}

    def starting(settings: str, *, jetstream: bool = True) -> NatsServer:
        known = (settings, jetstream)
        if known not in servers:
            servers[known] = NatsServer(tmp_path_factory.mktemp("nats"), settings=settings, jetstream=jetstream)
        return servers[known]

    yield starting
    for server in servers.values():
        server.kill()


def deliver(
    url: str,
    access: Access = Access(),  # noqa: B008 - a tuple of nothing
    environ: Mapping[str, str] = {},
    *,
    stream: Stream = STREAM,
) -> None:
    # Who waits in vain waits for longer than the test may take.
    sink = NatsSink([url], stream, unit="events", access=access, environ=environ, timeout_s=1000)
    try:
        sink.open()
        sink.deliver(sample_records("events", 1))
    finally:
        sink.close()


def failure(url: str, access: Access = Access(), environ: Mapping[str, str] = {}) -> str:  # noqa: B008
    with pytest.raises(SinkUnavailable) as caught:
        deliver(url, access, environ)
    assert "hush" not in str(caught.value)
    return str(caught.value)


def secured(pair: Pair, *more: str) -> str:
    lines = (f'cert_file: "{pair.certificate}"', f'key_file: "{pair.key}"', *more)
    return "tls {\n" + "\n".join(lines) + "\n}\n"


def trusting(authority: Authority, pair: Pair | None = None) -> TlsFiles:
    return TlsFiles(str(authority.file), *(str(file) for file in pair or ()))


# words

NAMED = Access(user_env="NAME", password_env="WORD")


def test_a_name_and_a_password_let_us_in_and_others_do_not(start: StartServer) -> None:
    server = start('authorization {\n user: me\n password: "hush-hush"\n}\n')
    deliver(server.url, NAMED, {"NAME": "me", "WORD": "hush-hush"})
    told = failure(server.url, NAMED, {"NAME": "me", "WORD": "hush"})
    assert "does not accept what it is shown by the variable NAME and the variable WORD" in told


def test_who_shows_nothing_is_told_what_would_say_who_we_are(start: StartServer) -> None:
    server = start('authorization {\n user: me\n password: "hush-hush"\n}\n')
    assert "asks who we are, which token_env, user_env with password_env, nkey_env or" in failure(server.url)


# keys and credentials


def test_a_key_lets_us_in_and_another_does_not(start: StartServer, tmp_path: Path) -> None:
    key, other = new_key("user"), new_key("user")
    server = start(f"authorization {{\n users: [\n  {{ nkey: {key.public} }}\n ]\n}}\n")
    deliver(server.url, Access(nkey_env="SEED"), {"SEED": key.seed})
    (tmp_path / "seed").write_text(f"{key.seed}\n")
    deliver(server.url, Access(credentials_file=str(tmp_path / "seed")))
    told = failure(server.url, Access(nkey_env="SEED"), {"SEED": other.seed})
    assert "by the variable SEED" in told
    assert other.seed not in told


def test_credentials_as_nsc_makes_them_let_us_in_and_with_another_key_do_not(
    start: StartServer, tmp_path: Path
) -> None:
    realm, file = Realm(), tmp_path / "user.creds"
    server = start(realm.settings)
    file.write_text(realm.credentials())
    deliver(server.url, Access(credentials_file=str(file)))
    file.write_text(realm.credentials(seed=new_key("user").seed))
    assert f"by the file {file}" in failure(server.url, Access(credentials_file=str(file)))


@pytest.mark.parametrize(("text", "told"), [(None, "cannot be read: No such file"), ("hush", "is no seed of an nkey")])
def test_credentials_that_are_none_are_named(tmp_path: Path, text: str | None, told: str) -> None:
    file = tmp_path / "user.creds"
    if text is not None:
        file.write_text(text)
    assert told in failure("nats://127.0.0.1:1", Access(credentials_file=str(file)))


# certificates


def test_a_server_is_known_by_an_authority_of_its_own(
    start: StartServer, authority: Authority, foreign: Authority
) -> None:
    url = start(secured(authority.issue("127.0.0.1"))).tls_url
    deliver(url, Access(tls=trusting(authority)))
    assert "which is for ca_file to say" in failure(url)
    assert "which is for ca_file to say" in failure(url, Access(tls=trusting(foreign)))
    told = failure(url.replace("127.0.0.1", "localhost"), Access(tls=trusting(authority)))
    assert "its certificate is for another name" in told


def test_a_certificate_that_has_expired_is_told(start: StartServer, foreign: Authority) -> None:
    url = start(secured(foreign.issue("127.0.0.1", expired=True))).tls_url
    assert "its certificate has expired" in failure(url, Access(tls=trusting(foreign)))


def test_a_server_that_asks_for_a_certificate_is_shown_ours(
    start: StartServer, authority: Authority, foreign: Authority
) -> None:
    url = start(secured(authority.issue("127.0.0.1"), f'ca_file: "{authority.file}"', "verify: true")).tls_url
    deliver(url, Access(tls=trusting(authority, authority.issue("us"))))
    for shown in (None, foreign.issue("us")):
        told = failure(url, Access(tls=trusting(authority, shown)))
        assert "it asks for a certificate that it knows, which is for certificate_file to give" in told


def test_a_server_that_waits_for_tls_first_is_not_waited_for(start: StartServer, authority: Authority) -> None:
    url = start(secured(authority.issue("127.0.0.1"), "handshake_first: true", "timeout: 0.2")).tls_url
    deliver(url, Access(tls=trusting(authority), tls_first=True))
    assert "which is for tls_first to say" in failure(url, Access(tls=trusting(authority)))


def test_a_server_that_leaves_tls_to_us_has_it(start: StartServer, authority: Authority, foreign: Authority) -> None:
    url = start(secured(authority.issue("127.0.0.1")) + "allow_non_tls: true\n").tls_url
    deliver(url, Access(tls=trusting(authority)))
    assert "ca_file" in failure(url, Access(tls=trusting(foreign)))


def test_nothing_is_shown_to_a_server_without_tls_where_there_should_be_some() -> None:
    heard = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def pretend() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b'INFO {"auth_required":true,"max_payload":1048576}\r\n')
                heard.extend(connection.recv(4096))

        thread = threading.Thread(target=pretend)
        thread.start()
        told = failure(
            f"tls://127.0.0.1:{listener.getsockname()[1]}", Access(token_env="TOKEN"), {"TOKEN": "hush-hush"}
        )
        thread.join(60)
    assert "it offers no TLS, which tls:// asks for" in told
    assert not heard


# streams


def test_a_server_without_jetstream_is_told(start: StartServer) -> None:
    assert "it has no JetStream for us" in failure(start("", jetstream=False).url)


def test_what_we_may_not_publish_is_told_and_not_only_waited_for(start: StartServer) -> None:
    server = start(
        'authorization {\n users: [\n  { user: me, password: hush, permissions: { publish: ["x"] } }\n ]\n}\n'
    )
    sink = NatsSink(
        [server.url], STREAM, unit="events", access=NAMED, environ={"NAME": "me", "WORD": "hush"}, timeout_s=1
    )
    with pytest.raises(SinkUnavailable, match="permissions violation for publish to"):
        sink.open()
    sink.close()


def test_what_the_how_to_says_that_a_user_must_be_allowed_is_enough(start: StartServer) -> None:
    api = "$JS.API.STREAM"
    publish = f'["wardwright.events", "{api}.INFO.RECEIPTS", "{api}.CREATE.RECEIPTS"]'
    permissions = f'{{ publish: {publish}, subscribe: ["_INBOX.>"] }}'
    server = start(
        f"authorization {{\n users: [\n  {{ user: me, password: hush, permissions: {permissions} }}\n ]\n}}\n"
    )
    deliver(server.url, NAMED, {"NAME": "me", "WORD": "hush"})


def test_a_stream_with_other_subjects_is_told_with_them(start: StartServer) -> None:
    url = start("").url
    deliver(url)
    with pytest.raises(SinkUnavailable, match=r"takes wardwright\.events, and subject is elsewhere"):
        deliver(url, stream=STREAM._replace(subject="elsewhere"))
    with pytest.raises(SinkUnavailable, match="another stream takes the subject"):
        deliver(url, stream=STREAM._replace(name="OTHER"))


@pytest.mark.parametrize(
    ("pattern", "subject", "does"),
    [
        ("a.b", "a.b", True),
        ("a.*", "a.b", True),
        ("a.>", "a.b.c", True),
        (">", "a", True),
        ("*.b", "a.b", True),
        ("a.>", "a", False),
        ("a.*", "a.b.c", False),
        ("a.b", "a.c", False),
        ("a.b.c", "a.b", False),
    ],
)
def test_a_subject_of_a_stream_may_stand_for_many(pattern: str, subject: str, does: bool) -> None:
    assert takes(pattern, subject) is does
