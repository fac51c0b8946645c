"""Reading receipts: a page of summaries, one whole receipt, the receipts of a run."""

from wardwright.edge.http import Receive, Scope, Send, query_parameters, send_json
from wardwright.receipts.query import ReceiptFilter
from wardwright.runtime.gateway import Gateway


class Receipts:
    """`/v1/receipts` and `/v1/runs/{run_id}/receipts`; protected."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def list(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /v1/receipts`: summaries, newest first."""
        page = await self._gateway.receipts(ReceiptFilter.parse(query_parameters(scope)))
        await send_json(send, page)

    async def list_run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /v1/runs/{run_id}/receipts`."""
        parameters = {**query_parameters(scope), "run_id": scope["path_params"]["run_id"]}
        await send_json(send, await self._gateway.receipts(ReceiptFilter.parse(parameters)))

    async def show(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /v1/receipts/{id}`."""
        await send_json(send, await self._gateway.receipt(scope["path_params"]["receipt_id"]))
