"""The vocabulary of the gateway: frozen values and errors that every other layer speaks, and no behaviour beyond them."""
