"""The budgets of the repair loop: how many faulty answers one request may be given before it is told that there is none."""

from typing import Literal

from wardwright.policy.structured_output import Violation

SpentBudget = Literal["rule_budget_spent", "guard_budget_spent"]


class RepairBudget:
    """What the faulty answers of one request have used up so far. The budgets are those that come with each fault."""

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}
        self.rejections = 0
        """How many answers were rejected, by whichever rule."""

    def take(self, violation: Violation) -> SpentBudget | None:
        """Count a fault; say which budget it has used up, a rule's before the whole, or None when another answer may be asked for."""
        self.rejections += 1
        failures = self._failures[violation.rule_id] = self._failures.get(violation.rule_id, 0) + 1
        if failures >= violation.loop.max_failures_per_rule:
            return "rule_budget_spent"
        return "guard_budget_spent" if self.rejections >= violation.loop.max_attempts else None
