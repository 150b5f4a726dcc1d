"""Which concept a unit detects, by where its map is high."""
