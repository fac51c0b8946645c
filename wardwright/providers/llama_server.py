"""The child process behind a `llama-cpp` provider: llama.cpp's own HTTP server, from the `xllamacpp` wheel.

    python -m wardwright.providers.llama_server --model PATH --port N --ctx N [--threads N] --parent PID

Its life is its parent's. It ends

* by SIGTERM at once, the loading of a model included: no Python handler stands in the way, and there is no state to save;
* when its parent is gone, told by the kernel where there is a way (Linux) and seen by asking otherwise.

SIGINT is ignored: Ctrl-C reaches the whole foreground group, and the daemon that drains its streams still needs this server.
"""

import argparse
import ctypes
import importlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

_ASK_EVERY_S = 0.5
_PROMPT_CACHE_MIB = 256
_PR_SET_PDEATHSIG = 1
_LOG_ERRORS_ONLY = 1


def main() -> None:
    """Serve until told to stop or orphaned."""
    arguments = _parse_arguments()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _follow_parent(arguments.parent)
    _server = _serve(arguments)  # serves on threads of its own for as long as it is referred to
    while True:
        _leave_if_orphaned(arguments.parent)
        time.sleep(_ASK_EVERY_S)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="wardwright.providers.llama_server", description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="a GGUF file")
    parser.add_argument("--port", type=int, required=True, help="the port to listen on, on loopback only")
    parser.add_argument("--ctx", type=int, required=True, help="context window in tokens")
    parser.add_argument(
        "--threads", type=int, default=-1, help="threads for computing; llama.cpp's own choice by default"
    )
    parser.add_argument("--parent", type=int, required=True, help="the process whose end ends this one")
    return parser.parse_args()


def _follow_parent(parent: int) -> None:
    """Have the kernel tell when the parent dies.

    The kernel's word is about the parent's *thread* that started us, and some runtimes start processes from short-lived worker
    threads. So the signal is only a reason to look who our parent is now.
    """
    signal.signal(signal.SIGUSR1, lambda *_: _leave_if_orphaned(parent))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGUSR1)
    _leave_if_orphaned(parent)


def _leave_if_orphaned(parent: int) -> None:
    if os.getppid() != parent:
        # Not sys.exit: the server's threads may be in the middle of an answer that nobody will read.
        os._exit(0)


def _serve(arguments: argparse.Namespace) -> object:
    """Load the model and listen; returns the running server."""
    try:
        xllamacpp = importlib.import_module("xllamacpp")  # an optional dependency that no other process loads
    except ImportError:
        _give_up("xllamacpp is not installed: a llama-cpp provider needs it (pip install 'wardwright[local]')")
    if not arguments.model.is_file():
        _give_up(f"no model file at {arguments.model}")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(arguments.model)
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = arguments.port
    parameters.n_ctx = arguments.ctx
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = arguments.threads
    parameters.cpuparams_batch.n_threads = arguments.threads
    parameters.cache_ram_mib = _PROMPT_CACHE_MIB
    parameters.verbosity = _LOG_ERRORS_ONLY
    parameters.offline = True
    # Nothing but the API, and none of it for pages of other sites that run in a browser on this machine.
    parameters.ui = False
    parameters.endpoint_slots = False
    parameters.cors_origins = "http://127.0.0.1"
    try:
        return xllamacpp.Server(parameters)
    except RuntimeError as error:
        _give_up(f"llama.cpp could not serve {arguments.model.name}: {error}")


def _give_up(reason: str) -> NoReturn:
    sys.stderr.write(f"{reason}\n")
    sys.exit(1)


if __name__ == "__main__":
    main()
