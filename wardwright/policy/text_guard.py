"""The rules of a stream over one text of it: what of the text may leave, and which rule has something to say.

Nothing here waits, reads a clock or knows of frames: text goes in as it comes, in any pieces, and what may leave comes out. Only
what may still become part of a match is held. How the text was cut never shows in what leaves, what fires or where.

Rules form stages in the order of their declaration. A rule that changes the text (rewrite, drop) is a stage of its own; neighbours
that only watch share one. Text goes through the stages in order, so later rules see what earlier ones made of it, together with what
surrounds it, and a match across a seam is a match.

- A changing stage replaces the whole of what matches cover: matches that overlap are replaced as one. That is what "no byte of a
  match leaves" asks for, and it needs no second reading.
- A watching stage trips at the first character that completes a match; of several, the leftmost match counts, then the first rule.
- Rules that only observe (annotate, or any rule in shadow) see every character of the text as it came, and hold nothing.

The fast way. Where some rule changes text there are several stages, and most of the time none has anything to do. So one automaton of
all enforced patterns reads ahead of them. While it finds nothing, and what is under way began at a place where nothing else was, no
stage could do anything but pass the text up to that place; so it passes, and no stage is asked. Otherwise the stages read what is
held, and go on reading until all of them have nothing under way.

Positions count characters, offsets bytes of UTF-8. Offsets of a match are those of the text that its stage sees: the policy-visible
stream, after the changes of earlier rules.
"""

from collections.abc import Collection, Sequence
from copy import copy
from typing import Literal, NamedTuple

from wardwright.domain.policy import StreamRule
from wardwright.policy.automaton import Automaton, Match, Scanner
from wardwright.policy.pattern_syntax import Node, longest_match, parse_pattern
from wardwright.policy.patterns import Pattern, PatternError

_USUAL = "".join(map(chr, range(9, 127)))


class Triggered(NamedTuple):
    """A rule matched: where in the policy-visible text (bytes), in which piece of it (from 0), and whether within that piece alone."""

    rule: StreamRule
    chunk_index: int
    match_start_byte: int
    match_end_byte: int
    match_scope: Literal["chunk", "stream_window"]
    match_kind: Literal["literal", "regex"]


