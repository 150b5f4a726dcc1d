"""The cache of catalogued files, and how a file is recognised as one of them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from actprobe.checkpoints.catalog import (
    CatalogEntry,
    Role,
    entries,
    find,
    find_by_digest,
    find_by_sha256,
)
from actprobe.errors import UsageError, WeightsError

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Digests:
    """Size and hexadecimal digests of one file, all of the same bytes."""

    size_bytes: int
    sha256: str
    md5: str
    git_blob_sha1: str


def cache_folder() -> Path:
    """Give the folder of catalogued files: ``ACTPROBE_CACHE``, or the user's cache folder of the system."""
    folder = os.environ.get("ACTPROBE_CACHE")
    if not folder:
        import pooch

        folder = str(pooch.os_cache("actprobe"))
    return Path(folder).expanduser()


def cached_path(entry: CatalogEntry) -> Path:
    """Give the place of an entry's file: ``CACHE/MODEL/FILENAME``, or where the file came with actprobe."""
    folder = Path(str(files("actprobe.checkpoints"))) if entry.packaged else cache_folder() / entry.model
    path: Path = folder / entry.filename
    return path


def digests_of(path: str | os.PathLike[str]) -> Digests:
    """Compute all digests of a file in one pass; `WeightsError` if it cannot be read or changes meanwhile."""
    size = 0
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    try:
        with Path(path).open("rb") as file:
            declared = os.fstat(file.fileno()).st_size
            blob = hashlib.sha1(b"blob %d\0" % declared, usedforsecurity=False)
            while chunk := file.read(CHUNK_BYTES):
                size += len(chunk)
                for digest in (sha256, md5, blob):
                    digest.update(chunk)
    except OSError as error:
        raise WeightsError(path, "", f"cannot be read: {error.strerror}") from error
    if size != declared:
        raise WeightsError(path, "", "changed while it was read")
    return Digests(size, sha256.hexdigest(), md5.hexdigest(), blob.hexdigest())


def mismatch(path: Path, entry: CatalogEntry) -> str:
    """Give the reason why a file is not an entry's, to be read behind the file's name.

    Empty if size and every digest that the catalog knows are the entry's; `WeightsError` if the file cannot
    be read.
    """
    if not path.is_file():
        return "is not a file" if path.exists() else "does not exist"
    size = path.stat().st_size
    if entry.size_bytes is not None and size != entry.size_bytes:
        return f"has {size} bytes, but {entry.name} has {entry.size_bytes}"
    if size > entry.size_limit:
        return f"has {size} bytes, but {entry.name} has at most {entry.size_limit}"
    digests = digests_of(path)
    for kind in ("sha256", "md5", "git_blob_sha1"):
        known, found = getattr(entry, kind), getattr(digests, kind)
        if known is not None and known != found:
            return f"has the {kind} {found}, but {entry.name} has {known}"
    return ""


def is_catalogued(image: bytes, sha256: str) -> bool:
    """Whether the bytes of a file are those of an entry; MD5 counts where the catalog has no SHA-256."""
    if any(entry.sha256 is None and len(image) <= entry.size_limit for entry in entries()):
        return (
            find_by_digest(sha256=sha256, md5=hashlib.md5(image, usedforsecurity=False).hexdigest())
            is not None
        )
    return find_by_sha256(sha256) is not None


def identify(path: str | os.PathLike[str], sha256: str, model: str) -> CatalogEntry | None:
    """Recognise a file that has been read, by the digest of its bytes, as one of a network's entries.

    Where the catalog has no SHA-256 of a file that this could be, the file is read a second time for the
    digests that it has; they count only if the bytes are still those that were read at first.
    """
    entry = find_by_sha256(sha256)
    if entry is None:
        file = Path(path)
        size = file.stat().st_size if file.is_file() else -1
        if any(
            other.sha256 is None and (size == other.size_bytes or 0 <= size <= other.at_most_bytes)
            for other in entries(model)
        ):
            digests = digests_of(file)
            if digests.sha256 == sha256:
                entry = find_by_digest(md5=digests.md5, git_blob_sha1=digests.git_blob_sha1)
    return entry if entry is not None and entry.model == model else None


def locate(file: str | Path, model: str, role: Role) -> tuple[Path, CatalogEntry | None]:
    """Turn what a user gave for a file into its path, and its entry if one was named.

    A text may be the name of a catalog entry of `model` and `role`; a file that is called like one is meant
    by ``./NAME``.

    Raises
    ------
    UsageError
        An entry for something else, or a word that is neither a file nor an entry.
    WeightsError
        The entry's file is not in the cache.
    """
    entry = find(file) if isinstance(file, str) else None
    fitting = ", ".join(other.name for other in entries(model, role)) or "none"
    if entry is None:
        path = Path(file)
        if isinstance(file, str) and path.name == file and not path.suffix and not path.exists():
            raise UsageError(f"{file!r} is neither a file nor in the catalog; {role} of {model}: {fitting}")
        return path, None
    if (entry.model, entry.role) != (model, role):
        raise UsageError(f"{file} is {entry.role} of {entry.model}; {role} of {model}: {fitting}")
    path = cached_path(entry)
    if not path.is_file():
        raise WeightsError(
            path, "", f"is not there; actprobe-fetch --model={model} --name={entry.name} gets it"
        )
    return path, entry
