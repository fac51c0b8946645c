"""What the runtime asks of the outside world, as protocols: providers, receipt stores, managed server processes."""
