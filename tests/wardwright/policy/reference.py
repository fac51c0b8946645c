"""What the rules of a stream mean, said simply and slowly: over the whole text at once, with the standard library's own matching."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from wardwright.domain.policy import StreamRule


class Outcome(NamedTuple):
    """The text after all rules, if nothing tripped; and whether something did."""

    text: str
    tripped: bool


def outcome(rules: Sequence[StreamRule], text: str) -> Outcome:
    """Send a whole text through the rules."""
    for rule in rules:
        if rule.shadow or rule.action == "annotate":
            continue
        found = matches(rule, text)
        if found and rule.action not in ("rewrite", "drop"):
            return Outcome(text, tripped=True)
        text = replaced(text, found, rule.replacement if rule.action == "rewrite" else "")
    return Outcome(text, tripped=False)


def matches(rule: StreamRule, text: str) -> list[tuple[int, int]]:
    """Every match of a rule that is not empty: all beginnings, all ends."""
    expression = re.escape(rule.contains) if rule.regex is None and rule.contains is not None else rule.regex or ""
    found = []
    for end in range(1, len(text) + 1):
        # the rest of the text stays in sight, or anchors would see another end
        ending = re.compile(rf"(?:{expression})(?=(?s:.{{{len(text) - end}}})\Z)", re.ASCII)
        found += [(start, end) for start in range(end) if ending.match(text, start)]
    return found


def replaced(text: str, found: list[tuple[int, int]], replacement: str) -> str:
    """Replace what matches cover; those that overlap as one."""
    covered: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if covered and start < covered[-1][1]:
            covered[-1] = (covered[-1][0], max(covered[-1][1], end))
        else:
            covered.append((start, end))
    for start, end in reversed(covered):
        text = text[:start] + replacement + text[end:]
    return text
