"""Catching up: what proves a header, who is asked for what, a network of liars and sloths."""
