"""Known weight files: where they come from, their licence and their hashes."""

from .catalog import CatalogEntry, Member, Wheel, entries, find, find_by_digest, find_by_sha256

__all__ = ["CatalogEntry", "Member", "Wheel", "entries", "find", "find_by_digest", "find_by_sha256"]
