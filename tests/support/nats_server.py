"""A real NATS server with JetStream, on loopback, in a process of its own that can be killed and started again where it was."""

import asyncio
import json
import os
import signal
import subprocess
import sysconfig
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import nats
from nats.aio.client import Client

T = TypeVar("T")

_BINARY = Path(sysconfig.get_path("scripts")) / "nats-server"


class NatsServer:
    """Its files stay in a folder, its port is the one that it had at first.

    It asks for a token, if one is given; `settings` are more lines of its configuration. With `jetstream` it keeps streams.
    """

    def __init__(self, folder: Path, token: str | None = None, *, settings: str = "", jetstream: bool = True) -> None:
        self._folder = folder
        self._token = token
        self._settings = settings
        self._jetstream = jetstream
        self._port = -1  # any
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._port}"

    @property
    def tls_url(self) -> str:
        return f"tls://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        ports, log = self._folder / "ports", self._folder / "log"
        ports.mkdir(exist_ok=True)
        configuration = self._folder / "server.conf"
        configuration.write_text(self._settings)
        options = ["-c", str(configuration), "-a", "127.0.0.1", "-p", str(self._port), "--ports_file_dir", str(ports)]
        if self._token is not None:
            options += ["--auth", self._token]
        if self._jetstream:
            options += ["-js", "-sd", str(self._folder / "store")]
        with log.open("ab") as out:
            self._process = subprocess.Popen([_BINARY, *options], stdout=out, stderr=out)
        self._port = self._wait_for_port(ports / f"nats-server_{self._process.pid}.ports", log)

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Have the server do nothing at all until the block ends. A signal is not enough: its threads go on for a moment."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            os.waitid(os.P_PID, self.pid, os.WSTOPPED)
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def ask(self, question: Callable[[Client], Awaitable[T]]) -> T:
        """Ask the server something with a client of its own."""

        async def asking() -> T:
            client = await nats.connect(self.url, token=self._token, allow_reconnect=False)
            try:
                return await question(client)
            finally:
                await client.close()

        with asyncio.Runner() as runner:
            return runner.run(asking())

    def _wait_for_port(self, told: Path, log: Path) -> int:
        process = self._process
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process is not None and process.poll() is None:
            try:
                return int(json.loads(told.read_bytes())["nats"][0].rpartition(":")[2])
            except (FileNotFoundError, json.JSONDecodeError):
                time.sleep(0.01)
        self.kill()
        raise AssertionError(f"the server did not start: {log.read_text()}")
