"""`python -m tests.chaos`: do all of it, or a part; exit 1 at the first promise that is broken."""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from tests.chaos import damage, equality, faults, kills
from tests.chaos.settings import KINDS
from tests.chaos.verdict import Broken, quiet, say

Part = Callable[[argparse.Namespace], Iterator[str]]


def _faults(options: argparse.Namespace) -> Iterator[str]:
    for provider in faults.PROVIDERS:
        yield faults.die_everywhere(provider)
        yield faults.run(provider, faults.every_fault)


def _damage(options: argparse.Namespace) -> Iterator[str]:
    yield damage.run()


def _equality(options: argparse.Namespace) -> Iterator[str]:
    yield equality.run(options.seed)


def _kills(options: argparse.Namespace) -> Iterator[str]:
    yield kills.run(options.seed, options.kills, options.storage)


PARTS: Mapping[str, Part] = {"kills": _kills, "faults": _faults, "damage": _damage, "equality": _equality}


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    options = _parser().parse_args(arguments)
    # a plain kill, too, must stop the processes that were started
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    say(f"seed {options.seed}")
    for name in [options.only] if options.only else PARTS:
        began = time.monotonic()
        say(f"{name} …")
        try:
            with quiet():
                for verdict in PARTS[name](options):
                    say(f"  {verdict}")
        except Broken as broken:
            say(f"  BROKEN: {broken}")
            say(f"  what was on disk is in {broken.kept}")
            again = f"--seed {options.seed} --kills {options.kills} --storage {' '.join(options.storage)}"
            say(f"  again: python -m tests.chaos --only {name} {again}")
            return 1
        say(f"  kept, in {time.monotonic() - began:.0f} s")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="Do to storage and to the daemon what they must survive."
    )
    parser.add_argument("--only", choices=list(PARTS), help="one part (default: all of them)")
    parser.add_argument("--kills", type=int, default=500, help="how often the daemon is killed (default: 500)")
    parser.add_argument(
        "--storage", choices=KINDS, nargs="+", default=KINDS, help="of these daemons (default: every kind)"
    )
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000, help="of whatever is left to chance")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
