"""Networks on virtual time: the pure core, and whole nodes (docs/protocol/simulation.md)."""
