"""A daemon that is killed at random moments under load, and started again on what it left, again and again.

After every death the log is readable, every chain in it holds, and every request that was answered whole has its closed receipt. After
every start no receipt is open any more: what was cut off is closed as `interrupted`. Ids and the turns of sessions go on where they
were. Some deaths come in the middle of a start. Sinks, where there are any, get everything (`far_sides`).

On a machine that is slow enough a session may not answer in time, and a request then goes on without a turn. That is no fault if the daemon
has said so in its log; it is counted in the verdict.
"""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from tests.acceptance.daemon import Daemon, run_daemon, start_process
from tests.chaos.clients import Crowd
from tests.chaos.far_sides import FarSides
from tests.chaos.short_days import DAY_S
from tests.chaos.verdict import Broken, Progress, working_folder
from wardwright.app.storage import storage_at
from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import ReceiptReader
from wardwright.receipts.audit import Audit
from wardwright.receipts.chain import read_link
from wardwright.receipts.events import Closed, Opened
from wardwright.receipts.fold import fold

_ROOT = Path(__file__).parents[2]
_KILLS_PER_FOLDER = 20
_STILLBORN = 0.2  # of the deaths: in the middle of a start
_LONGEST_START_S = 1.2
_LONGEST_REIGN_S = 0.8
_CLOSED = Closed.__struct_config__.tag
_WITHOUT_SESSION = "a request goes on without its session"

_CONFIG = """
[runtime]
backend = "{backend}"

[storage]
kind = "{kind}"
{retention}

[[providers]]
id = "quick"
kind = "canned"
outputs = ["a short answer"]

[[providers]]
id = "paced"
kind = "canned"
outputs = ["an answer of a few words that come one by one"]
chunk_delay_ms = 15

[[targets]]
id = "quick/a"
provider = "quick"
context_window = 8192

[[targets]]
id = "paced/a"
provider = "paced"
context_window = 8192

[[models]]
id = "quick"
[[models.dispatchers]]
id = "one"
models = ["quick/a"]

[[models]]
id = "paced"
[[models.dispatchers]]
id = "one"
models = ["paced/a"]
"""


class Setting(NamedTuple):
    """What a line of daemons runs on. One that forgets no receipt lets their events fade."""

    kind: str
    backend: str
    forgets: bool = False
    sends: bool = False

    @property
    def config(self) -> str:
        """As a file, without its sinks. Where these are compared with the log, its events do not fade."""
        retention = f"retention = {{ {'receipts_days' if self.forgets else 'events_days'} = 1 }}"
        if self.sends and not self.forgets:
            retention = ""
        return _CONFIG.format(backend=self.backend, kind=self.kind, retention=retention)

    def __str__(self) -> str:
        return f"{self.kind} on {self.backend}{', forgetting' * self.forgets}{', sending on' * self.sends}"


SETTINGS = (
    Setting("file", "asyncio"),
    Setting("file", "trio", forgets=True, sends=True),
    Setting("sqlite", "asyncio", sends=True),
    Setting("file", "asyncio", sends=True),
    Setting("sqlite", "trio", forgets=True),
    Setting("file", "trio"),
    Setting("file", "asyncio", forgets=True),
    Setting("sqlite", "asyncio"),
)


