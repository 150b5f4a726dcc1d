"""Correlation, permutation, intervals and false discovery rates: what may be concluded from numbers."""
