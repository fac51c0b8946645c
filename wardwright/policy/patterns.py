"""What a rule's pattern means, and matching that takes time linear in the text whatever the pattern.

A literal matches its characters as written. A regular expression is Hyperscan's dialect of Perl's syntax, compiled to an automaton:
there is no backtracking, so no pattern can be slow on any text, and in return no back-reference and no look-around. It matches over
the UTF-8 of the text: `.` is one character, `\\w`, `\\d`, `\\s` and `\\b` know ASCII alone, `\\p{L}` and its like know Unicode, and `(?i)`
folds the case of all letters. Lone surrogates, which have no UTF-8, are seen as `?`.

A pattern that cannot be honoured so is refused when it is compiled, never weakened.
"""

from collections.abc import Sequence

import hyperscan
import msgspec

_LITERAL_SPECIALS = frozenset("\\^$.|?*+()[]{}#-")


class PatternError(ValueError):
    """A pattern that cannot be compiled; the message completes "expected a pattern that …" for the person who wrote it."""


class Pattern(msgspec.Struct, frozen=True):
    """One pattern of a rule: a literal text or a regular expression."""

    text: str
    is_regex: bool = False

    @property
    def expression(self) -> str:
        """The pattern as a regular expression."""
        return self.text if self.is_regex else "".join(_quoted(character) for character in self.text)


class Matcher:
    """Patterns compiled into one automaton. Not safe for use by several threads at a time."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._database = _compiled(patterns) if patterns else None

    def matches(self, text: str) -> frozenset[int]:
        """Find which patterns match anywhere in a text, by their place in the list."""
        found: set[int] = set()
        if self._database is not None:

            def note(pattern: int, start: int, end: int, flags: int, context: object) -> None:
                found.add(pattern)

            self._database.scan(text.encode("utf-8", "replace"), match_event_handler=note)
        return frozenset(found)


def compile_pattern(pattern: Pattern) -> None:
    """Make sure that a pattern can be honoured.

    Raises: PatternError.
    """
    _compiled([pattern])


def _compiled(patterns: Sequence[Pattern]) -> hyperscan.Database:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    flags = hyperscan.HS_FLAG_UTF8 | hyperscan.HS_FLAG_SINGLEMATCH
    try:
        expressions = [pattern.expression.encode() for pattern in patterns]
        database.compile(
            expressions=expressions,
            ids=list(range(len(expressions))),
            elements=len(expressions),
            flags=[flags] * len(expressions),
        )
    except UnicodeEncodeError as error:
        raise PatternError("is valid Unicode text") from error
    except hyperscan.error as error:
        raise PatternError(_reason(str(error))) from error
    return database


def _quoted(character: str) -> str:
    return "\\" + character if character in _LITERAL_SPECIALS else character


def _reason(complaint: str) -> str:
    """Say what to do about a complaint of the compiler's."""
    if "Back-references" in complaint:
        return "has no back-reference: matching takes linear time, which rules them out"
    if "Zero-width" in complaint:
        return "has no look-ahead or look-behind: matching takes linear time, which rules them out"
    if "empty buffer" in complaint:
        return "does not match the empty text: this one would match everywhere"
    if "too large" in complaint:
        return f"is smaller: {complaint.rstrip('.')}"
    return f"is a valid regular expression: {complaint.rstrip('.')}"
