"""Where a text may be cut so that a reader gets only whole things: sentences, lines, code blocks, a JSON value.

A sentence ends with `.`, `!` or `?` and white space behind it (the full stops of Chinese and Japanese need none); a line ends with its
newline. Inside a fenced code block nothing may be cut until the fence is closed, and an answer that begins with `{` or `[` is taken for
one JSON value, not to be cut until that is whole.
"""

_ENDS = ".!?…"
_ENDS_ALONE = "\u3002\uff01\uff1f"
_FENCES = ("```", "~~~")


class BoundaryGate:
    """One text, let go of at its boundaries. A piece costs no more for what is held before it."""

    def __init__(self) -> None:
        self._held: list[str] = []
        self._line = ""  # the beginning of the line being read, as far as a fence may stand there
        self._fence = ""
        self._before = ""
        self._value: _JsonValue | None = None
        self._has_begun = False

    @property
    def held(self) -> str:
        """What waits for the next boundary."""
        return "".join(self._held)

    def feed(self, text: str) -> str:
        """Take in the next piece; return what may leave."""
        until = 0
        for place, character in enumerate(text, 1):
            if self._is_boundary(character):
                until = place
        if not until:
            if text:
                self._held.append(text)
            return ""
        released = "".join((*self._held, text[:until]))
        self._held = [text[until:]] if until < len(text) else []
        return released

    def tell(self, text: str) -> None:
        """Take note of text that has left before."""
        self.feed(text)
        self._held.clear()

    def let_go(self) -> str:
        """Give up what is held; the text goes on."""
        released = self.held
        self._held.clear()
        return released

    def finish(self) -> str:
        """Take in the end: everything may leave."""
        return self.let_go()

    def _is_boundary(self, character: str) -> bool:
        """Whether the text may be cut behind this character."""
        if not self._has_begun and not character.isspace():
            self._has_begun = True
            self._value = _JsonValue() if character in "{[" else None
        if self._value is not None:
            if self._value.ends_with(character):
                self._value = None
                return True
            return False
        return self._is_end_of_prose(character)

    def _is_end_of_prose(self, character: str) -> bool:
        before, self._before = self._before, character
        if character == "\n":
            return self._ends_line()
        if len(self._line) < 3:
            self._line = (self._line + character).lstrip(" ")
        if self._fence or self._line in _FENCES:
            return False
        return character in _ENDS_ALONE or (character.isspace() and before in _ENDS and before != "")

    def _ends_line(self) -> bool:
        line, self._line = self._line, ""
        if self._fence:
            if line == self._fence:
                self._fence = ""
            return not self._fence
        if line in _FENCES:
            self._fence = line
        return not self._fence


class _JsonValue:
    """An object or an array, character by character."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_text = False
        self._escaped = False

    def ends_with(self, character: str) -> bool:
        """Whether the value is whole with this character."""
        if self._in_text:
            if self._escaped:
                self._escaped = False
            elif character == "\\":
                self._escaped = True
            elif character == '"':
                self._in_text = False
        elif character == '"':
            self._in_text = True
        elif character in "{[":
            self._depth += 1
        elif character in "}]":
            self._depth -= 1
            return self._depth <= 0
        return False
