"""A model server under supervision: a few lines of Python as the child process, by the wall clock."""

import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest

from supervisors import ActorRef, Call, ChildSpec, CrashReport, Supervisor, System, UnexpectedRequest
from supervisors.testing import EventLog
from wardwright.domain.errors import ProviderError
from wardwright.ports.server import ServerSpec
from wardwright.runtime.server_process import ServerMemory, ServerProcess, SupervisedServer

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

# A server as small as it can be: it answers every connection with 200 once `ready_after` seconds have passed, with 503 before.
SERVER = """
import socket, sys, time
port, ready_after = int(sys.argv[1]), float(sys.argv[2])
began = time.monotonic()
listener = socket.create_server(("127.0.0.1", port))
while True:
    connection, _ = listener.accept()
    connection.recv(4096)
    status = b"200 OK" if time.monotonic() - began >= ready_after else b"503 Loading"
    connection.sendall(b"HTTP/1.0 " + status + b"\\r\\n\\r\\n")
    connection.close()
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVER
PATH = "test/server"


def server(*, ready_after: float = 0.0, script: str = SERVER, ready_timeout_s: float = 60.0) -> ServerSpec:
    def command(port: int) -> list[str]:
        return [sys.executable, "-S", "-c", script, str(port), str(ready_after)]

    return ServerSpec("small", command, "/health", ready_timeout_s=ready_timeout_s)


class Running:
    """A system with one server actor."""

    def __init__(self, system: System, spec: ServerSpec, events: EventLog) -> None:
        self.system = system
        self.events = events
        self.handle = SupervisedServer(system.named(PATH), spec)

    @property
    def actor(self) -> ActorRef:
        ref = self.system.whereis(PATH)
        assert ref is not None
        return ref

    @property
    def pid(self) -> int:
        pid = self.actor.info().details["pid"]
        assert isinstance(pid, int)
        return pid

    def shows(self, **facts: object) -> bool:
        """Whether an incarnation is there that shows these facts."""
        ref = self.system.whereis(PATH)
        return ref is not None and facts.items() <= ref.info().details.items()

    def crashes(self) -> list[str]:
        return [str(report.reason) for report in self.events.of(CrashReport)]


@asynccontextmanager
async def running(spec: ServerSpec) -> AsyncIterator[Running]:
    events = EventLog()
    children = [ChildSpec("server", partial(ServerProcess, spec, ServerMemory()), shutdown=10.0)]
    async with System("test", Supervisor(children), on_event=events) as system:
        yield Running(system, spec, events)


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not condition():  # noqa: ASYNC110 - processes set no events
            await anyio.sleep(0.005)


def is_alive(pid: int) -> bool:
    """Whether a process of this id runs; one that was not waited for counts as running."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_the_server_starts_when_it_is_first_needed_and_is_then_shared() -> None:
    async with running(server(ready_after=0.1)) as small:
        assert small.shows(state="not started")
        urls: list[str] = []

        async def ask() -> None:
            urls.append(await small.handle.base_url())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            tasks.start_soon(ask)
        urls.append(await small.handle.base_url())

        assert len(urls) == 3
        assert len(set(urls)) == 1
        assert urls[0].startswith("http://127.0.0.1:")
        assert small.actor.info().details["starts"] == 1
        assert small.shows(state="serving")


async def test_an_orderly_stop_ends_the_process_and_reports_no_crash() -> None:
    async with running(server()) as small:
        await small.handle.base_url()
        pid = small.pid

    assert not is_alive(pid)
    assert small.crashes() == []


async def test_a_kill_ends_the_process_too_and_the_next_incarnation_serves_again() -> None:
    async with running(server()) as small:
        url = await small.handle.base_url()
        pid = small.pid
        small.actor.kill()
        again = await small.handle.base_url()

        assert not is_alive(pid)
        assert again != url
        assert small.shows(state="serving")


async def test_a_serving_server_that_dies_crashes_its_actor_and_comes_back_unasked() -> None:
    async with running(server()) as small:
        await small.handle.base_url()
        pid = small.pid
        os.kill(pid, signal.SIGKILL)
        await until(lambda: small.shows(state="serving") and small.pid != pid)

        assert small.crashes() == ["crashed: ServerExited: the server of 'small' was killed by SIGKILL"]


