"""Training a feature inverter."""
