"""A daemon that is killed at random moments under load, and started again on what it left, again and again.

After every death the log is readable, every chain in it holds, and every request that was answered whole has its closed receipt. After
every start no receipt is open any more: what was cut off is closed as `interrupted`. Ids and the turns of sessions go on where they
were. Some deaths come in the middle of a start. Sinks, where there are any, get everything (`far_sides`).

Daemons that keep their receipts on a PostgreSQL server go on while that is killed and started again. Meanwhile each client is refused in
time, and afterwards none. Where two share it, what one leaves open is closed by the other.

On a machine that is slow enough a session may not answer in time, and a request then goes on without a turn. That is no fault if the daemon
has said so in its log; it is counted in the verdict.
"""

import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.acceptance.daemon import Daemon, run_daemon, start_process
from tests.chaos.clients import Asked, Crowd
from tests.chaos.far_sides import FarSides
from tests.chaos.settings import KINDS, SETTINGS, Setting
from tests.chaos.short_days import DAY_S
from tests.chaos.verdict import Broken, Progress, working_folder
from tests.support.postgres import PostgresServer, postgres_server
from tests.support.waiting import wait_until
from wardwright.app.storage import storage_at
from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import ReceiptReader
from wardwright.receipts.audit import Audit
from wardwright.receipts.chain import read_link
from wardwright.receipts.events import Closed, Opened
from wardwright.receipts.fold import fold
from wardwright.storage.postgres import PostgresStorage

_ROOT = Path(__file__).parents[2]
_KILLS_PER_FOLDER = 20
_STILLBORN = 0.2  # of the deaths: in the middle of a start
_LONGEST_START_S = 1.2
_LONGEST_REIGN_S = 0.8
_WITHOUT_SERVER = 0.4  # of the reigns over one
_DEAD_WITH_SERVER = 0.2  # of those: the daemons die before it is back
_SHORT_DAYS = "tests.chaos.short_days"
_CLOSED = Closed.__struct_config__.tag
_WITHOUT_SESSION = "a request goes on without its session"


class Reign(NamedTuple):
    """A daemon that serves, and its clients."""

    daemon: Daemon
    crowd: Crowd

    def end(self) -> None:
        """Kill it."""
        self.crowd.is_over = True
        self.daemon.process.kill()
        self.daemon.process.wait()


