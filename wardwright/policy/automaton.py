"""Patterns as one automaton that reads a text character by character, for as long as the text goes on.

What it knows after each character is which patterns have just matched, where those matches began, and where every match that may
still come would begin. The last is what least holding needs, and what block-wise and backtracking engines do not tell.

Theory of operation. A pattern becomes a program of four instructions: take a character of a set, fork, require a kind of place,
accept. A *thread* is a place in a program together with where in the text it began. All threads go on in step, one character at a
time; a new one begins at every character. Of two threads at the same place the one that began earlier goes on for both: whatever the
later one comes to, the earlier one comes to at the same character, and covers more. So there are never more threads than places,
and a text takes time in proportion to its length, whatever the pattern.

Threads that began at the same character form a *group*, and groups stand in the order of their beginnings. Which groups of places
follow which on a character does not depend on where in the text that is. So a step is worked out once, when it is first taken, and
kept; only the beginnings, one number a group, are carried along. Text in which nothing could begin costs one look-up a character.
What is kept is bounded: over `KEPT_STEPS` it is thrown away and worked out again as needed.

A required place (`^`, `$`, `\\b`) is judged when the next character is known, or the end: such a match is told one character late,
with the end it had.
"""

from collections.abc import Collection, Iterable, Sequence
from copy import copy
from typing import NamedTuple, TypeAlias, TypeVar

from wardwright.policy.pattern_syntax import Anchor, AnchorKind, Chars, Choice, Node, Repeat
from wardwright.policy.patterns import PatternError

LARGEST_PROGRAM = 20_000
KEPT_STEPS = 50_000

# What stands before a place: nothing, a word's character, a newline, anything else.
_NOTHING, _WORD, _NEWLINE, _OTHER = range(4)

_K = TypeVar("_K")

_Groups: TypeAlias = tuple[tuple[int, ...], ...]


class Match(NamedTuple):
    """A pattern matched the characters from `start` up to `end`, counted from the beginning of the text."""

    pattern: int
    start: int
    end: int


class _Take(NamedTuple):
    chars: Chars
    then: int


class _Fork(NamedTuple):
    first: int
    second: int


class _Require(NamedTuple):
    kind: AnchorKind
    then: int


class _Accept(NamedTuple):
    pattern: int


class _Acceptance(NamedTuple):
    """A match: of which pattern, from which group (None: begun by this character), and whether it includes the character just read."""

    pattern: int
    group: int | None
    after: bool


class _Step:
    """What one character does to a state: which groups live on, whether a new one begins, what is accepted, and the next state."""

    __slots__ = ("accepts", "begins", "is_plain", "kept", "target")

    def __init__(
        self, target: "_State", kept: tuple[int, ...], accepts: tuple[_Acceptance, ...], *, begins: bool
    ) -> None:
        self.target = target
        self.kept = kept
        self.accepts = accepts
        self.begins = begins
        self.is_plain = not (kept or begins or accepts)


class _State:
    """Groups of places with live threads, oldest first, and what stands before them; `steps` holds what was worked out.

    `holding` is the oldest group in which a match of a holding pattern is under way; None when there is none.
    """

    __slots__ = ("before", "groups", "holding", "steps")

    def __init__(self, groups: _Groups, before: int, holding: int | None) -> None:
        self.groups = groups
        self.before = before
        self.holding = holding
        self.steps: dict[str, _Step] = {}


