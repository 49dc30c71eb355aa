"""A developer's chain under control: blocks, time, state, the way back."""
