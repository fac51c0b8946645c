"""Whether a guard lets a request pass: the requirements that speak of the caller and of the day's spending.

`target_tags` speaks of targets and is the graph's business: it narrows what stands behind the guard.
"""

from collections.abc import Iterable

from wardwright.domain.route import Guard, PlanInputs, Requirements

CALLER_FIELDS = ("tenant_id", "application_id", "consuming_agent_id", "consuming_user_id")


def unmet(guard: Guard, key: str, inputs: PlanInputs) -> str | None:
    """Name the first requirement that does not hold; None when all do. Purity: pure.

    `key` is the guard's name in `inputs.spent_usd`.
    """
    require = guard.require
    for field in CALLER_FIELDS:
        accepted: tuple[str, ...] = getattr(require, field)
        if accepted and inputs.caller.get(field) not in accepted:
            return field
    if require.tags and not set(require.tags).intersection(inputs.caller_tags):
        return "tags"
    if require.max_usd_per_day is not None and inputs.spent_usd.get(key, 0.0) >= require.max_usd_per_day:
        return "max_usd_per_day"
    return None


def fields_asked(requirements: Iterable[Requirements]) -> frozenset[str]:
    """Name the caller's fields that some of the requirements look at, `tags` among them. Purity: pure."""
    asked = (*CALLER_FIELDS, "tags")
    return frozenset(field for require in requirements for field in asked if getattr(require, field))
