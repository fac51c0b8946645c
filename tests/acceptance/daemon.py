"""A real daemon in a process of its own, as a user would start it, on a port of its own choosing."""

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

READY_WITHIN_S = 90.0
_NO_TLS = ssl.SSLContext(
    ssl.PROTOCOL_TLS_CLIENT
)  # a client's default one loads every certificate of the system, each time


@dataclass
class Daemon:
    """A running daemon: its URL, its process, what it has logged so far."""

    process: subprocess.Popen[str]
    folder: Path
    url: str = ""
    log: list[dict[str, Any]] = field(default_factory=list)
    raw_log: list[str] = field(default_factory=list)
    _ready: threading.Event = field(default_factory=threading.Event)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def client(self, timeout: float = 90.0) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, timeout=timeout, verify=_NO_TLS, trust_env=False)

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON of a GET that must succeed."""
        with self.client() as client:
            answer = client.get(path, params=parameters)
            assert answer.status_code == 200, answer.text
            return answer.json()

    def chat(self, **fields: Any) -> httpx2.Response:
        """One unary chat call, whatever comes of it."""
        body = {"model": "test-model", "messages": [{"role": "user", "content": "hello"}], **fields}
        with self.client() as client:
            return client.post("/v1/chat/completions", json=body)

    def receipts(self, **filters: Any) -> list[dict[str, Any]]:
        data: list[dict[str, Any]] = self.get("/v1/receipts", **filters)["data"]
        return data

    def receipt(self, receipt_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/v1/receipts/{receipt_id}")
        return found

    def actors(self) -> dict[str, dict[str, Any]]:
        """Every member of the tree by path."""
        found: dict[str, dict[str, Any]] = {}

        def take(node: dict[str, Any]) -> None:
            found[node["path"]] = node
            for child in node["children"]:
                take(child)

        take(self.get("/admin/runtime")["tree"])
        return found

    def kill_actor(self, path: str) -> None:
        with self.client() as client:
            answer = client.post(f"/admin/runtime/actors/{path}/kill")
            assert answer.status_code == 202, answer.text

    def stop(self, sign: signal.Signals = signal.SIGTERM, within: float = 60.0) -> int:
        """Signal the daemon and wait for its end."""
        if self.process.poll() is None:
            self.process.send_signal(sign)
        return self.process.wait(within)

    def wait_logged(self, event: str, within: float = 60.0) -> None:
        """Wait until the daemon has logged an event."""
        with self._changed:
            assert self._changed.wait_for(lambda: any(line.get("event") == event for line in self.log), within), event

    def wait_ready(self) -> None:
        if not self._ready.wait(READY_WITHIN_S) or not self.url:
            self.process.kill()
            raise AssertionError("the daemon did not become ready:\n" + "".join(self.raw_log))

    def read_log(self) -> None:
        """Collect the log until the process closes it (run in a thread of its own)."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.raw_log.append(line)
            try:
                event = json.loads(line)
            except ValueError:
                continue
            with self._changed:
                self.log.append(event)
                self._changed.notify_all()
            if event.get("event") == "ready":
                self.url = event["url"]
                self._ready.set()
        self._ready.set()


@contextmanager
def run_daemon(
    folder: Path,
    config: str,
    *,
    environment: Mapping[str, str] | None = None,
    program: str = "wardwright.cli.main",
) -> Iterator[Daemon]:
    """Start a daemon on `config` with its data below `folder`; on leaving it is stopped and must have stopped cleanly."""
    process = start_process(folder, config, environment=environment, program=program)
    daemon = Daemon(process, folder)
    reader = threading.Thread(target=daemon.read_log, daemon=True)
    reader.start()
    try:
        daemon.wait_ready()
        yield daemon
    finally:
        try:
            daemon.stop()
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError("the daemon did not stop in time:\n" + "".join(daemon.raw_log)) from None
        finally:
            reader.join(60)
            assert process.stderr is not None
            process.stderr.close()


def start_process(
    folder: Path,
    config: str,
    *,
    environment: Mapping[str, str] | None = None,
    program: str = "wardwright.cli.main",
) -> "subprocess.Popen[str]":
    """Begin to start a daemon on `config` with its data below `folder`. What it logs is to be read by whoever starts it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "wardwright.toml"
    file.write_text(config, encoding="utf-8")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WARDWRIGHT_")}
    return subprocess.Popen(
        [sys.executable, "-m", program, "serve", "--config", str(file), "--log-format", "json"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={
            **inherited,
            "WARDWRIGHT_BIND": "127.0.0.1:0",
            "WARDWRIGHT_DATA_DIR": str(folder / "data"),
            **(environment or {}),
        },
    )
