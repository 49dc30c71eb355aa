"""Bytes that other programs and older data rely on. Change them only as a deliberate act."""
