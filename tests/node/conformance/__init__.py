"""The engines behind the official test formats, on tests of our own making."""