class TextRules:
    """Rules compiled for one kind of text. Shared by the guards of many streams, on one event loop.

    Raises: PatternError.
    """

    def __init__(self, rules: Sequence[StreamRule]) -> None:
        observers = [rule for rule in rules if not rule.is_enforced]
        enforced = [rule for rule in rules if rule.is_enforced]
        self.observers = _Compiled(observers) if observers else None
        self.stages = [_Compiled(group) for group in _grouped(enforced)]
        self.ahead = _Compiled(enforced) if len(self.stages) > 1 else None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to look for."""
        return self.observers is None and not self.stages

    def without(self, ids: Collection[str]) -> "TextRules | None":
        """The rules but for some; None when none is left. Nothing is compiled: that would keep every stream waiting.

        So neighbours that came to stand together stay two stages. That changes nothing of what leaves or whether a rule trips; where
        two of them complete a match with the same character, the first in order is told, and not the leftmost.
        """
        other = copy(self)
        other.observers = None if self.observers is None else self.observers.without(ids)
        other.stages = [kept for stage in self.stages if (kept := stage.without(ids)) is not None]
        other.ahead = None if self.ahead is None or len(other.stages) < 2 else self.ahead.without(ids)
        return None if other.is_empty else other


class _Compiled:
    """Rules that share an automaton; `reach` is how far back from the present a match can matter, in characters.

    The automaton knows rules by their place in `rules`, of which it may leave some out.
    """

    def __init__(self, rules: Sequence[StreamRule]) -> None:
        self.rules = rules
        nodes = [parse_pattern(rule_pattern(rule)) for rule in rules]
        self.automaton = Automaton(nodes, [n for n, rule in enumerate(rules) if rule.on_hold_exceeded == "closed"])
        self.automaton.prepare(_USUAL)
        self._reaches = [reach_of(rule, node) for rule, node in zip(rules, nodes, strict=True)]
        self.reach = max(self._reaches)
        self.changes = rules[0].is_changing if rules else False

    def without(self, ids: Collection[str]) -> "_Compiled | None":
        """The same but for some rules; None when none is left."""
        left_out = {number for number, rule in enumerate(self.rules) if rule.id in ids}
        if not left_out:
            return self
        if len(left_out) == len(self.rules):
            return None
        other = copy(self)
        other.automaton = self.automaton.without(left_out)
        other.reach = max(reach for number, reach in enumerate(self._reaches) if number not in left_out)
        return other


def rule_pattern(rule: StreamRule) -> Pattern:
    """The pattern of a rule.

    Raises: PatternError when it has none.
    """
    if rule.regex is not None:
        return Pattern(rule.regex, is_regex=True)
    if rule.contains:
        return Pattern(rule.contains)
    raise PatternError("is there: a stream rule needs contains or regex")


def reach_of(rule: StreamRule, node: Node) -> int:
    """How many characters a match of a rule is reckoned with: its longest match, or what the rule states. Purity: pure.

    A stated horizon is in bytes and is taken for as many characters, which is never less text. Without one an unbounded pattern reaches
    to the beginning.
    """
    longest = longest_match(node)
    if longest is not None:
        return longest
    return _EVERYTHING if rule.horizon_bytes is None else rule.horizon_bytes


_EVERYTHING = 2**62
_OBSERVED = 4096  # how far back the beginning of a match is known that only observers see


class TextGuard:
    """One text under rules. Once `tripped` is set nothing more is read, and nothing more leaves.

    `triggered` grows with what fires; whoever reads it may empty it.
    """

    def __init__(self, rules: TextRules) -> None:
        self._stages: list[_WatchingStage | _ChangingStage] = [
            _ChangingStage(compiled) if compiled.changes else _WatchingStage(compiled) for compiled in rules.stages
        ]
        self._changing = [stage for stage in self._stages if isinstance(stage, _ChangingStage)]
        self._observer = None if rules.observers is None else _Observer(rules.observers)
        self._ahead = None if rules.ahead is None else _Ahead(rules.ahead)
        self._chunks = 0
        self.triggered: list[Triggered] = []
        self.tripped: Triggered | None = None

    @property
    def held(self) -> str:
        """The text that is held, as far as the stages have got with it."""
        ahead = "" if self._ahead is None else self._ahead.held
        return "".join(stage.held for stage in reversed(self._stages)) + ahead

    @property
    def rewritten_bytes(self) -> int:
        """How much text was replaced or dropped, as it was before."""
        return sum([stage.changed_bytes for stage in self._changing]) if self._changing else 0

    @property
    def inserted_bytes(self) -> int:
        """How much text was put in the place of what was replaced."""
        return sum(stage.inserted_bytes for stage in self._changing)

    def tell(self, text: str) -> None:
        """Take note of text that has left before: nothing in it fires, and what is found from now on may begin in it."""
        for stage in self._stages:
            stage.tell(text)
        if self._observer is not None:
            self._observer.tell(text)
        if self._ahead is not None:
            self._ahead.stand_back()

    def let_go(self) -> str | None:
        """Give up what only rules hold that fail open; return what may leave of it. None when another rule holds some of it."""
        if self._has_tripped():
            return None
        chunk = max(0, self._chunks - 1)
        released = ""
        if self._ahead is not None and not self._ahead.is_resting:
            before = self._ahead.held
            self._ahead.stand_back()
            self._hand_over(self._ahead)
            released = self._in_steps(before, chunk)
        if any(stage.fails_closed for stage in self._stages):
            return released or None
        for number, stage in enumerate(self._stages, 1):
            released += self._in_steps(stage.let_go(chunk), chunk, first=number)
        return released

    def feed(self, text: str) -> str:
        """Take in the next piece of the text; return what may leave now."""
        if not text or self._has_tripped():
            return ""
        chunk, self._chunks = self._chunks, self._chunks + 1
        if self._ahead is None:
            return self._feed_one(text, chunk)
        before, passed = self._ahead.held, self._ahead.read(text)
        if passed is not None:
            self._observe(text, chunk)
            return passed
        self._hand_over(self._ahead)
        for stage in self._stages:
            stage.begin_chunk()
        released = self._in_steps(before, chunk) + self._in_steps(text, chunk, observed=True)
        self._ahead.go_on([] if self._has_tripped() else self._stages)
        return released

    def finish(self) -> str:
        """Take in the end of the text; return what may leave of the rest."""
        if self._has_tripped():
            return ""
        chunk = max(0, self._chunks - 1)
        if self._observer is not None:
            self.triggered += self._observer.finish(chunk)
        released = ""
        if self._ahead is not None and not self._ahead.is_resting:
            before, passed = self._ahead.held, self._ahead.finish()
            if passed is not None:
                return passed
            self._hand_over(self._ahead)
            released = self._in_steps(before, chunk)
        for number, stage in enumerate(self._stages, 1):
            if not self._has_tripped():
                rest = stage.finish(chunk)
                self._take_note(stage)
                released += self._in_steps(rest, chunk, first=number)
        return released

    def _has_tripped(self) -> bool:
        return self.tripped is not None

    def _hand_over(self, ahead: "_Ahead") -> None:
        """Tell the stages what passed while none of them was asked."""
        for stage in self._stages:
            stage.catch_up(ahead)
        ahead.passed_characters = ahead.passed_bytes = 0

    def _feed_one(self, text: str, chunk: int) -> str:
        """Feed the only stage there is, or none."""
        if not self._stages:
            self._observe(text, chunk)
            return text
        stage = self._stages[0]
        stage.begin_chunk()
        released = stage.read(text, chunk)
        read = text if stage.tripped is None else text[: len(text) - stage.unread]
        self._observe(read, chunk)
        self._take_note(stage)
        return released

    def _in_steps(self, text: str, chunk: int, *, first: int = 0, observed: bool = False) -> str:
        """Send text through the stages from one on, a character at a time: so a stage never sees what came after another's trip."""
        released = []
        for character in text:
            if self._has_tripped():
                break
            if observed:
                self._observe(character, chunk)
            passed = character
            for stage in self._stages[first:]:
                passed = stage.read(passed, chunk)
                self._take_note(stage)
                if not passed:
                    break
            released.append(passed)
        return "".join(released)

    def _observe(self, text: str, chunk: int) -> None:
        if self._observer is not None:
            self.triggered += self._observer.read(text, chunk)

    def _take_note(self, stage: "_WatchingStage | _ChangingStage") -> None:
        self.triggered += stage.triggered
        stage.triggered.clear()
        # The deepest stage wins: what it trips over had been let through before what trips an earlier one.
        self.tripped = stage.tripped or self.tripped


