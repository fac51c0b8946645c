"""The life and death of the model server's process."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.llama import LlamaServer, free_port, wait_until_ready
from tests.support.waiting import wait_until
from wardwright.providers.llama_cpp import server_command

pytestmark = pytest.mark.slow

MODULE = "wardwright.providers.llama_server"


@pytest.fixture
def server(weights: Path) -> Iterator[LlamaServer]:
    with LlamaServer(weights) as running:
        yield running


def process_of(server: LlamaServer) -> subprocess.Popen[bytes]:
    assert server.process is not None
    return server.process


def is_alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def ends_within(seconds: float, pid: int) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not is_alive(pid):
            return True
        time.sleep(0.02)
    return False


def test_it_answers_on_loopback_and_says_nothing_unless_something_is_wrong(server: LlamaServer) -> None:
    url = server.start()
    body = json.dumps({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}).encode()
    request = urllib.request.Request(f"{url}/v1/chat/completions", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = json.load(response)
    process_of(server).terminate()
    _, complaints = process_of(server).communicate(timeout=60)

    assert answer["usage"]["completion_tokens"] == 2
    assert complaints == b""


def test_pages_of_other_sites_are_not_let_in(server: LlamaServer) -> None:
    request = urllib.request.Request(f"{server.start()}/health", headers={"Origin": "http://elsewhere.example"})

    with urllib.request.urlopen(request, timeout=60) as response:
        allowed = response.headers.get("access-control-allow-origin", "")

    assert allowed not in ("*", "http://elsewhere.example")


def test_sigterm_ends_it_at_once(server: LlamaServer) -> None:
    server.start()
    process_of(server).terminate()

    assert process_of(server).wait(60) == -signal.SIGTERM


def test_sigterm_ends_it_while_it_loads(weights: Path) -> None:
    command = server_command("llama", weights, context_window=8192, threads=1).command(free_port())
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        maps = Path(f"/proc/{process.pid}/maps")
        wait_until(lambda: str(weights) in maps.read_text(), "the weights are not being loaded")
        process.terminate()

        assert process.wait(60) == -signal.SIGTERM


def test_ctrl_c_is_left_to_the_daemon(server: LlamaServer) -> None:
    url = server.start()
    process_of(server).send_signal(signal.SIGINT)

    with urllib.request.urlopen(f"{url}/health", timeout=60) as response:
        assert response.status == 200
    assert process_of(server).poll() is None


def test_it_ends_with_its_parent(weights: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", MODULE, "--model", str(weights), "--port", str(port), "--ctx", "512"]
    parent = (
        "import os, subprocess, sys, time\n"
        f"child = subprocess.Popen([*{command!r}, '--parent', str(os.getpid())])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        wait_until_ready(f"http://127.0.0.1:{port}/health", 30)
        process.kill()

    assert ends_within(60, child)


def test_it_does_not_start_for_a_parent_that_is_gone_already(weights: Path) -> None:
    command = [sys.executable, "-m", MODULE, "--model", str(weights), "--port", str(free_port()), "--ctx", "512"]

    done = subprocess.run([*command, "--parent", "999999999"], capture_output=True, check=False, timeout=60)

    assert (done.returncode, done.stderr) == (0, b"")


def test_it_outlives_the_thread_that_started_it(server: LlamaServer) -> None:
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()

    # The kernel has told it by now, and its own question would be asked within half a second.
    with pytest.raises(subprocess.TimeoutExpired):
        process_of(server).wait(0.7)


def test_a_missing_model_file_is_said_in_one_line(tmp_path: Path) -> None:
    done = run_module("--model", str(tmp_path / "none.gguf"))

    assert done.returncode == 1
    assert done.stderr.decode() == f"no model file at {tmp_path / 'none.gguf'}\n"


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"not a model at all")

    done = run_module("--model", str(bad))

    assert done.returncode == 1
    # Not a line of its own for sure: llama.cpp writes its reasons on a thread of its own, in pieces.
    assert "llama.cpp could not serve bad.gguf" in done.stderr.decode()


def test_a_missing_xllamacpp_is_said_in_one_line(weights: Path) -> None:
    code = f"import runpy, sys; sys.modules['xllamacpp'] = None; runpy.run_module({MODULE!r}, run_name='__main__')"
    options = ["--port", str(free_port()), "--ctx", "512", "--parent", str(os.getpid()), "--model", str(weights)]

    done = subprocess.run([sys.executable, "-c", code, *options], capture_output=True, check=False, timeout=60)

    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == [
        "xllamacpp is not installed: a llama-cpp provider needs it (pip install 'wardwright[local]')"
    ]


def run_module(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    options = ["--port", str(free_port()), "--ctx", "512", "--parent", str(os.getpid())]
    return subprocess.run(
        [sys.executable, "-m", MODULE, *options, *arguments], capture_output=True, check=False, timeout=60
    )
