"""Probes, open to everybody: `/livez` says the process answers, `/readyz` whether requests should be sent here. And why, for operators."""

import structlog

from wardwright.edge.http import Receive, Scope, Send, send_json
from wardwright.runtime.gateway import Gateway, Obstacle

_log = structlog.get_logger("wardwright.edge")


class Health:
    """The probes, which name the checks that fail and no more, and `/admin/readiness`; protected, which says why.

    What a probe finds is in the log, too, whenever it is another than before.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._logged: list[Obstacle] = []

    async def live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /livez`."""
        await send_json(send, {"status": "ok"})

    async def ready(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /readyz`: 200 when configuration is loaded, storage writable and the tree healthy; 503 with what is not else."""
        found = await self._gateway.readiness()
        self._note(found)
        if found:
            checks = list(dict.fromkeys(obstacle.check for obstacle in found))
            await send_json(send, {"status": "not ready", "problems": checks}, status=503)
        else:
            await send_json(send, {"status": "ready"})

    async def explain(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /admin/readiness`: what `/readyz` says, each problem with the reason."""
        found = await self._gateway.readiness()
        await send_json(send, {"status": "not ready" if found else "ready", "problems": found})

    def _note(self, found: list[Obstacle]) -> None:
        if found == self._logged:
            return
        self._logged = found
        if found:
            _log.warning("not ready", problems=[obstacle.detail for obstacle in found])
        else:
            _log.info("ready again")
