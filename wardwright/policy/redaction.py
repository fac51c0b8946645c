"""Redaction: a text without its secrets, and with a marker such as `[redacted:email]` where each of them stood.

It knows some kinds of secrets by itself (`policy.secrets_in_text`) and takes rules of a model's own, whose patterns are those of
stream rules: linear in time, whatever the pattern. Matches that overlap are replaced as one, by the marker of the one that begins
first.

What was replaced may bring its neighbours into a new light: so a text is read again until nothing is found in it, and redacting what
was redacted changes nothing. A marker is never read: it neither is, nor is part of, a match.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from wardwright.domain.policy import RedactionRule
from wardwright.policy.automaton import Automaton, Scanner
from wardwright.policy.pattern_syntax import parse_pattern
from wardwright.policy.patterns import Matcher, Pattern, PatternError
from wardwright.policy.secrets_in_text import FINDERS

MOST_READINGS = 16
"""How often a text is read again; one that is not settled then is replaced as a whole."""

_MARKER = re.compile(r"\[redacted:[a-z0-9][a-z0-9._-]{0,63}\]")
_KEPT = 32


class _Span(NamedTuple):
    start: int
    end: int
    label: str


def marker(label: str) -> str:
    """What stands in the place of a secret of this kind. Purity: pure."""
    return f"[redacted:{label}]"


def redaction_pattern(rule: RedactionRule) -> Pattern:
    """The pattern of a rule.

    Raises: PatternError when it has none.
    """
    if rule.regex is not None:
        return Pattern(rule.regex, is_regex=True)
    if rule.contains:
        return Pattern(rule.contains)
    raise PatternError("is there: a redaction needs contains or regex")


class Redactor:
    """Finds secrets by what is known of them and by rules. Shared by all requests of a model, on one event loop.

    Raises: PatternError.
    """

    def __init__(self, rules: Sequence[RedactionRule] = ()) -> None:
        self._rules = tuple(rules)
        patterns = [redaction_pattern(rule) for rule in rules]
        self._automaton = Automaton([parse_pattern(pattern) for pattern in patterns]) if patterns else None
        self._matcher = Matcher(patterns)  # says fast that there is nothing, which is the usual answer

    def redacted(self, text: str, counts: Counter[str] | None = None) -> str:
        """The text without its secrets; `counts` grows by what was found, by label. Purity: no I/O."""
        return self.redacted_pieces([text], counts)[0]

    def redacted_pieces(self, pieces: Sequence[str], counts: Counter[str] | None = None) -> list[str]:
        """The same of a text in pieces: what stands in one of them is found, and what goes over from one into the next. Purity: no I/O."""
        current = list(pieces)
        for _ in range(MOST_READINGS):
            spans = self._spans(current)
            if not spans:
                return current
            if counts is not None:
                counts.update(span.label for span in spans)
            current = _replaced(current, spans)
        return [marker("unsettled") if piece else "" for piece in current]

    def cut(self, text: str, at: int) -> int:
        """Where a text that is too long may end, at `at` or soon behind it: never within a secret. Purity: no I/O."""
        spans = self._spans([text])
        return next((span.end for span in spans if span.start < at < span.end), min(at, len(text)))

    def _spans(self, pieces: Sequence[str]) -> list[_Span]:
        """All that is found, in order and without overlaps, by places in the pieces put together."""
        found = self._read("".join(pieces))
        if len(pieces) > 1:
            starts = accumulate(map(len, pieces), initial=0)
            found += [
                _Span(start + span.start, start + span.end, span.label)
                for start, piece in zip(starts, pieces, strict=False)
                for span in self._read(piece)
            ]
        return _disjoint(found)

    def _read(self, text: str) -> list[_Span]:
        found: list[_Span] = []
        for start, stretch in _between_markers(text):
            for label, find in FINDERS.items():
                found += [_Span(start + first, start + end, label) for first, end in find(stretch)]
            found += [_Span(start + first, start + end, label) for first, end, label in self._by_rules(stretch)]
        return found

    def _by_rules(self, text: str) -> Iterator[_Span]:
        if self._automaton is None or not self._matcher.matches(text):
            return
        scanner = Scanner(self._automaton)
        for match in [*scanner.read(text), *scanner.finish()]:
            yield _Span(match.start, match.end, self._rules[match.pattern].id)


@lru_cache(_KEPT)
def redactor_of(rules: tuple[RedactionRule, ...]) -> Redactor:
    """The redactor of some rules, compiled once. Raises: PatternError."""
    return Redactor(rules)


def _between_markers(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    for found in _MARKER.finditer(text):
        if found.start() > start:
            yield start, text[start : found.start()]
        start = found.end()
    if start < len(text):
        yield start, text[start:]


def _disjoint(spans: Sequence[_Span]) -> list[_Span]:
    kept: list[_Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if kept and span.start < kept[-1].end:
            kept[-1] = kept[-1]._replace(end=max(kept[-1].end, span.end))
        else:
            kept.append(span)
    return kept


def _replaced(pieces: Sequence[str], spans: Sequence[_Span]) -> list[str]:
    """Put markers in the place of spans; the marker stands in the piece where its span begins."""
    result: list[str] = []
    start = 0
    waiting = list(reversed(spans))
    for piece in pieces:
        end = start + len(piece)
        made, at = [], start
        while waiting and waiting[-1].start < end:
            span = waiting[-1]
            if span.start >= start:
                made += [piece[at - start : span.start - start], marker(span.label)]
            at = min(span.end, end)
            if span.end > end:
                break
            waiting.pop()
        result.append("".join(made) + piece[at - start :])
        start = end
    return result
