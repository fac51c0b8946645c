"""JSON text with every needless escape undone, as it comes: so that no pattern is evaded by spelling a letter `\\u0041`.

`\\u0041` becomes `A` and `\\/` becomes `/`; what must be escaped in JSON (quotes, backslashes, control characters) is escaped the
short way where there is one. Everything else stays as it is, valid or not. The result means the same.
"""

import re

# An escape, or the beginning of one that may go on behind the end of what has come. A pair of surrogates is one character.
_ESCAPE = re.compile(
    r"\\(?:u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|(?P<cut>u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?\Z|u[0-9a-fA-F]{0,3}\Z|\Z)"
    r"|u(?P<code>[0-9a-fA-F]{4})|(?P<plain>[^u])|u)",
    re.DOTALL,
)
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class PlainJson:
    """One JSON text in pieces; what it gives back lags behind by an escape that is not whole yet, and no more."""

    def __init__(self) -> None:
        self._cut = ""

    def feed(self, text: str) -> str:
        """Take in the next piece; return what is known of the plain text."""
        if not self._cut and "\\" not in text:
            return text
        text, self._cut = self._cut + text, ""
        return _ESCAPE.sub(self._undo, text)

    def finish(self) -> str:
        """Take in the end; return the rest."""
        rest, self._cut = self._cut, ""
        return rest

    def _undo(self, escape: re.Match[str]) -> str:
        if escape["cut"] is not None:
            self._cut = escape[0]
            return ""
        if escape["high"] is not None:
            high, low = int(escape["high"], 16), int(escape["low"], 16)
            return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
        if escape["code"] is not None:
            return _spelled(int(escape["code"], 16), escape[0])
        return "/" if escape["plain"] == "/" else escape[0]


def _spelled(code: int, as_it_came: str) -> str:
    character = chr(code)
    if character in _SHORT:
        return _SHORT[character]
    must_be_escaped = code < 0x20 or 0xD800 <= code <= 0xDFFF
    return as_it_came if must_be_escaped else character
