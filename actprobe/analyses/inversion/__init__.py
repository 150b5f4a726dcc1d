"""What does each layer keep of the sound? Feature inversion."""
