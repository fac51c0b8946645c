"""PostgreSQL storage where the contract does not look: servers that go away, rights that are missing, strangers, texts it cannot keep."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from typing import Any

import psycopg
import pytest

from tests.support.postgres import PostgresServer
from tests.support.waiting import wait_until
from tests.wardwright.storage.faulty_files import batches, flat
from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.control import ControlEntry, KeyRevoked
from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import ReceiptReader, ReceiptStore
from wardwright.receipts.query import ReceiptFilter
from wardwright.storage import postgres_database
from wardwright.storage.postgres import PostgresStorage
from wardwright.storage.postgres_database import Database
from wardwright.testing.sample_receipts import erasures, opened, plain, receipt_id, sealed, with_content

SCHEMA = "receipts_of_test"
VARIABLE = "OUR_URL"
USER, PASSWORD = "somebody", "unheard-of"


@pytest.fixture
def server(postgres: PostgresServer) -> Iterator[PostgresServer]:
    yield postgres
    postgres.drop(SCHEMA)


@pytest.fixture
def storage(server: PostgresServer) -> PostgresStorage:
    return PostgresStorage(server.url(), SCHEMA)


@pytest.fixture
def store(storage: PostgresStorage) -> Iterator[ReceiptStore]:
    with closing(storage.open()) as opened_store:
        yield opened_store


@pytest.fixture
def role(server: PostgresServer) -> Iterator[str]:
    """A user who may only come in."""
    server.execute(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
    yield USER
    server.drop(SCHEMA)
    server.execute(f"DROP ROLE {USER}")


def count_of(store: ReceiptReader) -> int:
    return len(list(store.replay()))


def refusal(storage: PostgresStorage, ask: Callable[[PostgresStorage], object] = PostgresStorage.open) -> str:
    """The sentence with which storage is refused, which names the variable and never who connects."""
    with pytest.raises(StorageUnavailable) as caught:
        ask(storage)
    assert USER not in caught.value.message
    assert PASSWORD not in caught.value.message
    assert caught.value.__cause__ is None or USER not in str(caught.value.__cause__)
    return caught.value.message


class TestWhoIsNotLetIn:
    @pytest.mark.parametrize("ask", [PostgresStorage.open, PostgresStorage.is_new, PostgresStorage.read_control])
    def test_a_server_that_is_not_there(self, server: PostgresServer, ask: Callable[[PostgresStorage], object]) -> None:
        url = f"postgresql://{USER}:{PASSWORD}@127.0.0.1:1/receipts"
        said = refusal(PostgresStorage(url, SCHEMA, variable=VARIABLE), ask)
        assert said.startswith(f"cannot connect to schema {SCHEMA} of database receipts at 127.0.0.1:1: ")
        assert said.endswith(f"Connection refused (see {VARIABLE})")

    def test_a_wrong_password(self, server: PostgresServer, role: str) -> None:
        said = refusal(PostgresStorage(server.url(role, "wrong"), SCHEMA, variable=VARIABLE))
        assert 'password authentication failed for user "…"' in said

    def test_a_database_that_is_not_there(self, server: PostgresServer) -> None:
        said = refusal(PostgresStorage(server.url(database="nothing"), SCHEMA))
        assert 'database "nothing" does not exist' in said

    def test_a_user_who_may_not_make_the_schema_and_what_would_help(self, server: PostgresServer, role: str) -> None:
        storage = PostgresStorage(server.url(role, PASSWORD), SCHEMA)
        assert storage.is_new()
        said = refusal(storage)
        assert said.startswith(f"there is no schema {SCHEMA} of database postgres")
        assert "grant CREATE on the database" in said
        server.execute(f"CREATE SCHEMA {SCHEMA} AUTHORIZATION {USER}")
        assert storage.is_new()
        storage.open().close()
        assert not storage.is_new()

    def test_a_user_who_may_only_read(self, server: PostgresServer, role: str, store: ReceiptStore) -> None:
        store.append(flat(batches(1)))
        server.execute(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {USER}")
        server.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO {USER}")
        storage = PostgresStorage(server.url(role, PASSWORD), SCHEMA)
        with closing(storage.read()) as reader:
            assert count_of(reader) == len(flat(batches(1)))
        with (
            closing(storage.open()) as writer,
            pytest.raises(StorageUnavailable, match=r"cannot write to .* permission"),
        ):
            writer.append(plain(1).payloads)

    def test_a_server_that_is_too_old(self, storage: PostgresStorage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(postgres_database, "OLDEST_SERVER", 990_000)
        assert "; it takes PostgreSQL 99 or later" in refusal(storage)

    def test_a_database_that_cannot_hold_every_letter(self, server: PostgresServer) -> None:
        server.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        try:
            assert "is not in UTF8" in refusal(PostgresStorage(server.url(database="latin"), SCHEMA))
        finally:
            server.execute("DROP DATABASE latin")

    @pytest.mark.parametrize("url", [f"postgresql://{USER}:{PASSWORD}@host:port/db?no=such", f"{USER} {PASSWORD}"])
    def test_what_is_no_url(self, url: str) -> None:
        with pytest.raises(StorageUnavailable) as caught:
            PostgresStorage(url, variable=VARIABLE)
        assert caught.value.message == f"{VARIABLE} is no URL of a PostgreSQL database"
        assert caught.value.__context__ is None, "what libpq says repeats the URL"

    def test_a_server_that_takes_nothing_new_can_be_read(
        self, server: PostgresServer, role: str, store: ReceiptStore
    ) -> None:
        server.execute(f"ALTER SCHEMA {SCHEMA} OWNER TO {USER}")
        server.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA {SCHEMA} TO {USER}")
        store.append(flat(batches(1)))
        with closing(PostgresStorage(server.url(role, PASSWORD), SCHEMA).open()) as mine:
            mine.check_writable()
            server.execute(f"ALTER ROLE {USER} SET default_transaction_read_only = on")
            server.cut_connections()
            with pytest.raises(StorageUnavailable, match=r"cannot write to .* read-only transaction"):
                mine.check_writable()
            assert count_of(mine) == len(flat(batches(1)))


class TestWhatIsThereAlready:
    def test_tables_of_some_other_application_are_left_alone(
        self, server: PostgresServer, storage: PostgresStorage
    ) -> None:
        server.execute(f"CREATE SCHEMA {SCHEMA}")
        server.execute(f"CREATE TABLE {SCHEMA}.entries (theirs integer)")
        for ask in (PostgresStorage.open, PostgresStorage.read, PostgresStorage.is_new, PostgresStorage.open_control):
            assert refusal(storage, ask).endswith("holds tables of some other application")
        assert server.execute(f"SELECT * FROM {SCHEMA}.entries") == []

    def test_a_later_format_is_refused_and_named(
        self, server: PostgresServer, storage: PostgresStorage, store: ReceiptStore
    ) -> None:
        server.execute(f"UPDATE {SCHEMA}.wardwright_format SET number = 99")
        for ask in (PostgresStorage.open, PostgresStorage.read, PostgresStorage.open_control):
            assert "has format 99; this version reads formats up to 2" in refusal(storage, ask)

    def test_where_there_is_no_schema_there_is_nothing_to_read(self, storage: PostgresStorage) -> None:
        assert "there is nothing in schema" in refusal(storage, PostgresStorage.read)
        assert list(storage.read_control()) == []

    def test_any_number_may_make_the_same_place_at_once(self, storage: PostgresStorage) -> None:
        together = threading.Barrier(6)

        def open_it(number: int) -> None:
            together.wait()
            with closing(storage.open()) as mine:
                mine.append(plain(number).payloads)

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(open_it, range(6)))
        with closing(storage.read()) as reader:
            assert reader.health().receipt_count == 6

    def test_a_step_that_fails_leaves_nothing_behind(
        self, storage: PostgresStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(postgres_database, "_STEPS", (*postgres_database._STEPS, "CREATE TABLE oh no"))
        monkeypatch.setattr(postgres_database, "FORMAT", postgres_database.FORMAT + 1)
        assert 'syntax error at or near "no"' in refusal(storage)
        assert storage.is_new()
        monkeypatch.undo()
        storage.open().close()
        assert not storage.is_new()

    def test_a_format_is_brought_forward_by_the_steps_that_are_missing(
        self, server: PostgresServer, storage: PostgresStorage, store: ReceiptStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.append(flat(batches(1)))
        monkeypatch.setattr(
            postgres_database, "_STEPS", (*postgres_database._STEPS, "CREATE TABLE later AS SELECT 1 AS one")
        )
        monkeypatch.setattr(postgres_database, "FORMAT", postgres_database.FORMAT + 1)
        with closing(storage.open()) as again:
            assert count_of(again) == len(flat(batches(1)))
        assert server.execute(f"SELECT one, number FROM {SCHEMA}.later, {SCHEMA}.wardwright_format") == [
            (1, postgres_database.FORMAT)
        ]

    def test_an_entry_that_has_changed_is_never_given_out(self, server: PostgresServer, store: ReceiptStore) -> None:
        store.append(plain(1).payloads)
        server.execute(f"UPDATE {SCHEMA}.entries SET payload = payload || ' '::bytea WHERE position = 2")
        for ask in (store.replay, store.newest, lambda: store.select(ReceiptFilter())):
            with pytest.raises(StorageUnavailable, match="is damaged: the entry at position 2 has changed"):
                list(ask())


class TestServersThatGoAway:
    def test_a_cut_connection_is_nobodys_concern(self, server: PostgresServer, store: ReceiptStore) -> None:
        first, second = batches(2)
        store.append(first)
        assert count_of(store) == len(first)
        assert server.cut_connections() >= 2
        store.append(second)
        assert [stored.payload for stored in store.replay()] == flat([first, second])
        server.cut_connections()
        assert store.health().receipt_count == len(list(store.newest()))
        server.cut_connections()
        store.set_mark("m", b"value")
        assert store.mark("m") == b"value"

    def test_a_cut_connection_is_not_the_concern_of_who_reads_an_earlier_format(
        self, server: PostgresServer, storage: PostgresStorage, store: ReceiptStore
    ) -> None:
        store.append(plain(1).payloads)
        server.execute(f"UPDATE {SCHEMA}.wardwright_format SET number = 1")
        with closing(storage.read()) as reader:
            assert reader.health().receipt_count == 1
            server.cut_connections()
            assert [summary.receipt_id for summary in reader.page(ReceiptFilter()).data] == [receipt_id(1)]
            assert reader.page(ReceiptFilter.parse({"tool_name": "search"})).data == ()
        server.cut_connections()
        assert [summary.receipt_id for summary in store.page(ReceiptFilter()).data] == [receipt_id(1)]

    @pytest.mark.parametrize("crash", [False, True])
    def test_while_the_server_is_away_nothing_is_taken_and_afterwards_everything(
        self, server: PostgresServer, storage: PostgresStorage, store: ReceiptStore, crash: bool
    ) -> None:
        first, second = batches(2)
        store.append(first)
        log = storage.open_control()
        decision = ControlEntry(1, 1.0, KeyRevoked("key_1"))
        server.stop(crash=crash)
        try:
            for _ in range(2):
                for ask in (
                    lambda: store.append(second),
                    store.check_writable,
                    store.health,
                    lambda: store.payloads("rcpt_1"),
                    lambda: store.enlist("boot-1"),
                    lambda: log.append([decision]),
                ):
                    with pytest.raises(StorageUnavailable, match=r"cannot (connect|write|read)"):
                        ask()
        finally:
            server.start()
        store.append([*first, *second])
        store.check_writable()
        assert [stored.payload for stored in store.replay()] == flat([first, second])
        log.append([decision])
        assert list(log.entries()) == [decision]
        log.close()
        with pytest.raises(StorageUnavailable, match="is closed"):
            log.append([decision])

    def test_whatever_is_cut_under_load_each_entry_is_stored_once(
        self, server: PostgresServer, storage: PostgresStorage, store: ReceiptStore
    ) -> None:
        numbers, done = count(), threading.Event()
        written: list[int] = []

        def write() -> None:
            with closing(storage.open()) as mine:
                while not done.is_set():
                    number = next(numbers)
                    while not appended(mine, number):
                        pass
                    written.append(number)

        def appended(mine: ReceiptStore, number: int) -> bool:
            try:
                mine.append(plain(number).payloads)
            except StorageUnavailable:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            writers = [pool.submit(write) for _ in range(4)]
            for cuts in range(1, 6):
                while len(written) < 20 * cuts and not any(writer.done() for writer in writers):
                    done.wait(0.005)
                server.cut_connections()
            server.stop(crash=True)
            server.start()
            done.set()
            for writer in writers:
                writer.result(60)
        assert sorted(record[0].receipt_id for record in store.newest()) == sorted(map(receipt_id, written))
        positions = [stored.position for stored in store.replay()]
        assert positions == list(range(1, 1 + len(written) * len(plain(1).payloads)))
        assert store.health().receipt_count == len(written)

    def test_a_writer_that_holds_the_turn_for_too_long_is_not_waited_for(
        self, server: PostgresServer, storage: PostgresStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(postgres_database._SESSION, "lock_timeout", "50ms")
        key = Database(server.url(), SCHEMA, variable=VARIABLE).lock_key
        with closing(storage.open()) as store, psycopg.connect(server.url()) as other:
            store.enlist("boot-1")
            other.execute("SELECT pg_advisory_xact_lock(%s)", (key,))
            with pytest.raises(StorageUnavailable, match=r"cannot write to .* lock timeout"):
                store.append(plain(1).payloads)
            other.rollback()
            store.append(plain(1).payloads)
            assert storage_others(storage) == {"boot-1"}

    def test_a_writer_that_stands_still_loses_its_turn(
        self, server: PostgresServer, store: ReceiptStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        database = Database(server.url(), SCHEMA, variable=VARIABLE)
        with monkeypatch.context() as impatient:
            impatient.setitem(postgres_database._SESSION, "idle_in_transaction_session_timeout", "50ms")
            still = database.connect()
        with closing(still):
            still.execute("BEGIN")
            still.execute("SELECT pg_advisory_xact_lock(%s)", (database.lock_key,))
            store.append(plain(1).payloads)
            assert count_of(store) == len(plain(1).payloads)


def wait_until_vacuumed(server: PostgresServer) -> None:
    """Wait for the server's statistics, which lag behind."""
    sql = f"SELECT relname FROM pg_stat_all_tables WHERE schemaname = '{SCHEMA}' AND vacuum_count > 0 ORDER BY relname"
    wait_until(lambda: server.execute(sql) == [("entries",), ("receipts",)], "a table is not vacuumed")


