"""Activations of recordings, stored."""
