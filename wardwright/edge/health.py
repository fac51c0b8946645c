"""Probes, open to everybody: `/livez` says the process answers, `/readyz` whether requests should be sent here."""

from wardwright.edge.http import Receive, Scope, Send, send_json
from wardwright.runtime.gateway import Gateway


class Health:
    """The two probes. A problem is a sentence, which may name a folder or a database, and never a secret."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /livez`."""
        await send_json(send, {"status": "ok"})

    async def ready(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /readyz`: 200 when configuration is loaded, storage writable and the tree healthy; 503 with the reasons else."""
        problems = await self._gateway.readiness()
        if problems:
            await send_json(send, {"status": "not ready", "problems": problems}, status=503)
        else:
            await send_json(send, {"status": "ready"})
