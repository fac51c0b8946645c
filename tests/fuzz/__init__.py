"""Coverage-guided fuzzing of what reads bytes that others send: `make fuzz`. Not part of `make test`; its findings are."""
