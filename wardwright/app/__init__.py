"""The composition root: the only place that knows every adapter and puts them together.

`daemon` grows and stops the tree, `parts` makes adapters from settings, `files` is what commands need of the disk without a daemon,
`log` is how the daemon speaks. Nothing is imported here, so that a command pays only for the module it uses.
"""
