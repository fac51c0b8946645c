"""What a supervision tree must do, said once more: slowly, simply and without a task.

The model knows nothing of the library but the words for restart types, shutdown values and strategies. It is told what
happens to which member, and says what follows: who lives, in which incarnation, what was started and stopped in which
order, what was reported, how long it took, and who gave up.

A plan is the recipe of a member. A `Place` is a child on its supervisor's list, a `Member` is one incarnation.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from supervisors._child_spec import AutoShutdown, Strategy
from supervisors._reasons import Restart, Shutdown

Start: TypeAlias = Literal["ok", "fail", "ignore"]
Cleaning: TypeAlias = Literal["quick", "slow", "hang", "deaf", "crash"]
Kind: TypeAlias = Literal["normal", "shutdown", "crashed", "killed"]
Step: TypeAlias = tuple[str, str, str, int]

SLOW = 1.0
"""Seconds a slow clean-up takes."""

GRACE = 1.0
"""Seconds after which a killed member is given up."""


@dataclass(frozen=True)
class Worker:
    """`starts` are the outcomes of its first starts, all others succeed; `cleaning` is what a stop meets."""

    id: str
    restart: Restart
    significant: bool
    shutdown: Shutdown
    starts: tuple[Start, ...]
    cleaning: Cleaning


@dataclass(frozen=True)
class Static:
    id: str
    restart: Restart
    significant: bool
    shutdown: Shutdown
    max_restarts: int
    max_seconds: float
    strategy: Strategy
    auto_shutdown: AutoShutdown
    children: tuple["Plan", ...]


@dataclass(frozen=True)
class Dynamic:
    id: str
    restart: Restart
    significant: bool
    shutdown: Shutdown
    max_restarts: int
    max_seconds: float
    max_children: int


Plan: TypeAlias = Worker | Static | Dynamic


@dataclass
class Place:
    """A child on its supervisor's list; `member` is None while it is stopped."""

    plan: Plan
    path: str
    above: "Member | None"
    member: "Member | None" = None


@dataclass
class Member:
    """One incarnation."""

    place: Place
    number: int
    places: dict[str, Place] = field(default_factory=dict)
    restarts: list[float] = field(default_factory=list)
    gave_up: bool = False

    @property
    def path(self) -> str:
        return self.place.path

    def below(self) -> Iterator["Member"]:
        yield self
        for place in self.places.values():
            if place.member is not None:
                yield from place.member.below()


