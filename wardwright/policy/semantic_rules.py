"""Rules over the values of an answer that schemas do not say, or not so well: a number within bounds, a string without some text."""

import re
from typing import Any

from wardwright.domain.structured import NumberRule, SemanticRule

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


def breach(rule: SemanticRule, value: Any) -> str | None:
    """Say what a value breaks of a rule; None when it keeps to it. Purity: pure."""
    found = _at(value, rule.path)
    if isinstance(rule, NumberRule):
        bounds = {">=": rule.gte, ">": rule.gt, "<=": rule.lte, "<": rule.lt}
        words = " and ".join(f"{sign} {bound:g}" for sign, bound in bounds.items() if bound is not None)
        return None if _is_within(found, rule) else f"{rule.path}: must be a number {words}"
    if isinstance(found, str) and rule.pattern.casefold() in found.casefold():
        return f"{rule.path}: must not have {rule.pattern!r} in it"
    return None


def _is_within(found: Any, rule: NumberRule) -> bool:
    if isinstance(found, bool) or not isinstance(found, int | float):
        return False
    return (
        (rule.gte is None or found >= rule.gte)
        and (rule.gt is None or found > rule.gt)
        and (rule.lte is None or found <= rule.lte)
        and (rule.lt is None or found < rule.lt)
    )


def _at(value: Any, pointer: str) -> Any:
    """What stands at a JSON pointer; None when nothing does."""
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and _INDEX.fullmatch(key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value
