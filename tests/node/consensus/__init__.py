"""The consensus core, its votes, its log."""