class Model:
    """The tree as it must be.

    Attributes:
        now: the time.
        starts: how often a path was started.
        trace: steps in order, as (stream, what, path, number of the start). Only steps of one stream have an order: the
            children of a dynamic supervisor, with all below them, are a stream each.
        reports: what a supervisor had to report, as (context, path of the offender or the number of them, kind).
    """

    def __init__(self, root: Static | Dynamic) -> None:
        self.now = 0.0
        self.starts: Counter[str] = Counter()
        self.trace: list[Step] = []
        self.reports: dict[str, list[tuple[str, str | int, Kind]]] = {}
        self.root = Place(root, "app", None)
        self._start(self.root)

    def living(self) -> dict[str, Member]:
        """Everybody alive, by path, parents first."""
        return {} if self.root.member is None else {member.path: member for member in self.root.member.below()}

    # --- what happens to a member

    def end(self, member: Member, kind: Kind) -> None:
        """It ends by itself, or is killed."""
        if kind != "killed":
            self._clean_up(member)
        self._bury(member, kind)

    def start_child(self, supervisor: Member, plan: Plan) -> str:
        own = supervisor.place.plan
        if plan.significant and not (isinstance(own, Static) and own.auto_shutdown != "never"):
            return "InvalidChildSpec"
        present = supervisor.places.get(plan.id)
        if present is not None:
            return "AlreadyPresent" if present.member is None else "AlreadyStarted"
        if isinstance(own, Dynamic) and len(supervisor.places) >= own.max_children:
            return "TooManyChildren"
        place = self._add(supervisor, plan)
        failure = self._start(place)
        if isinstance(own, Dynamic) and failure is not None:
            self._report(supervisor, "start_error", place, failure)
        if failure is not None or (isinstance(own, Dynamic) and place.member is None):
            supervisor.places.pop(plan.id, None)
        return _outcome(place, failure)

    def terminate_child(self, supervisor: Member, child: str) -> str:
        place = supervisor.places.get(child)
        if place is None:
            return "ChildNotFound"
        self._stop_one(supervisor, place)
        if place.plan.restart == "temporary" or isinstance(supervisor.place.plan, Dynamic):
            supervisor.places.pop(child)
        return "ok"

    def restart_child(self, supervisor: Member, child: str) -> str:
        if isinstance(supervisor.place.plan, Dynamic):
            return "UnexpectedRequest"
        place = supervisor.places.get(child)
        if place is None:
            return "ChildNotFound"
        if place.member is not None:
            return "ChildRunning"
        return _outcome(place, self._start(place))

    def delete_child(self, supervisor: Member, child: str) -> str:
        if isinstance(supervisor.place.plan, Dynamic):
            return "UnexpectedRequest"
        place = supervisor.places.get(child)
        if place is None:
            return "ChildNotFound"
        if place.member is not None:
            return "ChildRunning"
        del supervisor.places[child]
        return "ok"

    # --- starting

    def _add(self, supervisor: Member, plan: Plan) -> Place:
        place = supervisor.places[plan.id] = Place(plan, f"{supervisor.path}/{plan.id}", supervisor)
        return place

    def _start(self, place: Place) -> Kind | None:
        """Start what stands at a place, and everything below it; the kind of its end if it failed."""
        plan, number = place.plan, self.starts[place.path]
        self.starts[place.path] += 1
        member = Member(place, number)
        self._note("init", member)
        if isinstance(plan, Worker):
            outcome = plan.starts[number] if number < len(plan.starts) else "ok"
            if outcome == "fail":
                return "crashed"
            if outcome == "ignore":
                self._forget_if_temporary(place)
                return None
        for child in plan.children if isinstance(plan, Static) else ():
            below = self._add(member, child)
            failure = self._start(below)
            if failure is not None:
                self._report(member, "start_error", below, failure)
                self._stop_all(member)
                return "shutdown"
        place.member = member
        self._note("up", member)
        return None

    # --- ending

    def _clean_up(self, member: Member) -> None:
        self._note("terminate", member)
        if not isinstance(member.place.plan, Worker):
            self._stop_all(member)
            self._note("terminated", member)

    def _stop_all(self, supervisor: Member) -> None:
        if isinstance(supervisor.place.plan, Static):
            for place in reversed(supervisor.places.values()):
                self._stop_one(supervisor, place)
            return
        began, latest = self.now, self.now
        surprises: Counter[Kind] = Counter()
        for place in supervisor.places.values():
            self.now = began
            kind = self._stop(place)
            latest = max(latest, self.now)
            if kind is not None and not _expected(place.plan, kind):
                surprises[kind] += 1
        self.now = latest
        for kind, count in surprises.items():
            self._reports(supervisor).append(("shutdown_error", count, kind))

    def _stop_one(self, supervisor: Member, place: Place) -> None:
        kind = self._stop(place)
        if kind is not None and not _expected(place.plan, kind):
            self._report(supervisor, "shutdown_error", place, kind)

    def _stop(self, place: Place) -> Kind | None:
        """Have a child stopped by its supervisor; how it ended, if it ran."""
        member, place.member = place.member, None
        plan = place.plan
        if member is None:
            return None
        if plan.shutdown == "brutal_kill":
            return "killed"
        self._clean_up(member)
        if not isinstance(plan, Worker) or plan.cleaning == "quick":
            return "shutdown"
        if plan.cleaning == "crash":
            return "crashed"
        if plan.shutdown == "infinity" or (plan.cleaning == "slow" and plan.shutdown > SLOW):
            self.now += SLOW
            return "shutdown"
        self.now += plan.shutdown + (GRACE if plan.cleaning == "deaf" else 0)
        return "killed"

    # --- what a supervisor makes of an end

    def _bury(self, member: Member, kind: Kind) -> None:
        place = member.place
        place.member = None
        supervisor = place.above
        if supervisor is None:
            return
        again = place.plan.restart == "permanent" or (place.plan.restart == "transient" and _is_fault(kind))
        if again or _is_fault(kind) or member.gave_up:
            self._report(supervisor, "child_terminated", place, kind)
        if again:
            self._restart(supervisor, place)
            return
        if place.plan.restart == "temporary" or isinstance(supervisor.place.plan, Dynamic):
            del supervisor.places[place.plan.id]
        if place.plan.significant and self._ends_with_it(supervisor):
            self.end(supervisor, "shutdown")

    def _ends_with_it(self, supervisor: Member) -> bool:
        plan = supervisor.place.plan
        left = any(place.plan.significant and place.member is not None for place in supervisor.places.values())
        return isinstance(plan, Static) and (plan.auto_shutdown == "any_significant" or not left)

    def _restart(self, supervisor: Member, failed: Place) -> None:
        """Restart a child and whom its fault concerns, again and again until it succeeds or was too much."""
        retry: Place | None = failed
        while retry is not None:
            if self._is_too_much(supervisor):
                self._report(supervisor, "shutdown", retry, "shutdown")
                supervisor.gave_up = True
                self.end(supervisor, "shutdown")
                return
            retry = self._try_to_restart(supervisor, retry)

    def _try_to_restart(self, supervisor: Member, failed: Place) -> Place | None:
        plan = supervisor.place.plan
        strategy = plan.strategy if isinstance(plan, Static) else "one_for_one"
        everybody = list(supervisor.places.values())
        first = everybody.index(failed)
        concerned = {"one_for_one": [failed], "one_for_all": everybody, "rest_for_one": everybody[first:]}[strategy]
        for place in reversed(concerned):
            if place is not failed:
                self._stop_one(supervisor, place)
                self._forget_if_temporary(place)
        for place in concerned:
            if place.plan.id not in supervisor.places:
                continue
            failure = self._start(place)
            if failure is not None:
                self._report(supervisor, "start_error", place, failure)
                return place
            if place.member is None and isinstance(plan, Dynamic):
                supervisor.places.pop(place.plan.id)
        return None

    def _is_too_much(self, supervisor: Member) -> bool:
        plan = supervisor.place.plan
        assert not isinstance(plan, Worker)
        supervisor.restarts.append(self.now)
        recent = [at for at in supervisor.restarts if self.now - at <= plan.max_seconds]
        return len(recent) > plan.max_restarts

    def _forget_if_temporary(self, place: Place) -> None:
        if place.plan.restart == "temporary" and place.above is not None:
            place.above.places.pop(place.plan.id, None)

    # --- what is written down

    def _note(self, what: str, member: Member) -> None:
        stream = member.place
        while stream.above is not None and not isinstance(stream.above.place.plan, Dynamic):
            stream = stream.above.place
        self.trace.append((stream.path, what, member.path, member.number))

    def _report(self, supervisor: Member, context: str, place: Place, kind: Kind) -> None:
        self._reports(supervisor).append((context, place.path, kind))

    def _reports(self, supervisor: Member) -> list[tuple[str, str | int, Kind]]:
        return self.reports.setdefault(supervisor.path, [])


def _outcome(place: Place, failure: Kind | None) -> str:
    if failure is not None:
        return "StartFailed"
    return "StartIgnored" if place.member is None else "ok"


def _is_fault(kind: Kind) -> bool:
    return kind in ("crashed", "killed")


def _expected(plan: Plan, kind: Kind) -> bool:
    if kind == ("killed" if plan.shutdown == "brutal_kill" else "shutdown"):
        return True
    return plan.restart != "permanent" and not _is_fault(kind)
