"""Attribution: which time and frequency of an excerpt a target follows from."""
