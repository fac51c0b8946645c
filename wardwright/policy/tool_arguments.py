"""The arguments of one tool call under rules: read as they come, let go of only as a whole."""

import msgspec

from wardwright.domain.policy import StreamRule
from wardwright.policy.plain_json import PlainJson
from wardwright.policy.text_guard import TextGuard
from wardwright.policy.text_rules import TextRules
from wardwright.policy.text_stages import Triggered
from wardwright.policy.utf8 import utf8_size


class GuardedArguments:
    """One tool call's arguments. `broken_by` is the rule that has made no JSON of what was JSON before."""

    def __init__(self, rules: TextRules | None) -> None:
        self._guard = None if rules is None else TextGuard(rules)
        self._plain = PlainJson()
        self._is_json = True
        self._raw: list[str] = []
        self._passed: list[str] = []
        self._changed_by: StreamRule | None = None
        self.broken_by: StreamRule | None = None

    def feed(self, text: str, *, is_json: bool = True) -> list[Triggered]:
        """Take in the next piece; return what it completes."""
        self._raw.append(text)
        self._is_json = is_json
        if self._guard is None:
            return []
        self._passed.append(self._guard.feed(self._plain.feed(text) if is_json else text))
        return self._taken()

    def finish(self) -> list[Triggered]:
        """Take in the end; return what it completes."""
        if self._guard is None:
            return []
        self._passed += [self._guard.feed(self._plain.finish()), self._guard.finish()]
        fired = self._taken()
        changed = self.changed
        if self._is_json and changed is not None and _is_json("".join(self._raw)) and not _is_json(changed):
            self.broken_by = self._changed_by
        return fired

    @property
    def tripped(self) -> StreamRule | None:
        """The rule that ended the answer."""
        return None if self._guard is None or self._guard.tripped is None else self._guard.tripped.rule

    @property
    def changed(self) -> str | None:
        """The arguments after the rules; None when these changed nothing."""
        return None if self._guard is None or not self._guard.rewritten_bytes else "".join(self._passed)

    @property
    def change(self) -> tuple[int, int]:
        """How many bytes went from the arguments as they came, and how many came in their place."""
        changed = self.changed
        if self._guard is None or changed is None:
            return 0, 0
        inserted = self._guard.inserted_bytes
        return utf8_size("".join(self._raw)) + inserted - utf8_size(changed), inserted

    def _taken(self) -> list[Triggered]:
        fired: list[Triggered] = []
        if self._guard is not None and self._guard.triggered:
            fired, self._guard.triggered = self._guard.triggered, []
            changes = [one.rule for one in fired if one.rule.is_enforced and one.rule.is_changing]
            self._changed_by = changes[-1] if changes else self._changed_by
        return fired


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
