"""Functions of the request path timed by themselves, in this process: where the microseconds of a request may be.

A further figure is a further line in `figures`. Each is the best of several repetitions, which is what the code costs when nothing
disturbs it; the disk's figures are medians, because there the disturbance is the point.
"""

import time
import timeit
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

from tests.benchmarks import governed
from tests.benchmarks.answers import completion, stream_writes
from tests.benchmarks.phases import PHASES
from tests.benchmarks.routes import all_facts, large_route, small_route
from tests.benchmarks.timing import best
from wardwright.config.settings import CannedSettings
from wardwright.domain.caller import Caller
from wardwright.domain.route import Cascade, Composition, Dispatcher, ModelDefinition, PlanInputs, RequestFacts, Target
from wardwright.planner.compiled import CompiledRoute
from wardwright.planner.estimate import request_facts
from wardwright.planner.plan import plan
from wardwright.receipts.chain import Chain
from wardwright.receipts.events import (
    AttemptFinished,
    AttemptStarted,
    Closed,
    Decision,
    Opened,
    RequestSummary,
    SelectedTarget,
)
from wardwright.runtime.gate import Admission, Gate
from wardwright.runtime.health import HealthBoard
from wardwright.storage.file import FileReceiptStore
from wardwright.storage.log import Durability
from wardwright.wire.openai import (
    parse_chat_request,
    parse_chunk,
    parse_completion,
    render_chunk,
    render_completion,
    upstream_chat_body,
)
from wardwright.wire.rate_limits import parse_rate_limits
from wardwright.wire.sse import DONE_PAYLOAD, SseParser

PROMISES = {"planner: plan over 10 targets": 30.0, "planner: plan over 200 targets": 300.0, **governed.PROMISES}
"""The most microseconds that a figure may have, by its name."""

_MODEL = "mock-n100"
_APPENDS = 40
_ANSWER_HEADERS = {"content-type": "application/json", "content-length": "400", "date": "Fri, 15 Jan 2027 08:00:00 GMT"}
_LIMIT_HEADERS = {
    **_ANSWER_HEADERS,
    **{f"x-ratelimit-limit-{unit}": "5000" for unit in ("requests", "tokens")},
    **{f"x-ratelimit-remaining-{unit}": "4999" for unit in ("requests", "tokens")},
    **{f"x-ratelimit-reset-{unit}": "1m30s" for unit in ("requests", "tokens")},
}


def figures(folder: Path) -> dict[str, float]:
    """Microseconds per call, by what is called."""
    body = PHASES["u1"].body.encode()
    request = parse_chat_request(body)
    definition, facts = Composition(_definition()), request_facts(request)
    small, large = small_route(), large_route()
    answer = parse_completion(completion("mock"))
    stream = b"".join(stream_writes(_MODEL, include_usage=True))
    chunk = parse_chunk(next(_payloads(stream)))
    found = {
        "wire: parse a chat request": best(partial(parse_chat_request, body)),
        "wire: render it for the upstream": best(partial(upstream_chat_body, request, "mock")),
        "wire: parse a whole answer": best(partial(parse_completion, completion("mock"))),
        "wire: render a whole answer": best(partial(render_completion, answer, model="mock", extra={"wardwright": {}})),
        "wire: SSE and parse, per chunk": best(lambda: [parse_chunk(p) for p in _payloads(stream)]) / 100,
        "wire: render a chunk": best(partial(render_chunk, chunk, model="mock", include_usage=False)),
        "planner: estimate a request": best(partial(request_facts, request)),
        "planner: plan over 6 targets, nothing known": best(partial(plan, definition, PlanInputs(facts))),
        "planner: plan over 10 targets": best(partial(plan, small, all_facts(small))),
        "planner: plan over 200 targets": best(partial(plan, large, all_facts(large))),
        "planner: compile 200 targets": best(partial(CompiledRoute, large)),
        "wire: look for rate limits where there are none": best(partial(parse_rate_limits, _ANSWER_HEADERS, 1.8e9)),
        "wire: read OpenAI's rate limits": best(partial(parse_rate_limits, _LIMIT_HEADERS, 1.8e9)),
        "health: pass a provider's gate and leave it": best(partial(_pass, _gate())),
        "receipts: seal the 4 entries of a request": best(partial(_receipt, "rcpt_0")),
        **governed.figures(),
    }
    durabilities: tuple[Durability, ...] = ("none", "strict")
    for durability in durabilities:
        store = FileReceiptStore(folder / f"micro-{durability}", durability)
        found[f"storage: append a receipt, {durability}"] = _append_time(store, "one", receipts=1)
        found[f"storage: append 16 receipts at once, {durability}"] = _append_time(store, "many", receipts=16)
        store.close()
    return found


def _payloads(stream: bytes) -> Iterator[bytes]:
    """The JSON payloads of a stream that arrives in one read."""
    for event in SseParser().feed(stream):
        if isinstance(event, bytes) and event != DONE_PAYLOAD:
            yield event


def _definition() -> ModelDefinition:
    targets = tuple(Target(f"t{number}", "p", "mock", 1000 * number + 100) for number in range(6))
    selectors = (Dispatcher("fit", ("t0", "t1", "t2", "long")), Cascade("long", ("t5", "t4", "t3")))
    return ModelDefinition("mock", "1", "fit", selectors, targets)


def _gate() -> Gate:
    return HealthBoard().furnish(CannedSettings(id="p", outputs=("unused",)), time.monotonic)


def _pass(gate: Gate) -> None:
    admission = gate.enter_nowait("p/m")
    assert isinstance(admission, Admission)
    with admission:
        admission.settle(None, 1.0)


def _receipt(receipt_id: str) -> list[bytes]:
    chain = Chain(receipt_id)
    target = SelectedTarget("upstream/mock", "upstream", 32768)
    decision = Decision(
        route_type="dispatcher",
        route_id="fit",
        strategy="smallest_context_window",
        reason="the smallest context window that fits",
        selected_model=target.model,
        selected_provider=target.provider,
        selected_context_window=target.context_window,
        selected_models=(target,),
        fallback_models=(),
        skipped=(),
        graph_path=("fit",),
        estimated_prompt_tokens=30,
        route_blocked=False,
        facts=PlanInputs(RequestFacts(30, 100)),
    )
    summary = RequestSummary("mock", "mock", 2, False, 30)
    events = (
        Opened("boot", "mock", "1", Caller(), summary, decision),
        AttemptStarted(1, target.model, target.provider, "mock"),
        AttemptFinished(1, target.model, "completed", 1.8e9, 1.5, finish_reasons=("stop",)),
        Closed("completed", 1, target.model, released=True, released_bytes=100, latency_ms=2.0),
    )
    return [chain.seal(event, 1.8e9) for event in events]


def _append_time(store: FileReceiptStore, name: str, *, receipts: int) -> float:
    """The median time of an append of so many whole receipts."""
    batches = [
        [payload for part in range(receipts) for payload in _receipt(f"rcpt_{name}_{number}_{part}")]
        for number in range(_APPENDS)
    ]
    return median(timeit.timeit(partial(store.append, batch), number=1) for batch in batches) * 1e6