class Line:
    """Daemons one after the other on one folder, and everything that their clients know. To be closed."""

    def __init__(self, folder: Path, setting: Setting, chance: random.Random, counts: Counter[str]) -> None:
        self.folder = folder
        self._setting = setting
        self._chance = chance
        self._counts = counts
        self._faded = 0
        self._storage = storage_at(setting.kind, folder / "data")
        self._answered: dict[str, float] = {}
        self._left_open: set[str] = set()
        self._left_alone = Counter[str]()
        self._newest = ""
        self._environment = {"PYTHONPATH": str(_ROOT)}
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
        else:
            self.reign()

    def reign(self) -> None:
        """Start a daemon, put load on it, and kill it. Raises: Broken."""
        self._change_far_sides()
        with run_daemon(
            self.folder, self._config, environment=self._environment, program="tests.chaos.short_days"
        ) as daemon:
            self._check_start(daemon)
            crowd = Crowd(daemon.url)
            with crowd.asking():
                try:
                    crowd.wait_for_answers(self._chance.randint(1, 10))
                    self._change_far_sides()
                    time.sleep(self._chance.uniform(0, _LONGEST_REIGN_S))  # any moment is as good as another
                finally:
                    crowd.is_over = True
                    daemon.process.kill()
                    daemon.process.wait()
        self._counts["kills"] += 1
        self._left_alone.update(line["session"] for line in daemon.log if line.get("event") == _WITHOUT_SESSION)
        self._check_death(crowd)

    def die_in_birth(self) -> None:
        """Start a daemon and kill it before, or soon after, it is ready. Raises: Broken."""
        process = start_process(
            self.folder, self._config, environment=self._environment, program="tests.chaos.short_days"
        )
        time.sleep(self._chance.uniform(0, _LONGEST_START_S))
        process.kill()
        process.communicate()
        self._counts["kills"] += 1
        self._counts["kills while starting"] += 1

    def end(self) -> None:
        """Start once more, look at everything, and stop in order. Raises: Broken."""
        with run_daemon(self.folder, self._config, environment=self._environment) as daemon:
            self._check_start(daemon)
            if self._far_sides:
                self._far_sides.catch_up(daemon)
        with closing(self._storage.read()) as receipts:
            if not self._setting.forgets:
                self._counts["requests whose session did not answer"] += check_turns(receipts, self._left_alone)
            if self._far_sides:
                self._far_sides.check_places(receipts)
                self._far_sides.check_all(receipts)

    def _change_far_sides(self) -> None:
        if self._far_sides:
            self._far_sides.change()

    def _check_start(self, daemon: Daemon) -> None:
        """No receipt is open, and those that a death had left open say what became of them."""
        told = daemon.get("/admin/storage")
        with closing(self._storage.read()) as receipts:
            still_open = [entries[0].receipt_id for entries in receipts.open_receipts()]
            if still_open or told["open_count"]:
                raise Broken(f"open after a start: {still_open}, and the daemon says {told['open_count']}")
            for receipt_id in self._left_open:
                status = _status(receipts, receipt_id)
                if status != "interrupted" and not (status is None and self._setting.forgets):
                    raise Broken(f"{receipt_id} was cut off by a death and says {status}")
        self._counts["receipts closed as interrupted"] += len(self._left_open)
        self._left_open = set()

    def _check_death(self, crowd: Crowd) -> None:
        """The log is readable and whole, and has what the clients have seen."""
        begun = [one.receipt_id for one in crowd.asked if one.receipt_id]
        whole = [one.receipt_id for one in crowd.asked if one.is_whole]
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


def run(seed: int, kills: int) -> str:
    """Kill so many daemons, some of them on each folder. Raises: Broken."""
    counts, progress, number = Counter[str](), Progress("kills", kills), 0
    while counts["kills"] < kills:
        setting, chance = SETTINGS[number % len(SETTINGS)], random.Random(f"{seed} {number}")
        with working_folder(in_memory=False) as folder:
            try:
                with closing(Line(folder, setting, chance, counts)) as line:
                    for _ in range(min(_KILLS_PER_FOLDER, kills - counts["kills"])):
                        line.go_on()
                        progress.at(counts["kills"])
                    line.end()
                    line.check_command()
            except (Broken, StorageUnavailable) as broken:
                raise Broken(f"{setting}, after {counts['kills']} kills: {broken}") from broken
        number += 1
    return ", ".join(f"{count} {what}" for what, count in counts.items())


def _status(receipts: ReceiptReader, receipt_id: str) -> str | None:
    """How a receipt ended; None when there is none, or it is open."""
    entries = receipts.entries(receipt_id)
    final = fold(entries).final if entries else None
    return None if final is None else final.status


def check_turns(receipts: ReceiptReader, left_alone: Counter[str]) -> int:
    """The turns of each session count on from 1, in the order of ids; tell how many requests have none.

    Raises: Broken, also where more of a session's requests have none than daemons have said that they left alone, or most of all: no
    machine that is worth a run is as slow as that.
    """
    turns, without = Counter[str](), Counter[str]()
    for entries in reversed(list(receipts.newest())):
        opened = entries[0].event
        assert isinstance(opened, Opened)
        session = opened.caller.session_id
        assert session is not None
        if opened.session_turn is None:
            without[session.value] += 1
            continue
        turns[session.value] += 1
        if opened.session_turn != turns[session.value]:
            raise Broken(f"turn {turns[session.value]} of {session.value} says that it is turn {opened.session_turn}")
    if unsaid := without - left_alone:
        raise Broken(f"no daemon has said why these requests of sessions got no turn: {dict(unsaid)}")
    if without.total() > turns.total():
        raise Broken(f"{without.total()} requests got no turn from their sessions, and only {turns.total()} did")
    return without.total()
