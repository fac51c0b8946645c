"""The fault matrix: everything a provider can do wrong, unary and streamed, against a real daemon and a real socket.

`FAULTS` is the whole of it, one line per fault and mode. Each line is played three times, on providers of its own so that no health
is shared: with nobody else to ask, with a second target behind, and over and over until the provider is left alone; after that the
fault ends. Many lines are played at a time, on both event loops, for most of them is waiting: so the clocks can be generous, and a busy
machine is no fault.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from tests.acceptance.conftest import BACKENDS
from tests.acceptance.daemon import Daemon, run_daemon
from tests.acceptance.load import Seen, note_lines
from tests.support.upstream import Upstream, answer_text, silent_url

CONNECT_S, FIRST_TOKEN_S, IDLE_S, TOTAL_S = 1.5, 3.0, 3.0, 10.0  # with a fallback, an attempt has half of the time
MUCH_S = 120.0
OPEN_S = 8.0  # all of a play with what is left alone happens in this time; and so long the 429s with a time hold
GRACE_S = 60.0  # what a loaded machine may add to a clock
UNSTATED_HOLD_S = 1.0  # of a 429 that names no time
AT_A_TIME = 64
LARGE = (
    threading.Lock()
)  # held by who asks for 64 MB: to move them is work, and many at a time would be in each other's way

pytestmark = pytest.mark.timeout(300)

UNARY, STREAM = ("unary",), ("stream",)
BOTH = UNARY + STREAM


class Fault(NamedTuple):
    """A line of the matrix.

    `attempts` is how each call fails when there is nobody else to ask, `told` what the client is told then; `with_another` is what comes
    of a second target: the "next" one answers, or the client is told the "same". `health` is what becomes of the provider: its
    breaker "opens" after two failures or "opens at once", the target is "held", or nothing changes and all is "well".
    """

    behaviour: str
    modes: tuple[str, ...]
    attempts: tuple[str, ...]
    told: str
    with_another: str
    health: str


FAILED = "502 provider_error"
TOO_LATE = "504 deadline_exceeded"
BROKEN = "200, then provider_error"
BROKEN_TOO_LATE = "200, then deadline_exceeded"
LIMITED = "429 rate_limit_exceeded"
ANSWERED = "200, whole"

FAULTS = [
    # no answer at all
    Fault("refuse", BOTH, ("connect", "connect"), FAILED, "next", "opens"),
    Fault("silent", BOTH, ("timeout of connect", "timeout of connect"), FAILED, "next", "opens"),
    Fault("reset", BOTH, ("connect", "connect"), FAILED, "next", "opens"),
    Fault("close", BOTH, ("connect", "connect"), FAILED, "next", "opens"),
    Fault("cut-headers", BOTH, ("connect", "connect"), FAILED, "next", "opens"),
    # silence, and less than an answer
    Fault("hang", UNARY, ("timeout of total",), TOO_LATE, "next", "opens"),
    Fault("hang", STREAM, ("timeout of first_token",), FAILED, "next", "opens"),
    Fault("hang-after-headers", UNARY, ("timeout of total",), TOO_LATE, "next", "opens"),
    Fault("hang-after-headers", STREAM, ("timeout of first_token",), FAILED, "next", "opens"),
    Fault("stall", UNARY, ("timeout of total",), TOO_LATE, "next", "opens"),
    Fault("stall", STREAM, ("timeout of idle",), BROKEN, "same", "opens"),
    Fault("trickle", UNARY, ("timeout of total",), TOO_LATE, "next", "opens"),
    Fault("trickle", STREAM, ("timeout of total",), BROKEN_TOO_LATE, "same", "opens"),
    Fault("ok-n6-p50", STREAM, (), ANSWERED, "same", "well"),
    Fault("cut", UNARY, ("stream_broken",), FAILED, "next", "opens"),
    Fault("cut", STREAM, ("stream_broken",), BROKEN, "same", "opens"),
    Fault("reset-mid-stream", STREAM, ("stream_broken",), BROKEN, "same", "opens"),
    Fault("no-finish", UNARY, ("bad_response",), FAILED, "next", "opens"),
    Fault("no-finish", STREAM, ("stream_broken",), BROKEN, "same", "opens"),
    Fault("empty-stream", STREAM, ("stream_broken",), FAILED, "next", "opens"),
    # answers that cannot be read
    Fault("garbage", UNARY, ("bad_response",), FAILED, "next", "opens"),
    Fault("garbage", STREAM, ("bad_response",), BROKEN, "same", "opens"),
    Fault("html", BOTH, ("bad_response",), FAILED, "next", "opens"),
    Fault("not-http", BOTH, ("bad_response",), FAILED, "next", "opens"),
    Fault("oversize", BOTH, ("bad_response",), FAILED, "next", "opens"),
    Fault("bad-utf8", UNARY, ("bad_response",), FAILED, "next", "opens"),
    Fault("bad-utf8", STREAM, ("bad_response",), BROKEN, "same", "opens"),
    Fault("error-in-stream", UNARY, ("server_error", "server_error"), FAILED, "next", "opens"),
    Fault("error-in-stream", STREAM, ("server_error",), BROKEN, "same", "opens"),
    # refusals
    Fault("429", BOTH, ("rate_limited",), LIMITED, "next", "held"),
    Fault("429-8-seconds", BOTH, ("rate_limited",), LIMITED, "next", "held"),
    Fault("429-7500-ms", BOTH, ("rate_limited",), LIMITED, "next", "held"),
    Fault("429-date", BOTH, ("rate_limited",), LIMITED, "next", "held"),
    Fault("429-soon-once", BOTH, ("rate_limited",), ANSWERED, "same", "well"),
    Fault("500-once", BOTH, ("server_error",), ANSWERED, "same", "well"),
    Fault("500", BOTH, ("server_error", "server_error"), FAILED, "next", "opens"),
    Fault("503", BOTH, ("overloaded", "overloaded"), "503 overloaded", "next", "opens"),
    Fault("refused-key", BOTH, ("auth",), FAILED, "next", "opens at once"),
    Fault("not-allowed", BOTH, ("auth",), FAILED, "next", "held"),
    Fault("404", BOTH, ("invalid_request",), FAILED, "next", "well"),
    Fault("422", BOTH, ("invalid_request",), "400 invalid_request", "same", "well"),
    Fault("filtered", BOTH, ("content_filter",), "400 content_filter", "same", "well"),
    Fault("context-exceeded", BOTH, ("context_exceeded",), "400 context_length_exceeded", "next", "well"),
]

LINES = [(fault, mode) for fault in FAULTS for mode in fault.modes]
CASES = [pytest.param(fault, mode, id=f"{fault.behaviour}-{mode}") for fault, mode in LINES]
EVERY_FAULT = pytest.mark.parametrize(("fault", "mode"), CASES)


@dataclass
class World:
    """A daemon, the upstreams behind it, and what a test asks of them."""

    daemon: Daemon
    client: httpx2.Client
    upstream: Upstream
    refusing: Mapping[str, Upstream]
    _played: dict[tuple["Play", Fault, str], Future[None]] = field(default_factory=dict)

    def begin(self, play: "Play", fault: Fault, mode: str, players: ThreadPoolExecutor) -> None:
        """Have a line played."""
        self._played[play, fault, mode] = players.submit(play, self, fault, mode)

    def see(self, play: "Play", fault: Fault, mode: str) -> None:
        """How a line went in a play."""
        self._played[play, fault, mode].result()

    def see_the_end(self) -> None:
        """Wait until everything has been played, well or not."""
        wait_for(self._played.values())

    def ask(self, model: str, mode: str) -> "Told":
        """One request, which must not keep its client waiting past its time."""
        body = {"model": model, "stream": mode == "stream", "messages": [{"role": "user", "content": "hello"}]}
        is_large = "oversize" in model
        with LARGE if is_large else nullcontext():
            began = time.monotonic()
            answer = self.client.post("/v1/chat/completions", json=body)
            assert time.monotonic() - began < (MUCH_S if is_large else TOTAL_S) + GRACE_S
        return Told(answer, self._get(f"/v1/receipts/{answer.headers['x-wardwright-receipt-id']}"))

    def calls(self, name: str) -> int:
        """How many calls this provider was given."""
        return sum(call.model == name for call in self.upstream.calls)

    def health(self, name: str) -> dict[str, Any]:
        """What operators are shown of this provider."""
        state: dict[str, Any] = self._get(f"/admin/runtime/actors/wardwright/providers/{name}")["state"]
        return state

    def heal(self, fault: Fault, mode: str) -> None:
        """End a fault."""
        if fault.behaviour == "refuse":
            self.refusing[mode].listen()
        for upstream in (self.upstream, *self.refusing.values()):
            upstream.heal(provider_of(fault, mode, "left"))

    def _get(self, path: str) -> dict[str, Any]:
        answer = self.client.get(path)
        assert answer.status_code == 200, (answer.text, self._errors())
        found: dict[str, Any] = answer.json()
        return found

    def _errors(self) -> list[dict[str, Any]]:
        return [line for line in self.daemon.log if line.get("level") == "error"]


@dataclass
class Told:
    """An answer, and the receipt of its request."""

    answer: httpx2.Response
    receipt: dict[str, Any]

    @property
    def words(self) -> str:
        """What the client was told, in the words of the matrix."""
        if self.answer.status_code != 200:
            return f"{self.answer.status_code} {self.answer.json()['error']['code']}"
        if not self.answer.headers["content-type"].startswith("text/event-stream"):
            return ANSWERED if self.answer.json()["choices"][0]["finish_reason"] == "stop" else "200, cut"
        seen = Seen()
        note_lines(self.answer.text.splitlines(), seen)
        assert seen.is_well_formed, "a whole answer, or exactly one error, and never a silently cut answer"
        return ANSWERED if seen.error is None else f"200, then {seen.error['code']}"

    @property
    def failures(self) -> list[str]:
        """How each failed attempt failed, in the words of the matrix."""
        failures = [attempt["failure"] for attempt in self.receipt["attempts"] if attempt["status"] == "failed"]
        return [f["failure_class"] + (f" of {f['clock']}" if "clock" in f else "") for f in failures]

    @property
    def kept_away(self) -> set[str]:
        """Why targets were left out of the plan for their health, or passed over."""
        left_out = {skip["reason"] for skip in self.receipt["decision"]["skipped"]}
        return left_out | {passed["reason"] for passed in self.receipt.get("passed_over", ())}


def provider_of(fault: Fault, mode: str, play: str) -> str:
    """The id of the provider, and what the upstream is asked for, so that it knows how to behave."""
    return f"{fault.behaviour}@{mode}.{play}"


def clocks(fault: Fault) -> str:
    """The times of a provider; 64 MB, which are one event or one answer, need more than the others have."""
    first_token, idle, total = (
        (MUCH_S, MUCH_S, MUCH_S) if fault.behaviour == "oversize" else (FIRST_TOKEN_S, IDLE_S, TOTAL_S)
    )
    return f"{{ connect = {CONNECT_S}, first_token = {first_token}, idle = {idle}, total = {total} }}"


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, World]]:
    """A world for each event loop, in which everything has begun."""
    with ExitStack() as running:
        worlds = {each: running.enter_context(a_world(tmp_path_factory.mktemp("faults"), each)) for each in BACKENDS}
        players = running.enter_context(ThreadPoolExecutor(AT_A_TIME))
        running.callback(players.shutdown, cancel_futures=True)
        for play in PLAYS:
            for line in LINES:
                for each in worlds.values():
                    each.begin(play, *line, players)
        yield worlds


@pytest.fixture(scope="module")
def world(worlds: Mapping[str, World], backend: str) -> World:
    return worlds[backend]


@contextmanager
def a_world(folder: Path, backend: str) -> Iterator[World]:
    with ExitStack() as running:
        upstream = running.enter_context(Upstream())
        refusing = {mode: running.enter_context(Upstream(listening=False)) for mode in BOTH}
        silent = running.enter_context(silent_url())
        urls = {f"refuse@{mode}": refusing[mode].url for mode in BOTH} | {f"silent@{mode}": silent for mode in BOTH}
        config = configuration(backend, upstream.url, urls)
        daemon = running.enter_context(run_daemon(folder, config))
        client = running.enter_context(daemon.client(timeout=MUCH_S + GRACE_S))
        yield World(daemon, client, upstream, refusing)


def configuration(backend: str, url: str, urls: Mapping[str, str]) -> str:
    """A provider and a model per play of each line; `<name>+` is the same with a second target, which is well."""
    tables = [
        f"""