class Line:
    """Daemons one after the other on one folder or server, and everything that their clients know. To be closed."""

    def __init__(
        self,
        folder: Path,
        setting: Setting,
        chance: random.Random,
        counts: Counter[str],
        server: PostgresServer | None = None,
    ) -> None:
        self.folder = folder
        self._folders = [folder, folder / "other"] if setting.is_shared else [folder]
        self._setting = setting
        self._chance = chance
        self._counts = counts
        self._faded = 0
        self._server = server
        self._storage = PostgresStorage(server.url()) if server else storage_at(setting.kind, folder / "data")
        self._answered: dict[str, float] = {}
        self._left_open: set[str] = set()
        self._left_alone = Counter[str]()
        self._refused = Counter[str]()
        self._newest = ""
        self._environment = {"PYTHONPATH": str(_ROOT)}
        if server:
            self._environment["WARDWRIGHT_POSTGRES_URL"] = server.url()
        self._far_sides = FarSides(folder, chance, counts) if setting.sends else None
        self._config = setting.config + (self._far_sides.config if self._far_sides else "")

    def close(self) -> None:
        """Stop what the daemons send to."""
        if self._far_sides:
            self._far_sides.close()

    def go_on(self) -> None:
        """One more daemon, and its death. Raises: Broken."""
        if self._chance.random() < _STILLBORN:
            self.die_in_birth()
        elif self._server and self._chance.random() < _WITHOUT_SERVER:
            self.outlive_server(and_die=self._chance.random() < _DEAD_WITH_SERVER)
        else:
            self.reign()

    def reign(self) -> None:
        """Start a daemon or two, put load on them, and kill one after the other. Raises: Broken."""
        with self._reigning() as reigns:
            self._end(reigns)

    def outlive_server(self, *, and_die: bool = False) -> None:
        """Have them serve while their server is killed and started again, or `and_die` before it is back. Raises: Broken."""
        with self._reigning() as reigns:
            with self._without_server(reigns):
                for daemon, crowd in reigns:
                    crowd.wait_for_refusals()
                    self._check_readiness(daemon, 503)
                for reign in reigns if and_die else []:
                    reign.end()
            if not and_die:
                for daemon, crowd in reigns:
                    crowd.wait_for_answers(self._chance.randint(1, 10))
                    self._check_readiness(daemon, 200)
                self._end(reigns)

    def die_in_birth(self) -> None:
        """Start a daemon, or two at a time, and kill it before, or soon after, it is ready. Raises: Broken."""
        processes = [
            start_process(folder, self._config, environment=self._environment, program=_SHORT_DAYS)
            for folder in self._folders
        ]
        time.sleep(self._chance.uniform(0, _LONGEST_START_S))
        for process in processes:
            process.kill()
            process.communicate()
            self._counts["kills"] += 1
            self._counts["kills while starting"] += 1

    def end(self) -> None:
        """Start once more, look at everything, and stop in order. Raises: Broken."""
        # by the days of the world it takes a minute until the dead are missed whose server was started again
        program = _SHORT_DAYS if self._server else "wardwright.cli.main"
        with run_daemon(self.folder, self._config, environment=self._environment, program=program) as daemon:
            self._check_start(daemon)
            if self._far_sides:
                self._far_sides.catch_up(daemon)
        with closing(self._storage.read()) as receipts:
            if not self._setting.forgets:
                alone = check_turns(receipts, self._left_alone, self._refused)
                self._counts["requests whose session did not answer"] += alone
            if self._far_sides:
                self._far_sides.check_places(receipts)
                self._far_sides.check_all(receipts)

    def _change_far_sides(self) -> None:
        if self._far_sides:
            self._far_sides.change()

    @contextmanager
    def _reigning(self) -> Iterator[Sequence[Reign]]:
        """Daemons that serve their clients, and have answered some; killed on leaving, and what they leave is looked at."""
        self._change_far_sides()
        with ExitStack() as running, ExitStack() as asking:
            daemons = [
                running.enter_context(
                    run_daemon(folder, self._config, environment=self._environment, program=_SHORT_DAYS)
                )
                for folder in self._folders
            ]
            self._check_start(daemons[0])
            reigns = [Reign(daemon, Crowd(daemon.url, "'" * at)) for at, daemon in enumerate(daemons)]
            try:
                for reign in reigns:
                    asking.enter_context(reign.crowd.asking())
                for reign in reigns:
                    reign.crowd.wait_for_answers(self._chance.randint(1, 10))
                self._change_far_sides()
                yield reigns
            finally:
                for reign in reigns:
                    reign.end()
        self._counts["kills"] += len(reigns)
        for daemon, crowd in reigns:
            self._left_alone.update(line["session"] for line in daemon.log if line.get("event") == _WITHOUT_SESSION)
            self._refused += crowd.refused
            self._counts["requests refused while the server was away"] += crowd.refused.total()
        self._check_death([one for reign in reigns for one in reign.crowd.asked])

    @contextmanager
    def _without_server(self, reigns: Sequence[Reign]) -> Iterator[None]:
        assert self._server is not None
        with ExitStack() as outages:
            for reign in reigns:
                outages.enter_context(reign.crowd.without_storage())
            self._server.kill()
            self._counts["kills of the server"] += 1
            try:
                yield
            finally:
                self._server.start(full_page_writes="on")  # `kill -9` may cut a write in two

    def _end(self, reigns: Sequence[Reign]) -> None:
        time.sleep(self._chance.uniform(0, _LONGEST_REIGN_S))  # any moment is as good as another
        for dead, *neighbours in (reigns[at:] for at in range(len(reigns))):
            dead.end()
            for neighbour in neighbours:
                self._check_what_was_left(dead.crowd)
                neighbour.crowd.wait_for_answers(1)

    def _check_what_was_left(self, crowd: Crowd) -> None:
        """What the dead one of two daemons has left open the other closes."""
        with closing(self._storage.read()) as receipts:
            left = _open_ids(receipts) & {one.receipt_id for one in crowd.asked}
            _wait_until(lambda: not left & _open_ids(receipts), f"some of {left} stay open beside a neighbour")
            for receipt_id in left:
                if (status := _status(receipts, receipt_id)) != "interrupted":
                    raise Broken(f"{receipt_id} was cut off beside a neighbour and says {status}")
        self._counts["receipts closed as interrupted by a neighbour"] += len(left)

    def _check_readiness(self, daemon: Daemon, meant: int) -> None:
        with daemon.client() as client:
            if (told := client.get("/readyz").status_code) != meant:
                raise Broken(f"the daemon says of its readiness {told} instead of {meant}")

    def _check_start(self, daemon: Daemon) -> None:
        """No receipt is open, and those that a death had left open say what became of them."""
        if self._server:  # which may need a moment to notice a death, and lets daemons come back when it was away
            _wait_until(lambda: daemon.get("/admin/storage")["open_count"] == 0, "receipts of the dead stay open")
        told = daemon.get("/admin/storage")
        with closing(self._storage.read()) as receipts:
            still_open = _open_ids(receipts)
            if still_open or told["open_count"]:
                raise Broken(f"open after a start: {still_open}, and the daemon says {told['open_count']}")
            for receipt_id in self._left_open:
                status = _status(receipts, receipt_id)
                if status != "interrupted" and not (status is None and self._setting.forgets):
                    raise Broken(f"{receipt_id} was cut off by a death and says {status}")
        self._counts["receipts closed as interrupted"] += len(self._left_open)
        self._left_open = set()

    def _check_death(self, asked: Sequence[Asked]) -> None:
        """The log is readable and whole, and has what the clients have seen."""
        begun = [one.receipt_id for one in asked if one.receipt_id]
        whole = [one.receipt_id for one in asked if one.is_whole]
        if min(begun) <= self._newest:
            raise Broken(f"the id {min(begun)} is not above {self._newest}, which was given before")
        now = time.time()
        self._newest = max(begun)
        self._answered |= dict.fromkeys(whole, now)
        with closing(self._storage.read()) as receipts:
            known, closed = self._audit(receipts)
            for receipt_id, at in self._answered.items():
                if receipt_id not in closed and not (self._setting.forgets and now - at > DAY_S / 2):
                    raise Broken(f"{receipt_id} was answered and is {'open' if receipt_id in known else 'not there'}")
            for receipt_id in whole:
                if (status := _status(receipts, receipt_id)) != "completed":
                    raise Broken(f"{receipt_id} was answered whole and says {status}")
            if self._far_sides:
                self._far_sides.check_places(receipts)
        if lost := set(begun) - known:
            raise Broken(f"{sorted(lost)} were told to clients and are not there")
        self._left_open = known - closed
        self._counts["answered requests"] += len(whole)
        self._counts["answers cut off"] += len(begun) - len(whole)

    def _audit(self, receipts: ReceiptReader) -> tuple[set[str], set[str]]:
        """The receipts there are, and those that are closed."""
        audit, known, closed = Audit(), set[str](), set[str]()
        for stored in receipts.replay():
            audit.take(stored.payload)
            link = read_link(stored.payload)
            assert link is not None
            known.add(link.receipt_id)
            if link.event.type == _CLOSED:
                closed.add(link.receipt_id)
        if audit.findings:
            raise Broken(f"chains that do not hold: {list(audit.findings.values())}")
        self._counts["entries faded"] += max(0, audit.faded - self._faded)
        self._faded = audit.faded
        return known, closed

    def check_command(self) -> None:
        """Those who look with the command line are told the same."""
        command = [sys.executable, "-m", "wardwright.cli.main", "receipts", "verify"]
        environment = {**os.environ, **self._environment, "WARDWRIGHT_DATA_DIR": str(self.folder / "data")}
        verified = subprocess.run(
            [*command, "--config", str(self.folder / "wardwright.toml")],
            check=False,
            env=environment,
            capture_output=True,
            text=True,
        )
        if verified.returncode or "every chain holds" not in verified.stdout:
            raise Broken(f"receipts verify: {verified.stdout}{verified.stderr}")


