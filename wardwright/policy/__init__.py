"""Policy as pure functions: which rules a text fires, and what they demand."""
