"""The cache of catalogued files, and how a file is recognised as one of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
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
    """Give the place of an entry's file: ``CACHE/MODEL/FILENAME``, or where the file came with actprobe.

    Of several files it is the first; the others lie beside it, see `files_of`.
    """
    folder = Path(str(files("actprobe.checkpoints"))) if entry.packaged else cache_folder() / entry.model
    path: Path = folder / entry.filename
    return path


def installed_path(entry: CatalogEntry) -> Path | None:
    """Find an entry's file in an installed package, without importing it; None where it is not installed.

    The file is not verified: the package may be of another version.
    """
    if entry.wheel is None:
        return None
    try:
        path = Path(str(distribution(entry.wheel.package).locate_file(entry.members[0].path)))
    except PackageNotFoundError:
        return None
    return path if path.is_file() else None


def files_of(entry: CatalogEntry, path: Path) -> list[Path]:
    """List the files of an entry in the order in which they are read, where `path` is one of them.

    `path` may also be the name that they share.
    """
    ending = next((each for each in entry.endings if path.name.endswith(each)), "")
    shared = path.name.removesuffix(ending)
    return [path.with_name(shared + each) for each in entry.endings]


def fetch_command(entry: CatalogEntry) -> str:
    """Give the command that puts an entry's file into the cache."""
    name = "" if entry.name == entry.model else f" --name={entry.name}"
    return f"actprobe-fetch --model={entry.model}{name}"


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

    Empty if size and every digest that the catalog knows are the entry's, of all its files;
    `WeightsError` if a file cannot be read.
    """
    if not entry.members:
        known = {kind: getattr(entry, kind) for kind in ("sha256", "md5", "git_blob_sha1")}
        return _mismatch(path, entry.name, entry.size_bytes, entry.size_limit, known)
    for file, member in zip(files_of(entry, path), entry.members, strict=True):
        size = member.size_bytes
        reason = _mismatch(file, entry.name, size, size, {"sha256": member.sha256})
        if reason:
            return reason if file == path else f"{file.name} {reason}"
    return ""


def _mismatch(path: Path, name: str, size: int | None, limit: int, known: Mapping[str, str | None]) -> str:
    if not path.is_file():
        return "is not a file" if path.exists() else "does not exist"
    found = path.stat().st_size
    if size is not None and found != size:
        return f"has {found} bytes, but {name} has {size}"
    if found > limit:
        return f"has {found} bytes, but {name} has at most {limit}"
    digests = digests_of(path)
    for kind, expected in known.items():
        digest = getattr(digests, kind)
        if expected is not None and digest != expected:
            return f"has the {kind} {digest}, but {name} has {expected}"
    return ""


def is_catalogued(images: Mapping[str, bytes], sha256: str) -> bool:
    """Whether the bytes of files are those of an entry; MD5 counts where the catalog has no SHA-256.

    `images` are the files by what follows the name that they share, `sha256` is the digest of them all.
    """
    md5 = ""
    if any(entry.sha256 is None and len(images.get("", b"")) <= entry.size_limit for entry in entries()):
        md5 = hashlib.md5(images.get("", b""), usedforsecurity=False).hexdigest()
    entry = find_by_digest(sha256=sha256, md5=md5)
    if entry is None or tuple(images) != entry.endings:
        return False
    # The digest of several files does not say where one ends and the next begins.
    sizes = [member.size_bytes for member in entry.members]
    return not sizes or sizes == [len(image) for image in images.values()]


def identify(path: str | os.PathLike[str], sha256: str, model: str) -> CatalogEntry | None:
    """Recognise a file that has been read, by the digest of its bytes, as one of a network's entries.

    Where the catalog has no SHA-256 of a file that this could be, the file is read a second time for the
    digests that it has; they count only if the bytes are still those that were read at first.

    Raises
    ------
    WeightsError
        The file is another network's.
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
    if entry is not None and entry.model != model:
        raise WeightsError(path, "", f"is the file of {entry.name}; open it with --model={entry.model}")
    return entry


def locate(file: str | Path, model: str, role: Role) -> tuple[Path, CatalogEntry | None]:
    """Turn what a user gave for a file into its path, and its entry if one was named.

    A text may be the name of a catalog entry of `model` and `role`; a file that is called like one is meant
    by ``./NAME``.

    Raises
    ------
    UsageError
        An entry for something else, or a word that is neither a file nor an entry.
    WeightsError
        There is no such file, or the entry's is neither in the cache nor in an installed package.
    """
    entry = find(file) if isinstance(file, str) else None
    fitting = ", ".join(other.name for other in entries(model, role)) or "none"
    if entry is None:
        path = Path(file)
        if isinstance(file, str) and path.name == file and not path.suffix and not path.exists():
            raise UsageError(f"{file!r} is neither a file nor in the catalog; {role} of {model}: {fitting}")
        if "\0" in str(path):
            raise WeightsError(path, "", "has a null byte in its name")
        if not (path.exists() or Path(f"{path}.index").exists()):  # a TensorFlow checkpoint is a prefix
            raise WeightsError(path, "", "no such file")
        return path, None
    if (entry.model, entry.role) != (model, role):
        raise UsageError(f"{file} is {entry.role} of {entry.model}; {role} of {model}: {fitting}")
    path = cached_path(entry)
    if not path.is_file():
        installed = installed_path(entry)
        if installed is None:
            raise WeightsError(path, "", f"is not there; {fetch_command(entry)} gets it")
        path = installed
    return path, entry
