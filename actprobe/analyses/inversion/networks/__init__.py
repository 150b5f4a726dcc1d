"""Feature inverters: their networks, their files, and finding them."""
