"""The networks, one file each: what it is, what its files hold, and how they are read."""
