"""Readers of files of arrays: bytes in memory -> the named arrays that were asked for, or why not."""
