"""The tokens port: exact counts of a text by a named vocabulary."""

from typing import Protocol

from wardwright.domain.tokens import Tokenizer


class TokenCounter(Protocol):
    """Counts tokens. Both methods block: `load` for up to some hundred milliseconds, `count` in proportion to the text."""

    def load(self, tokenizer: Tokenizer) -> None:
        """Make a vocabulary ready. Idempotent; may be called from any thread."""
        ...

    def count(self, tokenizer: Tokenizer, text: str) -> int:
        """Count the tokens of a text, taking special tokens written in it for plain text."""
        ...