class _Reader:
    """A place in a text under an automaton: what is held of it, and how far it has been read."""

    def __init__(self, compiled: _Compiled) -> None:
        self._compiled = compiled
        self._reach = compiled.reach
        self._scanner = Scanner(compiled.automaton)
        self._bytes_before = 0  # of what is held
        self._chunk_began = 0
        self._told_until = 0  # up to where the text had left before this reading began
        self.held = ""
        self.last_read = ""
        self.triggered: list[Triggered] = []
        self.tripped: Triggered | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is held and no match is under way."""
        return not self.held and self._scanner.live_from is None

    def tell(self, text: str) -> None:
        """Take note of text that has left before."""
        self._scanner.read(text)
        self.last_read = text[-1:] or self.last_read
        self._bytes_before += utf8_size(text)
        self._told_until = self._scanner.position

    def begin_chunk(self) -> None:
        """Note where the next piece of the text begins."""
        self._chunk_began = self._scanner.position

    def catch_up(self, ahead: "_Ahead") -> None:
        """Take note of the text that passed while nothing in it concerned this reader."""
        if ahead.passed_characters:
            self._bytes_before += ahead.passed_bytes
            self.last_read = ahead.last_passed
            position = self._scanner.position + ahead.passed_characters
            self._scanner = Scanner(self._compiled.automaton, before=self.last_read, position=position)

    @property
    def fails_closed(self) -> bool:
        """Whether the first of what is held is held for a rule that would end the answer for it."""
        from_ = self._scanner.holding_from
        return from_ is not None and bool(self.held) and from_ <= self._scanner.position - len(self.held)

    def _keep(self, text: str) -> None:
        self.held += text
        self.last_read = text[-1:] or self.last_read

    def _held_from(self) -> int:
        """From where on text is held for the sake of what is under way."""
        position, live_from = self._scanner.position, self._scanner.live_from
        return position if live_from is None else max(live_from, position - self._reach)

    def _release(self, until: int) -> str:
        """Let go of the held text before a position."""
        count = max(0, until - (self._scanner.position - len(self.held)))
        released, self.held = self.held[:count], self.held[count:]
        self._bytes_before += utf8_size(released)
        return released

    def _event(self, match: Match, chunk: int) -> Triggered:
        rule = self._compiled.rules[match.pattern]
        start, end = self._offset(match.start), self._offset(match.end)
        scope: Literal["chunk", "stream_window"] = "chunk" if match.start >= self._chunk_began else "stream_window"
        return Triggered(rule, chunk, start, end, scope, "literal" if rule.regex is None else "regex")

    def _offset(self, position: int) -> int:
        """Bytes of the text before a position that is held, or where what is held begins or ends."""
        count = position - (self._scanner.position - len(self.held))
        return self._bytes_before + utf8_size(self.held[: max(0, count)])


class _WatchingStage(_Reader):
    """Rules that end the text: `tripped` says which did, `unread` how many characters of the last piece came after that."""

    def __init__(self, compiled: _Compiled) -> None:
        super().__init__(compiled)
        self.unread = 0

    def read(self, text: str, chunk: int) -> str:
        """Take in text; return what may pass."""
        mark = self._scanner.mark()
        matches = self._scanner.read(text)
        if not matches:
            self._keep(text)
            return self._release(self._held_from())
        # Read again, a character at a time: what passes must not depend on how the text was cut.
        self._scanner.return_to(mark)
        passed = ""
        for number, character in enumerate(text, 1):
            held_from = self._held_from()
            matches = self._scanner.read(character)
            self._keep(character)
            passed += self._release(held_from)
            if matches:
                self._trip(matches, chunk)
                self.unread = len(text) - number
                break
        return passed

    def finish(self, chunk: int) -> str:
        """Take in the end of the text."""
        matches = self._scanner.finish()
        if matches:
            self._trip(matches, chunk)
            return ""
        return self._release(self._scanner.position)

    def let_go(self, chunk: int) -> str:
        """Give up what is held, up to where a rule that fails closed begins to."""
        from_ = self._scanner.holding_from
        return self._release(self._scanner.position if from_ is None else from_)

    def _trip(self, matches: Sequence[Match], chunk: int) -> None:
        first = min(matches, key=lambda match: (match.end, match.start, match.pattern))
        begun = max(first.start, self._scanner.position - len(self.held))
        self.tripped = self._event(Match(first.pattern, begun, first.end), chunk)
        self.triggered.append(self.tripped)


class _ChangingStage(_Reader):
    """A rule that replaces what it matches, or drops it."""

    def __init__(self, compiled: _Compiled) -> None:
        super().__init__(compiled)
        (self._rule,) = compiled.rules
        self._replacement = self._rule.replacement if self._rule.action == "rewrite" else ""
        self._covered: list[Match] = []  # by matches, joined where these overlap; in order
        self.unread = 0
        self.changed_bytes = 0
        self.inserted_bytes = 0

    def read(self, text: str, chunk: int) -> str:
        """Take in text; return what may pass, changed."""
        matches = self._scanner.read(text)
        self._keep(text)
        for match in matches:
            self._cover(match, chunk)
        return "" if self.tripped is not None else self._change(self._held_from(), chunk)

    def finish(self, chunk: int) -> str:
        """Take in the end of the text."""
        for match in self._scanner.finish():
            self._cover(match, chunk)
        return "" if self.tripped is not None else self._change(self._scanner.position, chunk)

    @property
    def fails_closed(self) -> bool:
        """Whether something is held, and the answer would have to be ended."""
        return bool(self.held) and self._rule.on_hold_exceeded == "closed"

    def let_go(self, chunk: int) -> str:
        """Give up all that is held, but for what is known to be a match."""
        return self._change(self._scanner.position, chunk)

    def _cover(self, match: Match, chunk: int) -> None:
        start, end = max(match.start, match.end - 1 - self._reach), match.end
        if start < self._told_until and self.tripped is None:
            self.tripped = self._event(match, chunk)
            self.triggered.append(self.tripped)
        while self._covered and self._covered[-1].end > start:
            before = self._covered.pop()
            start, end = min(start, before.start), max(end, before.end)
        self._covered.append(Match(match.pattern, start, end))

    def _change(self, settled: int, chunk: int) -> str:
        """Replace what is covered and can grow no more; let pass what is settled."""
        passed = []
        while self._covered and self._covered[0].end <= settled:
            covered = self._covered.pop(0)
            passed.append(self._release(covered.start))
            self.triggered.append(self._event(covered, chunk))
            self.changed_bytes += utf8_size(self._release(covered.end))
            passed.append(self._replacement)
            self.inserted_bytes += utf8_size(self._replacement)
        until = min(settled, self._covered[0].start) if self._covered else settled
        return "".join(passed) + self._release(until)


class _Observer(_Reader):
    """Rules that change nothing; each match is told once, when it is first complete."""

    def __init__(self, compiled: _Compiled) -> None:
        super().__init__(compiled)
        self._reach = min(compiled.reach, _OBSERVED)
        self._told: set[tuple[int, int]] = set()

    def tell(self, text: str) -> None:
        """Take note of text that has left before."""
        self.read(text, 0)

    def read(self, text: str, chunk: int) -> list[Triggered]:
        """Take in text; return what it completes."""
        self.begin_chunk()
        matches = self._scanner.read(text)
        self._keep(text)
        return self._tell(matches, chunk)

    def finish(self, chunk: int) -> list[Triggered]:
        """Take in the end of the text; return what it completes."""
        return self._tell(self._scanner.finish(), chunk)

    def _tell(self, matches: Sequence[Match], chunk: int) -> list[Triggered]:
        found = []
        for match in matches:
            if (match.pattern, match.start) not in self._told:
                self._told.add((match.pattern, match.start))
                found.append(self._event(match, chunk))
        held_from = self._held_from()
        self._release(held_from)
        self._told = {told for told in self._told if told[1] >= held_from}
        return found


class _Ahead:
    """All enforced patterns in one automaton, ahead of the stages; at rest while the stages read by themselves."""

    def __init__(self, compiled: _Compiled) -> None:
        self._compiled = compiled
        self._scanner = Scanner(compiled.automaton)
        self.held = ""
        self.is_resting = False
        self.passed_characters = 0
        self.passed_bytes = 0
        self.last_passed = ""

    def read(self, text: str) -> str | None:
        """Take in text; return what the stages would let pass. None when that is theirs to say; what was held is theirs then, too."""
        if self.is_resting:
            return None
        matches, live_from = self._scanner.read(text), self._scanner.live_from
        under_way = 0 if live_from is None else self._scanner.position - live_from
        began_alone = live_from is None or live_from == self._scanner.quiet_at
        if matches or not began_alone or under_way > self._compiled.reach:
            self._rest()
            return None
        text = self.held + text
        passed, self.held = text[: len(text) - under_way], text[len(text) - under_way :]
        if passed:
            self.passed_characters += len(passed)
            self.passed_bytes += utf8_size(passed)
            self.last_passed = passed[-1]
        return passed

    def finish(self) -> str | None:
        """Take in the end of the text; see `read`."""
        if self._scanner.finish():
            self._rest()
            return None
        passed, self.held = self.held, ""
        return passed

    def go_on(self, stages: Sequence[_Reader]) -> None:
        """Take over from the stages again, if all are idle and stand behind the same character."""
        if stages and all(stage.is_idle for stage in stages) and len({stage.last_read for stage in stages}) == 1:
            self._scanner = Scanner(self._compiled.automaton, before=stages[0].last_read)
            self.is_resting = False

    def stand_back(self) -> None:
        """Leave the reading to the stages, until these are idle."""
        self._rest()

    def _rest(self) -> None:
        self.held = ""
        self.is_resting = True


def _grouped(rules: Sequence[StreamRule]) -> list[list[StreamRule]]:
    """Part rules into stages, in their order."""
    groups: list[list[StreamRule]] = []
    for rule in rules:
        if groups and not rule.is_changing and not groups[-1][0].is_changing:
            groups[-1].append(rule)
        else:
            groups.append([rule])
    return groups


def utf8_size(text: str) -> int:
    """How many bytes a text takes as UTF-8. Purity: pure."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