class Automaton:
    """Patterns compiled together; those in `holding` (all when it is None) are told apart by `Scanner.holding_from`.

    Many scanners may share it, on one event loop.

    Raises: PatternError when a pattern matches the empty text or makes a program over `LARGEST_PROGRAM`.
    """

    def __init__(self, patterns: Sequence[Node], holding: Collection[int] | None = None) -> None:
        self._program: list[_Take | _Fork | _Require | _Accept] = []
        self._pattern_at: list[int] = []
        self._starts: list[int] = []
        self._room = 0
        for number, node in enumerate(patterns):
            self._room = len(self._program) + LARGEST_PROGRAM
            accept = self._emit(_Accept(number), number)
            self._starts.append(self._compile(node, accept, number))
        self._stops = [self._reach([place]) for place in range(len(self._program))]
        self._start_stops = tuple(dict.fromkeys(stop for start in self._starts for stop in self._stops[start]))
        self._has_anchors = any(isinstance(instruction, _Require) for instruction in self._program)
        self._kept = 0
        self._states: dict[tuple[_Groups, int], _State] = {}
        self._begun: dict[tuple[int, str], tuple[int, ...]] = {}
        self._holds = [holding is None or pattern in holding for pattern in self._pattern_at]
        self._whole: Automaton | None = None
        self._left_out: frozenset[int] = frozenset()
        if any(self._matches_nothing(start) for start in self._starts):
            raise PatternError("does not match the empty text: this one would match everywhere")

    def without(self, patterns: Collection[int]) -> "Automaton":
        """The automaton of the other patterns, under their numbers. It shares this one's program: nothing is compiled."""
        other = copy(self)
        other._whole, other._left_out = self, frozenset(patterns)
        other._states, other._begun, other._kept = {}, {}, 0
        return other

    def prepare(self, characters: str) -> None:
        """Work out the steps that the first of some characters takes, so that nobody waits for it later."""
        state = self.start()
        for character in characters:
            self.step(state, character)

    def start(self, before: str = "") -> _State:
        """The state of a text that begins, or goes on behind a character with nothing pending."""
        return self._state((), _kind(before) if self._has_anchors else _OTHER)

    def step(self, state: _State, character: str) -> _Step:
        """Work out what a character does to a state, and keep it."""
        if self._kept >= KEPT_STEPS:
            self._forget()
            state = self._state(state.groups, state.before)
        step = self._work_out(state, character)
        state.steps[character] = step
        self._kept += 1
        return step

    def finish(self, state: _State) -> tuple[_Acceptance, ...]:
        """What the end of the text accepts."""
        return self._work_out(state, "").accepts

    # --- working out a step

    def _work_out(self, state: _State, character: str) -> _Step:
        """Take one character, or the end of the text for the empty one."""
        fresh = len(state.groups)
        standing: dict[int, int] = {}  # the oldest group at each place
        for group, places in enumerate(state.groups):
            for place in self._past_anchors(places, state.before, character):
                standing.setdefault(place, group)
        accepts: dict[tuple[int, bool], int] = {}
        following: dict[int, int] = {}
        for place, group in standing.items():
            instruction = self._program[place]
            if isinstance(instruction, _Accept):
                _keep_oldest(accepts, (instruction.pattern, False), group)
            else:
                for stop in self._taken(place, character):
                    _keep_oldest(following, stop, group)
        for stop in self._begun_by(state.before, character):
            following.setdefault(stop, fresh)
        survivors: dict[int, list[int]] = {}
        for place, group in following.items():
            instruction = self._program[place]
            if isinstance(instruction, _Accept):
                _keep_oldest(accepts, (instruction.pattern, True), group)
            else:
                survivors.setdefault(group, []).append(place)
        kept = sorted(survivors)
        target = self._state(
            tuple(tuple(sorted(survivors[group])) for group in kept), _kind(character) if self._has_anchors else _OTHER
        )
        return _Step(
            target,
            tuple(group for group in kept if group != fresh),
            tuple(
                _Acceptance(pattern, None if group == fresh else group, after)
                for (pattern, after), group in accepts.items()
            ),
            begins=fresh in survivors,
        )

    def _taken(self, place: int, character: str) -> tuple[int, ...]:
        """Where a place leads on a character; nowhere at the end of the text."""
        instruction = self._program[place]
        if isinstance(instruction, _Take) and character and instruction.chars.has(character):
            return self._stops[instruction.then]
        return ()

    def _begun_by(self, before: int, character: str) -> tuple[int, ...]:
        """Where threads that begin with a character stand behind it. Kept, since every step asks and there may be many patterns."""
        found = self._begun.get((before, character))
        if found is None and self._whole is not None:
            begun = self._whole._begun_by(before, character)
            found = tuple(stop for stop in begun if self._pattern_at[stop] not in self._left_out)
            self._begun[before, character] = found
        elif found is None:
            places = self._past_anchors(self._start_stops, before, character)
            stops = (stop for place in places for stop in self._taken(place, character))
            found = self._begun[before, character] = tuple(dict.fromkeys(stops))
        return found

    def _past_anchors(self, places: Iterable[int], before: int, character: str) -> Iterable[int]:
        """All places that some threads come to without a character, through the places that they require."""
        if not self._has_anchors:
            return places
        found = dict.fromkeys(places)
        waiting = list(found)
        while waiting:
            instruction = self._program[waiting.pop()]
            if isinstance(instruction, _Require) and _holds(instruction.kind, before, character):
                further = [stop for stop in self._stops[instruction.then] if stop not in found]
                found.update(dict.fromkeys(further))
                waiting += further
        return found

    def _state(self, groups: _Groups, before: int) -> _State:
        key = (groups, before)
        state = self._states.get(key)
        if state is None:
            holding = (number for number, places in enumerate(groups) if any(self._holds[place] for place in places))
            state = self._states[key] = _State(groups, before, next(holding, None))
        return state

    def _forget(self) -> None:
        for state in self._states.values():
            state.steps.clear()
        self._states.clear()
        self._begun.clear()
        self._kept = 0

    # --- compiling

    def _compile(self, node: Node, then: int, pattern: int) -> int:
        """Emit a node so that `then` follows it; return where it begins."""
        match node:
            case Chars():
                return self._emit(_Take(node, then), pattern)
            case Anchor(kind):
                return self._emit(_Require(kind, then), pattern)
            case Choice(options):
                return self._fork([self._compile(option, then, pattern) for option in options], pattern)
            case Repeat(body, least, most):
                return self._compile_repeat(body, least, most, then, pattern)
            case _:
                for part in reversed(node.parts):
                    then = self._compile(part, then, pattern)
                return then

    def _compile_repeat(self, body: Node, least: int, most: int | None, then: int, pattern: int) -> int:
        if most is None:
            loop = self._emit(_Fork(then, then), pattern)
            self._program[loop] = _Fork(self._compile(body, loop, pattern), then)
            follow = loop
        else:
            follow = then
            for _ in range(most - least):
                follow = self._emit(_Fork(self._compile(body, follow, pattern), then), pattern)
        for _ in range(least):
            follow = self._compile(body, follow, pattern)
        return follow

    def _fork(self, options: Sequence[int], pattern: int) -> int:
        first, *others = options
        for option in others:
            first = self._emit(_Fork(first, option), pattern)
        return first

    def _emit(self, instruction: _Take | _Fork | _Require | _Accept, pattern: int) -> int:
        if len(self._program) >= self._room:
            raise PatternError(f"is smaller: this one comes to more than {LARGEST_PROGRAM} steps")
        self._program.append(instruction)
        self._pattern_at.append(pattern)
        return len(self._program) - 1

    def _reach(self, places: Iterable[int]) -> tuple[int, ...]:
        """The instructions other than forks that some places lead to without a character."""
        found: dict[int, None] = {}
        waiting, seen = list(places), set()
        while waiting:
            place = waiting.pop()
            if place in seen:
                continue
            seen.add(place)
            instruction = self._program[place]
            if isinstance(instruction, _Fork):
                waiting += instruction
            else:
                found[place] = None
        return tuple(found)

    def _matches_nothing(self, start: int) -> bool:
        """Whether a program can accept without having taken a character."""
        waiting, seen = [start], set()
        while waiting:
            for stop in self._stops[waiting.pop()]:
                instruction = self._program[stop]
                if isinstance(instruction, _Accept):
                    return True
                if isinstance(instruction, _Require) and stop not in seen:
                    seen.add(stop)
                    waiting.append(instruction.then)
        return False


