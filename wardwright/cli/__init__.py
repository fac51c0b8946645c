"""The commands. Each module is one group of them; all speak through `terminal`, and reach a daemon through `client`."""
