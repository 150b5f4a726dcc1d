"""Processes for what must not crash this one or does not load beside it."""
