"""What the public contract promises and this version does not do yet: the one table of it.

Such a key is refused rather than ignored, since a rule that silently does nothing is worse than none. A key leaves this table
when its Struct in `config.settings` gains the field.
"""

from collections.abc import Mapping

KEYS: Mapping[str, frozenset[str]] = {
    "": frozenset({"policy_cache", "alert_delivery"}),
    "server": frozenset({"engine"}),
    "models": frozenset(
        {
            "prompt_transforms",
            "policy_cache",
            "alert_delivery",
            "sinks",
            "tool_mediation",
            "server_tools",
        }
    ),
}

VALUES: Mapping[str, frozenset[str]] = {
    "models.governance.kind": frozenset(
        {
            "request_guard",
            "request_transform",
            "receipt_annotation",
            "history_threshold",
            "history_regex_threshold",
            "tool_selector",
            "tool_loop_threshold",
            "tool_sequence",
            "allowed_tools",
        }
    ),
}
