"""What sinks take, and what becomes of them when they fall too far behind: words that the configuration and the port share."""

from typing import Literal

Unit = Literal["events", "receipts"]
"""Every entry of the log as it was stored, or each receipt whole, once it is closed."""

OnFull = Literal["block", "drop", "dead_letter", "fail_closed"]
"""What happens when a sink is more than `max_lag` entries behind.

`block`: it catches up when it can, and what retention has taken by then it never gets. `drop`: the oldest are passed over and counted.
`dead_letter`: the oldest are passed over and can be sent again. `fail_closed`: no request is taken on until it has caught up.
"""

SinkState = Literal["starting", "idle", "sending", "failing", "paused"]
"""What a sink's actor is at: `failing` waits for its next attempt, `idle` has sent everything, `paused` sends nothing until it is resumed."""
