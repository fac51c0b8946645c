"""The actors of the gateway: they hold state and do effects, and leave every decision to the pure layers below."""