def run(seed: int, kills: int, kinds: Sequence[str] = KINDS) -> str:
    """Kill so many daemons with storage of these kinds, some of them on each folder or server. Raises: Broken."""
    counts, progress, number = Counter[str](), Progress("kills", kills), 0
    settings = [setting for setting in SETTINGS if setting.kind in kinds]
    while counts["kills"] < kills:
        setting, chance = settings[number % len(settings)], random.Random(f"{seed} {number}")
        with working_folder(in_memory=False) as folder, ExitStack() as opened:
            server = opened.enter_context(postgres_server()) if setting.kind == "postgres" else None
            try:
                with closing(Line(folder, setting, chance, counts, server)) as line:
                    until = min(counts["kills"] + _KILLS_PER_FOLDER, kills)
                    while counts["kills"] < until:
                        line.go_on()
                        progress.at(counts["kills"])
                    line.end()
                    line.check_command()
            except (Broken, StorageUnavailable) as broken:
                if server:
                    server.stop(crash=True)
                    shutil.copytree(server.data, folder / "server")
                raise Broken(f"{setting}, after {counts['kills']} kills: {broken}") from broken
        number += 1
    return ", ".join(f"{count} {what}" for what, count in counts.items())


def _wait_until(ask: Callable[[], object], missing: str) -> None:
    """Raises: Broken when it does not come to be."""
    try:
        wait_until(ask, missing)
    except AssertionError as late:
        raise Broken(str(late)) from late


