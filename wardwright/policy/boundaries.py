"""Where a text may be cut so that a reader gets only whole things: sentences, lines, code blocks, a JSON value.

A sentence ends with `.`, `!` or `?` and white space behind it (the full stops of Chinese and Japanese need none); a line ends with its
newline. Inside a fenced code block nothing may be cut until the fence is closed, and an answer that begins with `{` or `[` is taken for
one JSON value, not to be cut until that is whole.
"""

_ENDS = ".!?…"
_ENDS_ALONE = "\u3002\uff01\uff1f"
_FENCES = ("```", "~~~")


class BoundaryGate:
    """One text, let go of at its boundaries. `held` is what waits for the next one."""

    def __init__(self) -> None:
        self.held = ""
        self._seen = 0  # how much of `held` was looked at
        self._line = ""  # the beginning of the line being read, as far as a fence may stand there
        self._fence = ""
        self._before = ""
        self._value: _JsonValue | None = None
        self._has_begun = False

    def feed(self, text: str) -> str:
        """Take in the next piece; return what may leave."""
        self.held += text
        until = 0
        for place in range(self._seen, len(self.held)):
            if self._is_boundary(self.held[place]):
                until = place + 1
        released, self.held = self.held[:until], self.held[until:]
        self._seen = len(self.held)
        return released

    def tell(self, text: str) -> None:
        """Take note of text that has left before."""
        self.feed(text)
        self.held, self._seen = "", 0

    def finish(self) -> str:
        """Take in the end: everything may leave."""
        released, self.held, self._seen = self.held, "", 0
        return released

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
