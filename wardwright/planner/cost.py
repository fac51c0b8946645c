"""What an answer costs: tokens, as the provider reported them or as they are estimated, times the target's declared price."""

from wardwright.domain.chat import Usage
from wardwright.domain.route import Price
from wardwright.planner.estimate import CHARACTERS_PER_TOKEN

_NANO_PER_MICRO = 1000


def estimated_usage(prompt_tokens: int, generated_bytes: int) -> Usage:
    """Estimate what an attempt used whose provider did not say: the planned prompt, and a token for every four bytes. Purity: pure."""
    completion = -(-generated_bytes // CHARACTERS_PER_TOKEN)
    return Usage(prompt_tokens, completion, source="estimated")


def cost_nano_usd(usage: Usage, price: Price) -> int:
    """Price a usage, in billionths of a dollar. Dollars for a million tokens are millionths of a dollar for one. Purity: pure.

    Prompt tokens from the provider's cache have a price of their own where one is declared.
    """
    cached = min(usage.cached_prompt_tokens, usage.prompt_tokens)
    cached_price = price.input if price.cached_input is None else price.cached_input
    micro = (
        (usage.prompt_tokens - cached) * price.input + cached * cached_price + usage.completion_tokens * price.output
    )
    return round(micro * _NANO_PER_MICRO)


def total_usage(usages: list[Usage]) -> Usage | None:
    """Add up the usage of several attempts; an estimate among them makes the sum one. None without any. Purity: pure."""
    if len(usages) < 2:
        return usages[0] if usages else None
    return Usage(
        sum(usage.prompt_tokens for usage in usages),
        sum(usage.completion_tokens for usage in usages),
        "estimated" if any(usage.source == "estimated" for usage in usages) else "reported",
        sum(usage.cached_prompt_tokens for usage in usages),
    )