class TestErasing:
    def test_what_was_replaced_is_vacuumed_out_of_the_tables(self, server: PostgresServer, store: ReceiptStore) -> None:
        written = with_content(1, "text")
        store.append(written.payloads)
        store.replace(erasures(written))
        wait_until_vacuumed(server)

    def test_tables_that_could_not_be_vacuumed_are_when_it_is_asked_again(
        self, server: PostgresServer, store: ReceiptStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written = with_content(1, "text")
        store.append(written.payloads)
        with psycopg.connect(server.url()) as other, monkeypatch.context() as impatient:
            other.execute(f"LOCK TABLE {SCHEMA}.entries IN SHARE UPDATE EXCLUSIVE MODE")
            impatient.setitem(postgres_database._SESSION, "lock_timeout", "50ms")
            with pytest.raises(StorageUnavailable, match=r"cannot vacuum .* lock timeout"):
                store.replace(erasures(written))
        assert store.payloads(written.receipt_id)[1] in erasures(written)
        store.replace([])
        wait_until_vacuumed(server)

    def test_nothing_takes_the_place_of_an_entry_that_has_changed(
        self, server: PostgresServer, store: ReceiptStore
    ) -> None:
        written = with_content(1, "text")
        store.append(written.payloads)
        store.replace(erasures(written))
        store.replace([])
        server.execute(f"UPDATE {SCHEMA}.entries SET payload = payload || ' '::bytea WHERE seq = 2")
        with pytest.raises(StorageUnavailable, match="is damaged"):
            store.replace(erasures(written))


def storage_others(storage: PostgresStorage) -> frozenset[str]:
    """Who is there, as a daemon sees it that has just started."""
    with closing(storage.open()) as newcomer:
        return newcomer.enlist("newcomer")


class TestWhoIsThere:
    def test_who_lost_a_connection_is_missed_twice_before_counting_as_gone(
        self, server: PostgresServer, storage: PostgresStorage, store: ReceiptStore
    ) -> None:
        with closing(storage.open()) as neighbour:
            neighbour.enlist("neighbour")
            assert store.enlist("mine") == {"neighbour"}
            server.cut_connections()
            assert store.enlist("mine") == {"neighbour"}
            neighbour.append(plain(1).payloads)
            assert [store.enlist("mine") for _ in range(3)] == [{"neighbour"}] * 3
            server.cut_connections()
            assert [store.enlist("mine") for _ in range(3)] == [{"neighbour"}, set(), set()]
            neighbour.check_writable()
            assert store.enlist("mine") == {"neighbour"}

    def test_after_the_servers_own_start_everybody_is_given_time(
        self, server: PostgresServer, storage: PostgresStorage, store: ReceiptStore
    ) -> None:
        with closing(storage.open()) as neighbour:
            neighbour.enlist("neighbour")
            server.stop()
            server.start()
            assert [store.enlist("mine") for _ in range(3)] == [{"neighbour"}] * 3
            assert storage_others(storage) == {"neighbour", "mine"}

    def test_schemas_know_nothing_of_each_other(self, server: PostgresServer, store: ReceiptStore) -> None:
        store.enlist("mine")
        other = PostgresStorage(server.url(), "another_one")
        try:
            assert storage_others(other) == frozenset()
        finally:
            server.drop("another_one")

    def test_however_many_ask_at_once_a_store_holds_so_many_connections(self, server: PostgresServer) -> None:
        with closing(PostgresStorage(f"{server.url()}&application_name=counted", SCHEMA).open()) as store:
            store.append(plain(1).payloads)
            with ThreadPoolExecutor(24) as pool:
                assert set(pool.map(lambda _: store.payloads(receipt_id(1)), range(200))) == {plain(1).payloads}
            ((held,),) = server.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'counted'")
            assert 2 <= held <= 1 + postgres_database.MOST_READERS

    def test_who_has_closed_holds_no_connection(self, server: PostgresServer, storage: PostgresStorage) -> None:
        store, reader = storage.open(), storage.read()
        store.append(plain(1).payloads)
        assert count_of(reader) == count_of(store)
        store.close()
        reader.close()
        assert count_of(reader) == count_of(store), "what is stored can still be read"
        left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'wardwright'"
        while server.execute(left) != [(0,)]:  # the server takes a moment to notice
            pass


class TestDurability:
    def test_strict_waits_for_the_disk_and_for_no_less_than_the_database_asks_for(
        self, server: PostgresServer, role: str
    ) -> None:
        database = Database(server.url(role, PASSWORD), SCHEMA, variable=VARIABLE)
        found: dict[tuple[str, str], Any] = {}
        for asked in ("off", "local", "on", "remote_apply"):
            server.execute(f"ALTER ROLE {USER} SET synchronous_commit = {asked}")
            for durability in ("strict", "batched", "none"):
                with closing(database.connect(durability)) as connection:
                    found[asked, durability] = connection.execute("SHOW synchronous_commit").fetchall()[0][0]
        assert [found[asked, "strict"] for asked in ("off", "local", "on", "remote_apply")] == [
            "on",
            "on",
            "on",
            "remote_apply",
        ]
        assert {setting for (_, durability), setting in found.items() if durability != "strict"} == {"off"}

    def test_health_says_durable_of_a_server_that_syncs_alone(self, server: PostgresServer) -> None:
        said = {}
        for fsync in ("off", "on"):
            server.stop()
            server.start(fsync=fsync)
            for durability in ("strict", "batched"):
                with closing(PostgresStorage(server.url(), SCHEMA, durability).open()) as store:
                    said[fsync, durability] = store.health().durable
        server.stop()
        server.start()
        assert [asked for asked, is_durable in said.items() if is_durable] == [("on", "strict")]


ODD = ("a\0b", "x" * 5000, "x" * 201, "x" * 200, "sha256-of:x", "ä" * 300)


class TestTextsThatPostgresCannotKeepOrIndex:
    def test_they_are_found_as_any_other(self, store: ReceiptStore) -> None:
        for number, text in enumerate(ODD):
            caller = Caller(tenant_id=Attributed(text, "header"), session_id=Attributed(text, "header"))
            store.append(sealed(number, [opened(caller)]).payloads)
        for number, text in enumerate(ODD):
            wanted = ReceiptFilter(exact=(("tenant_id", text),))
            assert [summary.receipt_id for summary in store.page(wanted).data] == [receipt_id(number)]
            assert [receipt.receipt_id for receipt in store.select(wanted)] == [receipt_id(number)]
            assert store.newest_of_session("coding", text) == receipt_id(number)

    @pytest.mark.parametrize(
        "filters",
        [
            {"session_id": "\udcff"},
            {"created_at_min": "9" * 40},
            {"created_at_max": "-" + "9" * 40},
            {"simulation": "1"},
            {"created_at_min": "soon"},
            {"tool_name": "hammer"},
        ],
    )
    def test_a_value_that_no_receipt_can_have_finds_nothing(self, store: ReceiptStore, filters: dict[str, str]) -> None:
        store.append(plain(1).payloads)
        assert store.page(ReceiptFilter.parse(filters)).data == ()

    @pytest.mark.parametrize("odd", ["a\0b", "\udcff"])
    def test_an_id_that_no_receipt_can_have_is_unknown(self, store: ReceiptStore, odd: str) -> None:
        assert (store.entries(odd), store.payloads(odd)) == ((), ())
        assert store.newest_of_session(odd, odd) is None

    @pytest.mark.parametrize("odd", ["a\\u0000b", "x" * 201])
    def test_an_entry_with_an_id_that_cannot_be_kept_is_refused(self, store: ReceiptStore, odd: str) -> None:
        payload = plain(1).payloads[0].replace(receipt_id(1).encode(), odd.encode())
        with pytest.raises(ValueError, match="not an encoded receipt entry: its receipt id"):
            store.append([*plain(2).payloads, payload])
        assert count_of(store) == 0


def test_a_fault_without_a_word_is_told_by_its_name() -> None:
    database = Database("postgresql://127.0.0.1:1/nothing", "wardwright", variable="URL")
    with (
        pytest.raises(StorageUnavailable, match=r"cannot read from .*: OperationalError"),
        database.faults("read from"),
    ):
        raise psycopg.OperationalError
