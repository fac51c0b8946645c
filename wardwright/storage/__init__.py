"""Receipt stores behind `ports.storage.ReceiptStore`: `memory`, and `file` with its append-only log of segments."""
