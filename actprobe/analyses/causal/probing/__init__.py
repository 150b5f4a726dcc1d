"""What a linear model reads out of a layer."""
