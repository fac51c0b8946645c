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

from wardwright.policy.text_rules import TextRules
from wardwright.policy.text_stages import Ahead, ChangingStage, Observer, Triggered, WatchingStage


class TextGuard:
    """One text under rules. Once `tripped` is set nothing more is read, and nothing more leaves.

    `triggered` grows with what fires; whoever reads it may empty it.
    """

    def __init__(self, rules: TextRules) -> None:
        self._stages: list[WatchingStage | ChangingStage] = [
            ChangingStage(compiled) if compiled.changes else WatchingStage(compiled) for compiled in rules.stages
        ]
        self._changing = [stage for stage in self._stages if isinstance(stage, ChangingStage)]
        self._observer = None if rules.observers is None else Observer(rules.observers)
        self._ahead = None if rules.ahead is None else Ahead(rules.ahead)
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

    def _hand_over(self, ahead: Ahead) -> None:
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

    def _take_note(self, stage: WatchingStage | ChangingStage) -> None:
        self.triggered += stage.triggered
        stage.triggered.clear()
        # The deepest stage wins: what it trips over had been let through before what trips an earlier one.
        self.tripped = stage.tripped or self.tripped
