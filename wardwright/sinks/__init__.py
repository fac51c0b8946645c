"""Adapters of the sink port, one file each."""
