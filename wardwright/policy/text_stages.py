"""The stages that a text goes through: each holds what may still become part of a match of its rules, and lets the rest pass.

`policy.text_guard` says in which order they read, and when none of them is asked.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from wardwright.domain.policy import StreamRule
from wardwright.policy.automaton import Match, Scanner
from wardwright.policy.text_rules import Compiled
from wardwright.policy.utf8 import utf8_size

_OBSERVED = 4096  # how far back the beginning of a match is known that only observers see


class Triggered(NamedTuple):
    """A rule matched: where in the policy-visible text (bytes), in which piece of it (from 0), and whether within that piece alone."""

    rule: StreamRule
    chunk_index: int
    match_start_byte: int
    match_end_byte: int
    match_scope: Literal["chunk", "stream_window"]
    match_kind: Literal["literal", "regex"]


class Reader:
    """A place in a text under an automaton: what is held of it, and how far it has been read."""

    def __init__(self, compiled: Compiled) -> None:
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

    def catch_up(self, ahead: "Ahead") -> None:
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


class WatchingStage(Reader):
    """Rules that end the text: `tripped` says which did, `unread` how many characters of the last piece came after that."""

    def __init__(self, compiled: Compiled) -> None:
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


class ChangingStage(Reader):
    """A rule that replaces what it matches, or drops it."""

    def __init__(self, compiled: Compiled) -> None:
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


class Observer(Reader):
    """Rules that change nothing; each match is told once, when it is first complete."""

    def __init__(self, compiled: Compiled) -> None:
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


class Ahead:
    """All enforced patterns in one automaton, ahead of the stages; at rest while the stages read by themselves."""

    def __init__(self, compiled: Compiled) -> None:
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

    def go_on(self, stages: Sequence[Reader]) -> None:
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
