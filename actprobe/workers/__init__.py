"""Processes that never load TensorFlow, for what must not crash this one or does not load beside it."""
