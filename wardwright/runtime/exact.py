"""Exact token counts beside the traffic: near a window's edge, in small pieces, letting other requests in between.

The counter holds the interpreter's lock while it counts, so a thread of its own would not help the others. Vocabularies are read in
a worker thread, before their first use where that is known.
"""

from collections.abc import Iterable

import anyio
import anyio.to_thread
import msgspec
from anyio.lowlevel import checkpoint

from wardwright.domain.chat import ChatRequest
from wardwright.domain.route import Composition, RequestFacts
from wardwright.domain.tokens import Tokenizer
from wardwright.planner.estimate import countable_pieces, fixed_tokens, tokenizers_worth_asking
from wardwright.ports.tokens import TokenCounter


class ExactCounts:
    """Adds exact counts to a request's facts where they may decide."""

    def __init__(self, counter: TokenCounter) -> None:
        self._counter = counter
        self._loading = anyio.Lock()
        self._loaded: set[Tokenizer] = set()

    async def load(self, tokenizers: Iterable[Tokenizer]) -> None:
        """Read vocabularies that will be needed. Cancel point."""
        missing = [tokenizer for tokenizer in tokenizers if tokenizer not in self._loaded]
        if missing:
            async with self._loading:
                for tokenizer in missing:
                    if tokenizer not in self._loaded:
                        await anyio.to_thread.run_sync(self._counter.load, tokenizer)
                        self._loaded.add(tokenizer)

    async def refine(self, facts: RequestFacts, request: ChatRequest, composition: Composition) -> RequestFacts:
        """Count where the estimate is within a fifth of a window whose target names its tokenizer. Cancel point if it counts."""
        models = (composition.root, *composition.nested.values())
        worth_asking = tokenizers_worth_asking(facts, (target for model in models for target in model.targets))
        if not worth_asking:
            return facts
        await self.load(worth_asking)
        counts = {tokenizer: await self._count(tokenizer, request) for tokenizer in sorted(worth_asking)}
        return msgspec.structs.replace(facts, exact_prompt_tokens=counts)

    async def _count(self, tokenizer: Tokenizer, request: ChatRequest) -> int:
        total = fixed_tokens(request)
        for piece in countable_pieces(request):
            total += self._counter.count(tokenizer, piece)
            await checkpoint()
        return total
