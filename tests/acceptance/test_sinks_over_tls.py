"""Sinks of a daemon over TLS: with an authority of their own, certificates, keys and passwords, at a server that is started again in the midst of it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import StartDaemon, gateway_config
from tests.acceptance.test_sinks import ask, facts
from tests.support.certificates import Authority
from tests.support.kafka_mock import MockCluster, key_of
from tests.support.nats_server import NatsServer
from tests.support.nats_users import Realm
from tests.support.receiver import Asked, Receiver, Reply
from tests.support.tls_front import TlsFront
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

GOOD, BAD = ("fleet", "lake", "hook"), ("fleet-foreign", "fleet-nobody", "lake-foreign", "hook-foreign")
SINKS = """
[[sinks]]
id = "{id}"
kind = "{kind}"
start_at = "start"
ca_file = "{ca}"
certificate_file = "us.pem"
key_file = "us-key.pem"
key_password_env = "KEY_PASSWORD"
retry = {{ base_ms = 10, max_ms = 100 }}
{more}
"""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "daemon")  # beside the configuration, which names files from there


@pytest.fixture
def nats(tmp_path: Path, authority: Authority) -> Iterator[NatsServer]:
    (tmp_path / "nats").mkdir()
    realm, pair = Realm(), authority.issue("127.0.0.1")
    (tmp_path / "daemon" / "us.creds").write_text(realm.credentials())
    tls = f'cert_file: "{pair.certificate}"\n key_file: "{pair.key}"\n ca_file: "{authority.file}"\n verify: true'
    made = NatsServer(tmp_path / "nats", settings=f"{realm.settings}tls {{\n {tls}\n}}\n")
    yield made
    made.kill()


@pytest.fixture
def lake(authority: Authority) -> Iterator[tuple[MockCluster, str]]:
    cluster = MockCluster()
    context = authority.server_context(asks=True)
    front = TlsFront(context, int(cluster.address.rpartition(":")[2]), is_kafka=True)
    yield cluster, f"127.0.0.1:{front.port}"
    front.end()
    cluster.end()


@pytest.fixture
def hook(authority: Authority) -> Iterator[tuple[list[Asked], str]]:
    asked: list[Asked] = []

    def take(one: Asked) -> Reply:
        asked.append(one)
        return Reply()

    receiver = Receiver(take)
    front = TlsFront(authority.server_context(asks=True), int(receiver.url.rpartition(":")[2]))
    yield asked, f"https://127.0.0.1:{front.port}/hook"
    front.end()
    receiver.stop()


def test_everything_arrives_over_tls_and_who_is_not_known_gets_nothing(
    upstream: Upstream,
    start_daemon: StartDaemon,
    authority: Authority,
    nats: NatsServer,
    lake: tuple[MockCluster, str],
    hook: tuple[list[Asked], str],
    tmp_path: Path,
) -> None:
    authority.issue("us", password=b"hush-hush")
    foreign = Authority(tmp_path / "foreign").file
    (cluster, broker), (asked, url) = lake, hook
    to_nats = f'servers = ["{nats.tls_url}"]'
    kinds = {
        "fleet": ("nats", f'{to_nats}\ncredentials_file = "us.creds"'),
        "lake": ("kafka", f'brokers = ["{broker}"]\ntls = true'),
        "hook": ("webhook", f'url = "{url}"'),
        "fleet-nobody": ("nats", to_nats),
    }
    tables = [
        SINKS.format(id=id, kind=kind, more=more, ca=foreign if id.endswith("foreign") else "ca.pem")
        for id in GOOD + BAD
        for kind, more in [kinds.get(id) or kinds[id.partition("-")[0]]]
    ]
    daemon = start_daemon(
        gateway_config(upstream, "ok", backend="trio", extra="".join(tables)),
        environment={"KEY_PASSWORD": "hush-hush"},
    )
    ask(daemon, 3)
    wait_until(lambda: facts(daemon, "fleet")["delivered"] == 3, "nothing is delivered")
    nats.kill()
    ask(daemon, 2)
    wait_until(lambda: facts(daemon, "fleet")["state"] == "failing", "nobody notices that the server is gone")
    nats.start()
    wait_until(lambda: all(facts(daemon, id)["delivered"] == 5 for id in GOOD), "not all is delivered")
    hints = {id: "who we are" if id == "fleet-nobody" else "ca_file" for id in BAD}
    wait_until(
        lambda: all(hint in (facts(daemon, id)["last_error"] or "") for id, hint in hints.items()),
        "those that do not work do not say why",
    )

    ids = {summary["receipt_id"] for summary in daemon.receipts(limit=500)}
    assert {key_of(message) for message in cluster.messages("wardwright.receipts")} == ids
    assert {item["key"] for one in asked for item in json.loads(one.body)["data"]} == ids
    assert {facts(daemon, id)["delivered"] for id in BAD} == {0}
    seed = (tmp_path / "daemon" / "us.creds").read_text().splitlines()[-2]
    seen = "".join(daemon.raw_log) + str(daemon.get("/admin/sinks"))
    assert "hush" not in seen
    assert seed not in seen
    assert "eof_received" not in seen
