"""Inverting a recording: by inverters or by optimisation, to pictures and to sound."""
