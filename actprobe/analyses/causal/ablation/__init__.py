"""What the outputs lose without units."""
