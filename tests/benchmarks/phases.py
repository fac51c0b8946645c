"""What is measured: the table of phases. A further figure of the whole path is a further line here."""

import json
from dataclasses import dataclass

from tests.benchmarks.answers import behaviour_of, stream_writes
from tests.benchmarks.load import LoadPlan

_QUESTION = "Hello, how are you today? Please tell me a short story about a fox that runs a proxy server."
_UNARY_WARMUP_S = 0.4


@dataclass(frozen=True)
class Phase:
    """So many connections that ask one of the upstream's models, again and again."""

    name: str
    title: str
    concurrency: int
    model: str
    stream: bool = False
    pause_s: float = 0.0

    @property
    def body(self) -> str:
        messages = [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": _QUESTION},
        ]
        asked: dict[str, object] = {"model": self.model, "messages": messages, "max_tokens": 100, "temperature": 0.7}
        return json.dumps({**asked, "stream": True} if self.stream else asked, separators=(",", ":"))

    def plan(self, url: str, seconds: float) -> LoadPlan:
        """The load of this phase on a server at `url`, measured for so long."""
        behaviour = behaviour_of(self.model)
        stream_s = len(stream_writes(self.model, include_usage=False)) * behaviour.pace_s
        return LoadPlan(
            url=f"{url}/v1/chat/completions",
            body=self.body,
            concurrency=self.concurrency,
            warmup_s=max(_UNARY_WARMUP_S, stream_s if self.stream else 0.0),
            seconds=seconds,
            events_per_answer=behaviour.chunks if self.stream else None,
            pause_s=self.pause_s,
        )


PHASES = {
    phase.name: phase
    for phase in (
        Phase("u1", "whole answers, 1 connection", 1, "mock"),
        Phase("u16", "whole answers, 16 connections", 16, "mock"),
        Phase("u64", "whole answers, 64 connections", 64, "mock"),
        Phase("d16", "whole answers after 50 ms, 16 connections with short pauses", 16, "mock-d50", pause_s=0.01),
        Phase("d2", "whole answers after 5 ms, 2 connections", 2, "mock-d5"),
        Phase("sb16", "streams of 100 chunks in one burst, 16 connections", 16, "mock-n100", stream=True),
        Phase("sp16", "streams of 100 chunks, one per 10 ms, 16 connections", 16, "mock-n100-p10", stream=True),
        Phase("sp64", "streams of 100 chunks, one per 10 ms, 64 connections", 64, "mock-n100-p10", stream=True),
    )
}
DEFAULT_PHASES = ("u1", "u16", "d16", "u64", "sb16", "sp16")
