"""HTTP in and out: each module is one group of endpoints, thin over the runtime's `Gateway`."""
