"""The floor: a Starlette handler on the server the daemon uses, that answers the same bytes with nothing behind it.

`python -m tests.benchmarks.bare` listens on a free loopback port and says which in one line of JSON. A stream leaves chunk by
chunk, as handlers commonly write it. What the daemon costs above this is what routing, the upstream call and receipts cost; below
it, what it saves by sending together what came together.
"""

import sys
from collections.abc import AsyncIterator

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.benchmarks.answers import Asked, behaviour_of, completion, parse_asked, stream_writes
from tests.benchmarks.processes import announce
from wardwright.edge.server import HttpServer, bind


async def chat(request: Request) -> Response:
    asked = parse_asked(await request.body())
    delay_s = behaviour_of(asked.model).delay_s
    if delay_s:
        await anyio.sleep(delay_s)
    if not asked.stream:
        return Response(completion(asked.model), media_type="application/json")
    return StreamingResponse(stream(asked), media_type="text/event-stream")


async def stream(asked: Asked) -> AsyncIterator[bytes]:
    pace_s = behaviour_of(asked.model).pace_s
    due = anyio.current_time()
    for write in stream_writes(asked.model, include_usage=asked.wants_usage):
        if pace_s:
            await anyio.sleep_until(due)
            due += pace_s
        yield write


async def serve(backend: str) -> None:
    """Answer until the process is told to stop."""
    app = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])
    with bind("127.0.0.1", 0) as listener:
        announce(*listener.getsockname()[:2])
        async with anyio.create_task_group() as tasks:
            await HttpServer(app, listener, tasks, backend=backend).start().serving()


if __name__ == "__main__":
    chosen = sys.argv[1]
    anyio.run(serve, chosen, backend=chosen, backend_options={"use_uvloop": True} if chosen == "asyncio" else {})
