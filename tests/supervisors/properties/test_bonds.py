"""Whoever is linked to whom and watches whom, and whoever dies of what: the right ones die with it, and the right ones hear."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from supervisors import Actor, ActorRef, ChildSpec, Down, Exit, ExitReason, MonitorRef, Stop, Supervisor, System
from supervisors.testing import EventLog, check_tree, run_virtual, settle
from tests.supervisors.actors import Boom, started

Backend = Literal["asyncio", "trio"]
News = tuple[str, str, str]
"""What sort of news, of whom, and how that one ended."""

NAMES = "abcdef"
WHO = st.sampled_from(NAMES)
STEPS = st.one_of(
    st.tuples(st.sampled_from(["link", "link", "link", "unlink", "monitor", "monitor", "demonitor"]), WHO, WHO),
    st.tuples(st.just("trap"), WHO, st.booleans()),
    st.tuples(st.just("end"), WHO, st.sampled_from(["normal", "shutdown", "crashed", "killed"])),
)


# --- what must happen


@dataclass
class Bonds:
    """Who lives, who is bound to whom, and who has heard what."""

    living: set[str] = field(default_factory=lambda: set(NAMES))
    trapping: set[str] = field(default_factory=set)
    links: set[frozenset[str]] = field(default_factory=set)
    monitors: list[tuple[str, str]] = field(default_factory=list)
    heard: dict[str, Counter[News]] = field(default_factory=lambda: {name: Counter() for name in NAMES})
    ends: dict[str, str] = field(default_factory=dict)

    def link(self, one: str, other: str) -> None:
        if other not in self.living:
            self._take_exit(one, other, "noproc")
        elif one != other:
            self.links.add(frozenset({one, other}))

    def unlink(self, one: str, other: str) -> None:
        self.links.discard(frozenset({one, other}))

    def monitor(self, one: str, other: str) -> None:
        if other in self.living:
            self.monitors.append((one, other))
        else:
            self.heard[one]["Down", other, "noproc"] += 1

    def demonitor(self, one: str, other: str) -> None:
        if (one, other) in self.monitors:
            self.monitors.remove((one, other))

    def end(self, name: str, kind: str) -> None:
        """Die; and whoever dies of that, dies of the same."""
        if name not in self.living:
            return
        self.living.remove(name)
        self.ends[name] = kind
        peers = sorted(peer for link in self.links if name in link for peer in link - {name})
        self.links = {link for link in self.links if name not in link}
        doomed = [peer for peer in peers if self._hears_exit(peer, name, kind)]
        for watcher, watched in self.monitors:
            if watched == name:
                self.heard[watcher]["Down", name, kind] += 1
        self.monitors = [(watcher, watched) for watcher, watched in self.monitors if name not in (watcher, watched)]
        for peer in doomed:
            self.end(peer, kind)

    def _hears_exit(self, name: str, of: str, kind: str) -> bool:
        """Note an exit if it is trapped; whether it is deadly else."""
        if name in self.trapping:
            self.heard[name]["Exit", of, kind] += 1
            return False
        return kind != "normal"

    def _take_exit(self, name: str, of: str, kind: str) -> None:
        if self._hears_exit(name, of, kind):
            self.end(name, kind)


# --- what happens


class Bound(Actor):
    """Writes down what news it gets."""

    def __init__(self) -> None:
        self.heard: Counter[News] = Counter()
        self.monitors: list[tuple[str, MonitorRef]] = []

    async def handle_cast(self, message: Any) -> Stop | None:
        match message:
            case ("link", other):
                self.link(other)
            case ("unlink", other):
                self.unlink(other)
            case ("monitor", other):
                self.monitors.append((other.path, self.monitor(other)))
            case ("demonitor", other):
                kept = [pair for pair in self.monitors if pair[0] == other.path]
                for pair in kept[:1]:
                    self.monitors.remove(pair)
                    pair[1].demonitor()
            case ("trap", whether):
                self.trap_exit = whether
            case ("end", "crashed"):
                raise Boom
            case ("end", "shutdown"):
                return Stop(ExitReason.SHUTDOWN)
            case _:
                return Stop()
        return None

    async def handle_info(self, message: Down | Exit) -> None:
        if isinstance(message, Down):
            self.monitors = [pair for pair in self.monitors if pair[1] is not message.monitor]
        self.heard[type(message).__name__, message.ref.path.removeprefix("app/"), message.reason.kind] += 1


async def live(story: Sequence[tuple[str, str, Any]]) -> None:
    bonds = Bonds()
    root = Supervisor([ChildSpec(name, Bound, restart="temporary") for name in NAMES])
    async with System("app", root, on_event=EventLog()) as system:
        refs: dict[str, ActorRef] = {name: started(system, f"app/{name}") for name in NAMES}
        actors: dict[str, Any] = {name: ref._cell.actor for name, ref in refs.items()}  # type: ignore[attr-defined]
        for what, name, how in story:
            if name not in bonds.living:
                continue
            if (what, how) == ("end", "killed"):
                refs[name].kill()
            else:
                refs[name].cast((what, refs[how] if how in NAMES else how) if isinstance(how, str) else (what, how))
            match what:
                case "trap":
                    (bonds.trapping.add if how else bonds.trapping.discard)(name)
                case _:
                    getattr(bonds, what)(name, how)
            await settle()
            check_tree(system)
            assert {name for name in NAMES if refs[name].alive} == bonds.living
            assert {name: actors[name].heard for name in bonds.living} == {
                name: bonds.heard[name] for name in bonds.living
            }
            links = {frozenset({name, peer.removeprefix("app/")}) for name in NAMES for peer in refs[name].info().links}
            assert links == bonds.links
        for name, kind in bonds.ends.items():
            reason = refs[name].info().exit_reason
            assert reason is not None
            assert reason.kind == kind
    event(f"died: {min(len(bonds.ends), 4)}")


@settings(max_examples=100, deadline=None)
@given(story=st.lists(STEPS, min_size=4, max_size=30), seed=st.integers(0, 2**16))
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_right_ones_die_together_and_the_right_ones_hear(
    story: list[tuple[str, str, Any]], seed: int, backend: Backend
) -> None:
    run_virtual(live, story, backend=backend, seed=seed)
