"""Which entries of the catalog a user asks for by name, and what is printed of them."""

from __future__ import annotations

from collections.abc import Sequence

from actprobe.checkpoints.catalog import CatalogEntry, entries, find
from actprobe.errors import UsageError
from actprobe.weights.cache import cached_path, installed_path


def entries_of(model: str) -> Sequence[CatalogEntry]:
    """List all entries of a network; `UsageError` if there are none."""
    known: Sequence[CatalogEntry] = entries(model)
    if not known:
        models = ", ".join(sorted({entry.model for entry in entries()}))
        raise UsageError(f"the catalog has nothing for {model!r}; it has weights of {models}")
    return known


def chosen_entries(model: str, names: Sequence[str] | None) -> list[CatalogEntry]:
    """Choose entries of a network by name: all by ``["all"]``, its first weights and what they need by None.

    `UsageError` for a name that it does not have.
    """
    known = entries_of(model)
    if names is None:
        first = known[0]
        return [entry for entry in (first, find(first.normalization)) if entry is not None]
    if list(names) == ["all"]:
        return list(known)
    by_name = {entry.name: entry for entry in known}
    unknown = [name for name in names if name not in by_name]
    if unknown or not names:
        raise UsageError(f"no entry {', '.join(unknown) or 'named'} for {model}: {', '.join(by_name)}")
    return [by_name[name] for name in names]


def description(entry: CatalogEntry) -> str:
    """Describe an entry in a few lines: size, licence, origin, digests, and where its file is or will be."""
    path, installed = cached_path(entry), installed_path(entry)
    size = f"{entry.size_bytes} bytes" if entry.size_bytes else f"at most {entry.size_limit} bytes"
    there = "ships with actprobe" if entry.packaged else "in the cache"
    if not path.is_file():
        path, there = (path, "not fetched yet") if installed is None else (installed, "installed")
    wheel = entry.wheel
    digests = {"sha256": entry.sha256, "md5": entry.md5, "git blob sha1": entry.git_blob_sha1}
    lines = {
        "purpose": entry.purpose,
        "licence": entry.licence,
        "origin": entry.origin,
        "url": entry.url or ("" if entry.packaged or wheel else "no public address is known"),
        "package": wheel and f"{wheel.package} {wheel.version}, {wheel.filename} of {wheel.size_bytes} bytes",
        **digests,
        "goes with": entry.normalization,
        "path": path,
    }
    head = f"{entry.name}: {entry.role}, {size}, {there}"
    return "\n".join([head, *(f"    {title}: {text}" for title, text in lines.items() if text)])
