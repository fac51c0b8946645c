"""The stream guard: frames of one answer in, frames that may leave out, and what the rules have to say of it.

Nothing here waits or reads a clock. Frames go in as the provider's reads brought them, with the time of that read.

What is promised:

- No byte leaves that is part of a match of an enforced rule, however the answer was cut into frames and reads.
- Each text is read for itself: the answer text and the reasoning of each choice, the arguments of each tool call. What one text
  holds back holds up no other: the frames of one text keep their order, and a tail of reasoning may come after the first words of
  the answer.
- A frame that loses nothing leaves as it came, every byte of it, if need be later. Only a frame that is cut, or whose text was
  changed, is made again; `Reframe` does that in the terms of its wire.
- What has text of an enforced channel where no rule reads it (`Frame.has_echoes`) does not leave at all.
- While a rule watches tool arguments, or another target may have to go on with the answer, tool calls are held whole until their
  choice ends: none leaves that was not read to its end.
  They are read with needless escapes undone (`plain_json`), and must still be JSON when a rule has changed them.
- When a rule ends the answer (`tripped`), nothing more leaves, and of the frames of that last read none.

- What is held of a provider's stream never exceeds `max_hold_bytes`, counted as it came. An answer of which more would have to be held is
  ended (`is_overfull`), and nothing more of it leaves.

Modes are gates behind the rules: `semantic_boundary` lets text leave up to the last whole sentence, code block or JSON value,
`full_buffer` lets everything leave at the end.
"""

from collections.abc import Sequence

from wardwright.domain.policy import Channel, RuleFired, StreamRule
from wardwright.domain.stream import Finish, Frame, Reasoning, Text, ToolArguments, ToolCallStart, UsageReport
from wardwright.policy.boundaries import BoundaryGate
from wardwright.policy.held_frames import Account, HeldCalls, HeldText, Load, Reframe, size_of
from wardwright.policy.stream_rules import StreamRules
from wardwright.policy.text_stages import Triggered
from wardwright.policy.utf8 import utf8_size

EVENTS_KEPT = 100

_Content = Text | Reasoning | ToolCallStart | ToolArguments