class _Mark(NamedTuple):
    state: _State
    begun: list[int]
    position: int
    quiet_at: int
    told: Sequence[Match]


class Scanner:
    """One reading of one text.

    `position` counts the characters read. `quiet_at` is the last position at which no match was under way. An end is told once, with
    the earliest beginning; once more only if a required place, judged a character late, shows that it began still earlier.
    """

    __slots__ = ("_automaton", "_begun", "_state", "_told", "position", "quiet_at")

    def __init__(self, automaton: Automaton, *, before: str = "", position: int = 0) -> None:
        self._automaton = automaton
        self._state = automaton.start(before)
        self._begun: list[int] = []
        self._told: Sequence[Match] = ()
        self.position = self.quiet_at = position

    @property
    def live_from(self) -> int | None:
        """Where the oldest match that is under way would begin; None when none is."""
        return self._begun[0] if self._begun else None

    @property
    def holding_from(self) -> int | None:
        """The same, of holding patterns alone."""
        holding = self._state.holding
        return None if holding is None else self._begun[holding]

    def mark(self) -> _Mark:
        """Where the reading stands, for `return_to`."""
        return _Mark(self._state, self._begun, self.position, self.quiet_at, self._told)

    def return_to(self, mark: _Mark) -> None:
        """Stand where the reading stood."""
        self._state, self._begun, self.position, self.quiet_at, self._told = mark

    def read(self, text: str) -> list[Match]:
        """Read on, and tell what the text completes, in the order of the ends."""
        state, begun, step_of = self._state, self._begun, self._automaton.step
        matches: list[Match] = []
        position = self.position
        for position, character in enumerate(text, position):  # noqa: B020 - it goes on from where it is
            step = state.steps.get(character) or step_of(state, character)
            if not step.is_plain:
                if not begun:
                    self.quiet_at = position
                if step.accepts:
                    matches += self._news(step.accepts, begun, position)
                begun = [begun[group] for group in step.kept]
                if step.begins:
                    begun.append(position)
            elif begun:
                begun = []
            state = step.target
        self._state, self._begun = state, begun
        self.position = self.position + len(text)
        if not begun:
            self.quiet_at = self.position
        return matches

    def finish(self) -> list[Match]:
        """Tell what the end of the text completes."""
        return self._news(self._automaton.finish(self._state), self._begun, self.position)

    def _news(self, accepts: Iterable[_Acceptance], begun: Sequence[int], position: int) -> list[Match]:
        """What is accepted, without what adds nothing to what was told of the same end."""
        before = {(match.pattern, match.end): match.start for match in self._told}
        found = [_match(acceptance, begun, position) for acceptance in accepts]
        self._told = [match for match in found if before.get((match.pattern, match.end), match.start + 1) > match.start]
        return list(self._told)


def _match(acceptance: _Acceptance, begun: Sequence[int], position: int) -> Match:
    start = position if acceptance.group is None else begun[acceptance.group]
    return Match(acceptance.pattern, start, position + acceptance.after)


def _keep_oldest(found: dict[_K, int], key: _K, group: int) -> None:
    if found.get(key, group) >= group:
        found[key] = group


def _kind(character: str) -> int:
    if not character:
        return _NOTHING
    if character == "\n":
        return _NEWLINE
    return _WORD if character == "_" or (character.isascii() and character.isalnum()) else _OTHER


def _holds(kind: AnchorKind, before: int, character: str) -> bool:
    """Whether a place between what stands before and the next character (none at the end) is of a kind."""
    match kind:
        case "text_start":
            return before == _NOTHING
        case "text_end":
            return not character
        case "line_start":
            return before in (_NOTHING, _NEWLINE)
        case "line_end":
            return character in ("", "\n")
        case _:
            return ((before == _WORD) != (_kind(character) == _WORD)) is (kind == "boundary")
