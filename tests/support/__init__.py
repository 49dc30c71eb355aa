"""What several test packages share: daemons, samples, builders, clients."""
