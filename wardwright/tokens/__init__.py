"""Adapters of the tokens port."""
