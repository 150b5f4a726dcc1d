"""Activation maximisation: the input that excites a neuron most, beside the best excerpt of a corpus."""
