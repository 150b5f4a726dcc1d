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

__all__ = ["STATES", "Version", "Versions", "fingerprint"]

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
    """The versions of one model.

    Parameters
    ----------
    name : str
        Name of the model.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.labels: dict[str, int] = {}
        self._versions: dict[int, Version] = {}
        self._changed = threading.Condition()

    def snapshot(self) -> list[tuple[int, str, ServingError | None]]:
        """List all versions.

        Returns
        -------
        list of tuple
            Number, state and error, the highest number first.
        """
        with self._changed:
            ordered = sorted(self._versions.values(), key=lambda one: -one.number)
            return [(one.number, one.state, one.error) for one in ordered]

    def available(self) -> list[int]:
        """List the versions that answer.

        Returns
        -------
        list of int
            The highest first.
        """
        return [number for number, state, _ in self.snapshot() if state == "AVAILABLE"]

    @contextmanager
    def lease(self, number: int | None, label: str | None) -> Iterator[Servable]:
        """Use a version; it is not closed meanwhile.

        Parameters
        ----------
        number : int or None
            The version; None for the highest that answers, or that of the label.
        label : str or None
            A label.

        Yields
        ------
        Servable
            What answers.

        Raises
        ------
        ServingError
            NOT_FOUND: no such version answers; INVALID_ARGUMENT: no such label.
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
        """Say whether a version is known not to load.

        Parameters
        ----------
        number : int
            The version.
        seen : tuple
            What its files look like now.

        Returns
        -------
        bool
            Whether it failed when its files looked the same.
        """
        with self._changed:
            known = self._versions.get(number)
            return known is not None and known.error is not None and known.fingerprint == seen

    def began(self, number: int, seen: tuple[object, ...]) -> None:
        """Note that a version is being loaded.

        Parameters
        ----------
        number : int
            The version.
        seen : tuple
            What its files look like.
        """
        with self._changed:
            self._versions[number] = Version(number, "LOADING", fingerprint=seen)

    def ended(self, number: int, result: Servable | ServingError) -> None:
        """Note how loading ended.

        Parameters
        ----------
        number : int
            The version.
        result : Servable or ServingError
            What answers from now on, or why nothing does.
        """
        with self._changed:
            version = self._versions[number]
            if isinstance(result, ServingError):
                version.state, version.error = "END", result
            else:
                version.state, version.servable = "AVAILABLE", result
            self._changed.notify_all()

    def withdraw(self, number: int) -> None:
        """Take a version out of service; it is closed when the last request on it has been answered.

        Parameters
        ----------
        number : int
            The version.
        """
        with self._changed:
            version = self._versions[number]
            version.state = "UNLOADING"
            if not version.leases:
                self._end(version)

    def forget(self, numbers: set[int]) -> None:
        """Drop what is known of versions that ended and are no longer there.

        Parameters
        ----------
        numbers : set of int
            The versions on disk, which are kept.
        """
        with self._changed:
            gone = [n for n, one in self._versions.items() if one.state == "END" and n not in numbers]
            failed = [number for number in gone if self._versions[number].error is not None]
            for number in {*failed, *sorted(gone)[:-_KEPT_ENDED]}:
                del self._versions[number]

    def close(self, timeout_seconds: float | None = None) -> None:
        """Withdraw all versions and wait until the last request has been answered.

        Parameters
        ----------
        timeout_seconds : float, optional
            How long to wait.
        """
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
    """Say what the files of a version look like, so that a change is seen.

    Parameters
    ----------
    folder : Path
        The version.

    Returns
    -------
    tuple
        Name, size and time of each file that loading reads; empty if they cannot be read.
    """
    try:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        stats = [(str(path), path.stat()) for path in files]
    except OSError:
        return ()
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