async def test_one_that_comes_back_broken_is_not_started_again_unasked(tmp_path: Path) -> None:
    served = tmp_path / "served"
    once = (
        f"import os, sys\nif os.path.exists({str(served)!r}): sys.exit(3)\nopen({str(served)!r}, 'w').close()\n"
        + SERVER
    )
    async with running(server(script=once)) as small:
        await small.handle.base_url()
        os.kill(small.pid, signal.SIGKILL)
        await until(lambda: small.shows(state="not started", starts=1) and bool(small.crashes()))
        small.actor.kill()
        await until(lambda: small.shows(pid=None))

        assert small.shows(state="not started", starts=0)


async def test_a_server_that_dies_before_it_is_ready_fails_those_who_wait_and_nothing_else() -> None:
    async with running(server(script="import sys; sys.exit(3)")) as small:
        actor = small.actor
        with pytest.raises(ProviderError, match="exited with 3 before it was ready") as caught:
            await small.handle.base_url()

        assert caught.value.failure.failure_class == "connect"
        assert small.actor == actor
        assert small.crashes() == []
        with pytest.raises(ProviderError, match="exited with 3"):
            await small.handle.base_url()
        assert actor.info().details["starts"] == 2, "a later request tries again"


async def test_a_server_that_does_not_get_ready_in_time_is_ended_and_fails_those_who_wait() -> None:
    async with running(server(ready_after=60, ready_timeout_s=0.3)) as small:
        with pytest.raises(ProviderError, match=r"not ready within 0\.3 seconds") as caught:
            await small.handle.base_url()
        pid = small.pid
        await until(lambda: small.shows(state="not started") and not is_alive(pid))

        assert caught.value.failure.failure_class == "connect"
        assert small.crashes() == []


async def test_a_command_that_cannot_be_run_fails_those_who_wait() -> None:
    missing = ServerSpec("small", lambda port: ["/does/not/exist", str(port)], "/health")
    async with running(missing) as small:
        for _ in range(2):
            with pytest.raises(ProviderError, match="cannot start the server of 'small'") as caught:
                await small.handle.base_url()
            assert caught.value.failure.failure_class == "connect"
        assert small.shows(state="not started")
        assert small.crashes() == []


async def test_those_who_wait_while_the_actor_is_killed_may_try_again() -> None:
    async with running(server(ready_after=60)) as small:
        told: list[ProviderError] = []

        async def ask() -> None:
            with pytest.raises(ProviderError, match="did not come up") as caught:
                await small.handle.base_url()
            told.append(caught.value)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await until(lambda: small.shows(state="starting", waiting=1) and not small.shows(pid=None))
            small.actor.kill()

        assert [error.failure.failure_class for error in told] == ["connect"]
        await until(lambda: small.shows(state="not started"))  # nobody was served yet, so nobody misses it


async def test_an_unanswered_wait_is_a_failure_to_connect() -> None:
    stuck = server(ready_after=60, ready_timeout_s=30)
    async with running(stuck) as small:
        hasty = SupervisedServer(small.system.named(PATH), server(ready_timeout_s=-0.8))
        with pytest.raises(ProviderError, match="did not come up") as caught:
            await hasty.base_url()

        assert caught.value.failure.failure_class == "connect"


async def test_a_server_has_what_it_needs_of_the_daemons_environment_and_none_of_its_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARDWRIGHT_ADMIN_TOKEN", "s3cret")
    monkeypatch.setenv("OPENAI_API_KEY", "s3cret")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    seen = tmp_path / "seen.json"
    script = f"import json, os; json.dump(dict(os.environ), open({str(seen)!r}, 'w'))"
    spec = ServerSpec(
        "small", lambda port: [sys.executable, "-S", "-c", script], "/health", environment={"FOR_THE_SERVER": "yes"}
    )
    async with running(spec) as small:
        with pytest.raises(ProviderError):
            await small.handle.base_url()

    environment = json.loads(seen.read_text())
    assert environment.items() >= {"FOR_THE_SERVER": "yes", "PATH": os.environ["PATH"], "OMP_NUM_THREADS": "2"}.items()
    assert "s3cret" not in environment.values()


async def test_a_server_that_ignores_the_request_to_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardwright.runtime.server_process._STOP_GRACE_S", 0.1)
    async with running(server(script=STUBBORN)) as small:
        await small.handle.base_url()
        pid = small.pid

    assert not is_alive(pid)
    assert small.crashes() == []


async def test_what_it_does_not_know_does_not_disturb_the_server() -> None:
    class Odd(Call[str]):
        pass

    async with running(server()) as small:
        url = await small.handle.base_url()
        small.actor.cast("what is this?")
        with pytest.raises(UnexpectedRequest):
            await small.actor.call(Odd())
        assert await small.handle.base_url() == url
