"""Scoring feature inverters: the normalised reconstruction error and what it does not show."""