class StreamGuard:
    """One answer under rules. Once `tripped` is set nothing more is read, and nothing more leaves.

    Tool calls are held whole where a rule or the mode asks for that, or `whole_calls`.
    `fired` has the first `EVENTS_KEPT` matches and the first of every rule, `trigger_count` counts all, `fired_rules` are the ids of all rules that fired.
    """

    def __init__(self, rules: StreamRules, reframe: Reframe, *, whole_calls: bool = False) -> None:
        self._rules = rules
        self._reframe = reframe
        is_asked_for = rules.by_channel["tool_arguments"] is not None or rules.mode == "semantic_boundary"
        self._holds_calls = whole_calls or is_asked_for
        self._texts: dict[tuple[Channel, int], HeldText | None] = {}
        self._calls: dict[int, HeldCalls] = {}
        self._ended: set[int] = set()
        self._buffer: list[Frame] | None = [] if rules.mode == "full_buffer" else None
        self._lost = 0  # what came behind the end of its choice
        self._load = Load()
        self.is_overfull = False
        self.opened_bytes = 0
        self.account = Account()
        self.fired: list[RuleFired] = []
        self.fired_rules: set[str] = set()
        self.trigger_count = 0
        self.tripped: StreamRule | None = None

    def tell(self, channel: Channel, choice: int, text: str) -> None:
        """Take note of text that has left before this answer began: rules see it together with what comes, and find nothing in it alone."""
        held = self._text(channel, choice)
        if held is not None and text:
            held.tell(text)

    def feed(self, frames: Sequence[Frame], now: float) -> Sequence[Frame]:
        """Take in the frames of one read; return those that may leave now."""
        released_before = self.account.released
        left: list[Frame] = []
        for frame in frames:
            if self.tripped is None and not self.is_overfull:
                self._take(frame, now, left)
        return self._let_out(left, released_before)

    def finish(self, now: float) -> Sequence[Frame]:
        """Take in the end of the answer; return all that may leave of the rest."""
        released_before = self.account.released
        left: list[Frame] = []
        for choice in sorted({choice for _, choice in self._texts} | set(self._calls)):
            if self.tripped is None and not self.is_overfull:
                self._end_choice(choice, now, left)
        ready = self._let_out(left, released_before)
        if self._buffer is None or self.tripped is not None or self.is_overfull:
            return ready
        buffered, self._buffer = self._buffer, None
        self.account.released = self.account.held - self._lost
        return buffered

    def withhold(self) -> None:
        """Reckon what `finish` has let go as held after all: it went nowhere."""
        self.account.released = 0

    def overdue_at(self) -> float | None:
        """When the text that is held longest will have been held as long as it may. Tool calls wait to be whole and do not count."""
        patience = self._rules.max_hold_s
        if patience is None:
            return None
        since = [text.held_since for text in self._texts.values() if text is not None and text.held_since is not None]
        return min(since) + patience if since else None

    def let_go(self, now: float) -> Sequence[Frame]:
        """Give up text that has been held for as long as it may, where what holds it fails open; return what may leave of it."""
        patience = self._rules.max_hold_s
        if patience is None or self.tripped is not None or self.is_overfull:
            return ()
        released_before = self.account.released
        left: list[Frame] = []
        for text in self._texts.values():
            if text is not None and text.held_since is not None and text.held_since + patience <= now:
                text.let_go(left, mode_opens=self._rules.mode_opens)
                self._note_text(text)
        ready = self._let_out(left, released_before)
        self.opened_bytes += self.account.released - released_before
        return ready

    def postpone(self, seconds: float) -> None:
        """Take what is held for so much younger."""
        for text in self._texts.values():
            if text is not None:
                text.postpone(seconds)

    @property
    def load_bytes(self) -> int:
        """How much of the provider's stream is held, in bytes as it came."""
        return self._load.bytes

    def _let_out(self, left: list[Frame], released_before: int) -> Sequence[Frame]:
        account = self.account
        if self.tripped is None and self._buffer is not None:
            account.released = 0
            self._buffer += left
            self._load.bytes += sum(map(size_of, left))
            left = []
        self.is_overfull = self.is_overfull or self._load.bytes > self._rules.max_hold_bytes
        if self.tripped is not None or self.is_overfull:
            account.released, left = released_before, []
        held = account.held
        account.max_held = max(account.max_held, held)
        return left

    # --- frames

    def _take(self, frame: Frame, now: float, left: list[Frame]) -> None:
        if frame.has_echoes and self._rules.enforced:
            frame = self._reframe.without_echoes(frame, self._rules.enforced)
        if len(frame.events) == 1:
            (event,) = frame.events
            # Text in the middle of an answer and pieces of a call are nearly all there is, so they take the shortest way.
            if not self._calls:
                if isinstance(event, Text):
                    text = self._texts.get(("text", event.choice))
                    if text is not None:
                        text.take(frame, event.text, now, left)
                        if text.has_fired:
                            self._note_text(text)
                        return
                self._take_part(frame, now, left)
                return
            if isinstance(event, ToolArguments) and self._calls.keys() == {event.choice}:
                self._take_calls(frame, event.choice)
                return
        for part in self._reframe.split(frame) if self._has_parts(frame) else (frame,):
            if self.tripped is None:
                self._take_part(part, now, left)

    def _has_parts(self, frame: Frame) -> bool:
        """Whether a frame may have something that is read, and something else beside it."""
        choices = {event.choice for event in frame.events if not isinstance(event, UsageReport)}
        if not self._calls.keys() <= choices:
            return True  # it may have a piece of a call with nothing in it, which is no event
        contents = {(_channel_of(event), event.choice) for event in frame.events if isinstance(event, _Content)}
        is_one = len(contents) < 2 and len(choices) < 2
        return not is_one and any(self._is_read(channel, choice) for channel, choice in contents)

    def _is_read(self, channel: Channel, choice: int) -> bool:
        return self._holds_calls if channel == "tool_arguments" else self._text(channel, choice) is not None

    def _take_part(self, frame: Frame, now: float, left: list[Frame]) -> None:
        """Take in a frame in which not more than one text is read, and nothing of another choice beside that."""
        if not frame.events and self._calls:
            # It may be a piece of a call that has nothing in it, and clients want pieces in order: it waits with the calls of its choice.
            choice = self._reframe.choice_of(frame)
            calls = None if choice is None else self._calls.get(choice)
            if calls is not None:
                calls.take(frame)
                return
        ends = [event.choice for event in frame.events if isinstance(event, Finish)]
        for event in frame.events:
            if isinstance(event, _Content) and event.choice in self._ended:
                self._lose(frame)
                return
            if isinstance(event, Text | Reasoning):
                text = self._text(_channel_of(event), event.choice)
                if text is not None:
                    self._take_text(frame, text, event, now, left)
                    return
            elif isinstance(event, ToolCallStart | ToolArguments) and self._holds_calls:
                self._take_calls(frame, event.choice)
                if ends:
                    self._end_choice(event.choice, now, left)
                return
        size = sum(
            utf8_size(event.text) for event in frame.events if isinstance(event, Text | Reasoning | ToolArguments)
        )
        self.account.generated += size
        self.account.released += size
        for choice in ends:
            self._end_choice(choice, now, left)
        left.append(frame)

    def _take_text(
        self, frame: Frame, text: "HeldText", event: Text | Reasoning, now: float, left: list[Frame]
    ) -> None:
        if any(isinstance(other, Finish) for other in frame.events):
            del self._texts[text.channel, text.choice]
            self._end_choice(text.choice, now, left)
            if self.tripped is None:
                text.take_last(frame, event.text, now, left)
        else:
            text.take(frame, event.text, now, left)
        self._note_text(text)

    def _take_calls(self, frame: Frame, choice: int) -> None:
        calls = self._calls.get(choice)
        if calls is None:
            rules = self._rules.by_channel["tool_arguments"]
            calls = self._calls[choice] = HeldCalls(choice, rules, self._reframe, self._load)
        for event in frame.events:
            if isinstance(event, ToolArguments):
                self.account.generated += utf8_size(event.text)
        for call, fired in calls.take(frame):
            self._note(fired, "tool_arguments", choice, call)

    def _end_choice(self, choice: int, now: float, left: list[Frame]) -> None:
        """Bring the texts of a choice to their end, and let go of what they held."""
        for channel in ("reasoning", "text"):
            text = self._texts.pop((channel, choice), None)
            if text is not None and self.tripped is None:
                text.end(left)
                self._note_text(text)
        calls = self._calls.pop(choice, None)
        if calls is not None and self.tripped is None:
            for call, fired in calls.end():
                self._note(fired, "tool_arguments", choice, call)
            self._trip(calls.broken_by)
            calls.let_go(self.account, left)
        self._ended.add(choice)

    def _lose(self, frame: Frame) -> None:
        """A provider that goes on behind the end of a choice is not followed: what it says there was not read with the rest."""
        size = sum(
            utf8_size(event.text) for event in frame.events if isinstance(event, Text | Reasoning | ToolArguments)
        )
        self.account.generated += size
        self._lost += size

    def _text(self, channel: Channel, choice: int) -> "HeldText | None":
        """The text of a channel as it is held; None when nothing reads it."""
        try:
            return self._texts[channel, choice]
        except KeyError:
            rules = self._rules.by_channel[channel]
            gate = BoundaryGate() if self._rules.mode == "semantic_boundary" else None
            is_read = rules is not None or gate is not None
            made = HeldText(channel, choice, rules, gate, self._reframe, self.account, self._load) if is_read else None
            self._texts[channel, choice] = made
            return made

    def _trip(self, rule: StreamRule | None) -> None:
        self.tripped = self.tripped or rule

    def _note_text(self, text: "HeldText") -> None:
        self._note(text.taken(), text.channel, text.choice)
        self._trip(text.tripped)

    def _note(self, fired: Sequence[Triggered], channel: Channel, choice: int, call: int | None = None) -> None:
        for match in fired:
            rule = match.rule
            self.trigger_count += 1
            is_first = rule.id not in self.fired_rules
            self.fired_rules.add(rule.id)
            if rule.is_enforced and not rule.is_changing:
                self._trip(rule)
            if len(self.fired) < EVENTS_KEPT or is_first:
                self.fired.append(_told(match, channel, choice, call))


def _channel_of(event: _Content) -> Channel:
    if isinstance(event, Text):
        return "text"
    return "reasoning" if isinstance(event, Reasoning) else "tool_arguments"


def _told(match: Triggered, channel: Channel, choice: int, call: int | None) -> RuleFired:
    rule = match.rule
    return RuleFired(
        rule_id=rule.id,
        action=rule.action,
        channel=channel,
        chunk_index=match.chunk_index,
        match_start_byte=match.match_start_byte,
        match_end_byte=match.match_end_byte,
        match_scope=match.match_scope,
        match_kind=match.match_kind,
        choice=choice,
        call=call,
        shadow=rule.shadow,
    )