def _open_ids(receipts: ReceiptReader) -> set[str]:
    return {entries[0].receipt_id for entries in receipts.open_receipts()}


def _status(receipts: ReceiptReader, receipt_id: str) -> str | None:
    """How a receipt ended; None when there is none, or it is open."""
    entries = receipts.entries(receipt_id)
    final = fold(entries).final if entries else None
    return None if final is None else final.status


def check_turns(receipts: ReceiptReader, left_alone: Counter[str], refused: Counter[str] | None = None) -> int:
    """The turns of each session count on from 1, in the order of ids; tell how many requests have none.

    A turn is left out only where a request of the session was refused.

    Raises: Broken, also where more of a session's requests have none than daemons have said that they left alone, or most of all: no
    machine that is worth a run is as slow as that.
    """
    turns, without, left_out = Counter[str](), Counter[str](), Counter(refused)
    for entries in reversed(list(receipts.newest())):
        opened = entries[0].event
        assert isinstance(opened, Opened)
        session = opened.caller.session_id
        assert session is not None
        if opened.session_turn is None:
            without[session.value] += 1
            continue
        turns[session.value] += 1
        while opened.session_turn > turns[session.value] and left_out[session.value]:
            left_out[session.value] -= 1
            turns[session.value] += 1
        if opened.session_turn != turns[session.value]:
            raise Broken(f"turn {turns[session.value]} of {session.value} says that it is turn {opened.session_turn}")
    if unsaid := without - left_alone:
        raise Broken(f"no daemon has said why these requests of sessions got no turn: {dict(unsaid)}")
    if without.total() > turns.total():
        raise Broken(f"{without.total()} requests got no turn from their sessions, and only {turns.total()} did")
    return without.total()
