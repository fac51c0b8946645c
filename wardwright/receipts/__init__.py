"""The durable record of a request, as pure functions: events, their chain, the fold into a receipt, queries over receipts."""
