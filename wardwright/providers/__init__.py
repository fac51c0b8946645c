"""Adapters to model providers, and the HTTP transports they stand on. Only the composition root imports them."""