[runtime]
backend = "{backend}"
[[providers]]
id = "well"
kind = "openai-compatible"
base_url = "{url}"
[[targets]]
id = "well/ok"
provider = "well"
context_window = 16384
"""
    ]
    for fault in FAULTS:
        for name in (provider_of(fault, mode, play) for mode in fault.modes for play in ("alone", "first", "left")):
            tables.append(
                f"""
[[providers]]
id = "{name}"
kind = "openai-compatible"
base_url = "{urls.get(name.partition(".")[0], url)}"
max_concurrency = 2
timeouts = {clocks(fault)}
retry = {{ attempts = 2, base_ms = 1, max_ms = 2, max_wait_ms = 100 }}
breaker = {{ failures = 2, window_s = 30, open_s = {OPEN_S} }}
[[targets]]
id = "{name}/m"
provider = "{name}"
upstream_model = "{name}"
context_window = 8192
[[models]]
id = "{name}"
[[models.cascades]]
id = "alone"
models = ["{name}/m"]
[[models]]
id = "{name}+"
[[models.cascades]]
id = "with-another"
models = ["{name}/m", "well/ok"]
"""
            )
    return "".join(tables)


def play_with_nobody_else_to_ask(world: World, fault: Fault, mode: str) -> None:
    name = provider_of(fault, mode, "alone")
    told = world.ask(name, mode)

    assert told.words == fault.told
    assert told.failures == list(fault.attempts)
    made = len(told.receipt["attempts"])
    assert made == len(fault.attempts) + (fault.told == ANSWERED)
    assert int(told.answer.headers["x-wardwright-attempts"]) == made
    if fault.behaviour not in ("refuse", "silent"):
        assert world.calls(name) == made
    final = told.receipt["final"]
    assert final["attempts"] == made
    expected = (
        "completed" if fault.told == ANSWERED else "deadline_exceeded" if "deadline" in told.words else "provider_error"
    )
    assert (final["status"], final["released"]) == (expected, told.words.startswith("200"))
    health = world.health(name)
    assert (health["error_count"], health["completed_count"]) == (len(fault.attempts), made - len(fault.attempts))
    if fault.attempts:
        assert health["last_failure"]["failure_class"] == fault.attempts[-1].split()[0]


def play_with_a_second_target_behind(world: World, fault: Fault, mode: str) -> None:
    name = provider_of(fault, mode, "first")
    told = world.ask(f"{name}+", mode)

    assert told.failures == list(fault.attempts)
    if fault.with_another == "next":
        assert told.words == ANSWERED
        assert answer_text().split()[0] in told.answer.text
        assert told.answer.headers["x-wardwright-selected-model"] == "well/ok"
        assert told.receipt["attempts"][-1]["status"] == "completed"
        assert told.receipt["final"]["status"] == "completed"
    else:
        assert told.words == fault.told
        assert {attempt["model"] for attempt in told.receipt["attempts"]} == {f"{name}/m"}


def play_until_it_is_left_alone(world: World, fault: Fault, mode: str) -> None:
    hold_s = UNSTATED_HOLD_S if fault.behaviour == "429" else OPEN_S
    for _ in range(10):
        began = time.monotonic()
        try:
            is_left_alone(world, fault, mode)
        except AssertionError:
            if time.monotonic() - began < hold_s:
                raise
        else:
            return
    pytest.fail("this machine is too slow to look before a hold is over")


def is_left_alone(world: World, fault: Fault, mode: str) -> None:
    name = provider_of(fault, mode, "left")
    for _ in range(2 if fault.health == "opens" else 1):
        if world.health(name)["breaker"]["state"] != "open":
            world.ask(name, mode)

    health = world.health(name)
    assert health["breaker"]["state"] == ("open" if fault.health.startswith("opens") else "closed")
    if fault.health == "well":
        assert health["targets"][0]["on_hold"] is None
        assert world.ask(name, mode).kept_away == set()
        return
    assert health["health"] == "degraded"
    reason = "rate_limited" if "429" in fault.behaviour else "breaker_open"
    if fault.health == "held":
        assert health["targets"][0]["on_hold"]["reason"] == reason

    calls = world.calls(name)
    told = world.ask(name, mode)
    assert told.words == (LIMITED if reason == "rate_limited" else "503 no_target_available")
    assert int(told.answer.headers["retry-after"]) >= 1
    assert (told.kept_away, told.receipt["attempts"]) == ({reason}, [])
    told = world.ask(f"{name}+", mode)
    assert told.words == ANSWERED
    assert told.answer.headers["x-wardwright-selected-model"] == "well/ok"
    assert told.kept_away == {reason}
    assert len(told.receipt["attempts"]) == 1
    assert world.calls(name) == calls, "while it is left alone it is given no call"


def play_until_it_is_in_use_again(world: World, fault: Fault, mode: str) -> None:
    if fault.behaviour == "silent":
        pytest.skip("nothing can make that socket answer")
    world.see(play_until_it_is_left_alone, fault, mode)
    name = provider_of(fault, mode, "left")
    world.heal(fault, mode)
    if fault.behaviour == "429-date":
        assert 10 < world.health(name)["targets"][0]["on_hold"]["for_s"] <= 30
        return  # and nobody waits that long here
    give_up = time.monotonic() + OPEN_S + GRACE_S
    while (told := world.ask(name, mode)).words != ANSWERED:
        assert time.monotonic() < give_up, world.health(name)
        time.sleep(int(told.answer.headers.get("retry-after", 1)))  # as whoever was told so would
    health = world.health(name)
    assert (health["health"], health["breaker"]["state"]) == ("healthy", "closed")
    assert health["targets"][0]["on_hold"] is None


Play = Callable[[World, Fault, str], None]
PLAYS: tuple[Play, ...] = (
    play_with_nobody_else_to_ask,
    play_with_a_second_target_behind,
    play_until_it_is_left_alone,
    play_until_it_is_in_use_again,
)


@EVERY_FAULT
def test_with_nobody_else_to_ask(world: World, fault: Fault, mode: str) -> None:
    world.see(play_with_nobody_else_to_ask, fault, mode)


@EVERY_FAULT
def test_with_a_second_target_behind(world: World, fault: Fault, mode: str) -> None:
    world.see(play_with_a_second_target_behind, fault, mode)


@EVERY_FAULT
def test_it_is_left_alone_when_that_is_better(world: World, fault: Fault, mode: str) -> None:
    world.see(play_until_it_is_left_alone, fault, mode)


@EVERY_FAULT
def test_when_the_fault_ends_it_is_in_use_again(world: World, fault: Fault, mode: str) -> None:
    world.see(play_until_it_is_in_use_again, fault, mode)


def test_in_the_end_nothing_is_left_of_any_of_it(world: World) -> None:
    world.see_the_end()
    for provider in world.client.get("/admin/providers").json()["data"]:
        permits = provider["permits"]
        assert (permits["in_use"], permits["waiting"], provider["live_attempts"]) == (0, 0, 0), provider
    metrics = world.client.get("/metrics").text
    assert 'wardwright_permits_in_use{provider="well"} 0.0' in metrics
    assert "wardwright_live_runs 0.0" in metrics
    assert not [line for line in world.daemon.log if line.get("level") == "error"], (
        "no fault of a provider is a bug of ours"
    )
