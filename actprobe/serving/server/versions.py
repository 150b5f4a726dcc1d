"""The versions of one model: states as TensorFlow Serving names them, leases, and what is to be loaded.

A version is in use while somebody holds a lease on it; it is closed when it has been withdrawn and the last
lease has ended. Nothing here waits for that but `Versions.close`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from actprobe.errors import ServingError
from actprobe.serving.server.servable import Servable

STATES = {"START": 10, "LOADING": 20, "AVAILABLE": 30, "UNLOADING": 40, "END": 50}
_KEPT_ENDED = 16  # of the versions that are gone, so that a server that runs for years does not grow


@dataclass
class Version:
    """A version of a model.

    Parameters
    ----------
    number : int
        The version.
    state : str
        One of `STATES`.
    servable : Servable, optional
        What answers, while it is there.
    error : ServingError, optional
        Why it could not be loaded.
    fingerprint : tuple
        What its files looked like when that was tried.
    leases : int
        Requests that use it.
    """

    number: int
    state: str = "START"
    servable: Servable | None = None
    error: ServingError | None = None
    fingerprint: tuple[object, ...] = ()
    leases: int = 0


class Versions:
    """The versions of one model."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.labels: dict[str, int] = {}
        self._versions: dict[int, Version] = {}
        self._changed = threading.Condition()

    def snapshot(self) -> list[tuple[int, str, ServingError | None]]:
        """List number, state and error of all versions, the highest number first."""
        with self._changed:
            ordered = sorted(self._versions.values(), key=lambda one: -one.number)
            return [(one.number, one.state, one.error) for one in ordered]

    def available(self) -> list[int]:
        """List the versions that answer, the highest first."""
        return [number for number, state, _ in self.snapshot() if state == "AVAILABLE"]

    @contextmanager
    def lease(self, number: int | None, label: str | None) -> Iterator[Servable]:
        """Use a version, by number, by label, or the highest that answers; it is not closed meanwhile.

        No such version is NOT_FOUND, no such label INVALID_ARGUMENT.
        """
        with self._changed:
            version = self._find(number, label)
            version.leases += 1
            servable = version.servable
            assert servable is not None
        try:
            yield servable
        finally:
            with self._changed:
                version.leases -= 1
                if not version.leases and version.state == "UNLOADING":
                    self._end(version)

    def _find(self, number: int | None, label: str | None) -> Version:
        if label is not None:
            number = self.labels.get(label)
            if number is None:
                reason = f"Unrecognized servable version label: {label[:64]}"
                raise ServingError("INVALID_ARGUMENT", reason)
        if number is not None:
            found = self._versions.get(number)
            if found is None or found.state != "AVAILABLE":
                reason = f"Servable not found for request: Specific({self.name}, {number})"
                raise ServingError("NOT_FOUND", reason)
            return found
        answering = [one for one in self._versions.values() if one.state == "AVAILABLE"]
        if not answering:
            raise ServingError("NOT_FOUND", f"Servable not found for request: Latest({self.name})")
        return max(answering, key=lambda one: one.number)

    def failed(self, number: int, seen: tuple[object, ...]) -> bool:
        """Whether a version failed to load when its files looked the same."""
        with self._changed:
            known = self._versions.get(number)
            return known is not None and known.error is not None and known.fingerprint == seen

    def began(self, number: int, seen: tuple[object, ...]) -> None:
        """Note that a version whose files look like this is being loaded."""
        with self._changed:
            self._versions[number] = Version(number, "LOADING", fingerprint=seen)

    def ended(self, number: int, result: Servable | ServingError) -> None:
        """Note what answers from now on, or why nothing does."""
        with self._changed:
            version = self._versions[number]
            if isinstance(result, ServingError):
                version.state, version.error = "END", result
            else:
                version.state, version.servable = "AVAILABLE", result
            self._changed.notify_all()

    def withdraw(self, number: int) -> None:
        """Take a version out of service; it is closed when the last request on it has been answered."""
        with self._changed:
            version = self._versions[number]
            version.state = "UNLOADING"
            if not version.leases:
                self._end(version)

    def forget(self, numbers: set[int]) -> None:
        """Drop what is known of versions that ended and are no longer on disk."""
        with self._changed:
            gone = [n for n, one in self._versions.items() if one.state == "END" and n not in numbers]
            failed = [number for number in gone if self._versions[number].error is not None]
            for number in {*failed, *sorted(gone)[:-_KEPT_ENDED]}:
                del self._versions[number]

    def close(self, timeout_seconds: float | None = None) -> None:
        """Withdraw all versions and wait so long until the last request has been answered."""
        for number in self.available():
            self.withdraw(number)
        with self._changed:
            self._changed.wait_for(
                lambda: all(one.state != "UNLOADING" for one in self._versions.values()), timeout_seconds
            )

    def _end(self, version: Version) -> None:
        """Close a version that nobody uses (the lock is held)."""
        version.state = "END"
        servable, version.servable = version.servable, None
        if servable is not None:  # which takes a while, and requests must not wait for it
            threading.Thread(target=servable.close, name="close").start()
        self._changed.notify_all()


def fingerprint(folder: Path) -> tuple[object, ...]:
    """Give name, size and time of each file that loading reads, so that a change is seen.

    Empty if they cannot be read.
    """
    try:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        stats = [(str(path), path.stat()) for path in files]
    except OSError:
        return ()
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
