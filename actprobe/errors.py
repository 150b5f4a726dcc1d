"""Errors a user can act on: each names the thing it is about and the reason.

Binaries print them as one line and exit 1 (2 for `UsageError`); anything else that escapes is a bug
in actprobe and keeps its traceback.
"""

from __future__ import annotations

import os

__all__ = [
    "ActprobeError",
    "AudioError",
    "CorpusError",
    "FeatureError",
    "FrontEndError",
    "ServingError",
    "TooLongError",
    "UsageError",
    "WeightsError",
]


class ActprobeError(Exception):
    """Base of every error that actprobe raises on purpose."""


class UsageError(ActprobeError):
    """A name or an option that does not exist or does not fit; the message lists what does."""


class _PathError(ActprobeError):
    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(os.fspath(path), reason)
        self.path = os.fspath(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class AudioError(_PathError):
    """A recording that cannot be used.

    Parameters
    ----------
    path : str or os.PathLike
        The recording.
    reason : str
        Why it cannot be used.
    """


class TooLongError(AudioError):
    """A recording that is longer than it may be.

    Parameters
    ----------
    path : str or os.PathLike
        The recording.
    reason : str
        Why it cannot be used.
    """


class CorpusError(_PathError):
    """A folder or manifest that cannot be read as a corpus.

    Parameters
    ----------
    path : str or os.PathLike
        The folder or manifest.
    reason : str
        Why it cannot be read.
    """


class WeightsError(ActprobeError):
    """A weight file that was refused.

    Parameters
    ----------
    path : str or os.PathLike
        The weight file.
    entry : str
        The array, link or member at fault; empty when it is the file as a whole.
    reason : str
        Why it was refused.
    """

    def __init__(self, path: str | os.PathLike[str], entry: str, reason: str) -> None:
        super().__init__(os.fspath(path), entry, reason)
        self.path = os.fspath(path)
        self.entry = entry
        self.reason = reason

    def __str__(self) -> str:
        where = f"{self.path}: {self.entry}" if self.entry else self.path
        return f"{where}: {self.reason}"


class FeatureError(ActprobeError):
    """A hand-crafted feature that could not be computed.

    Parameters
    ----------
    feature : str
        Name of the feature.
    reason : str
        Why it could not be computed.
    unexpected : bool, optional
        Whether the reason is an error of the feature's function, and not that the sound has no such feature.
    """

    def __init__(self, feature: str, reason: str, *, unexpected: bool = False) -> None:
        super().__init__(feature, reason)
        self.feature = feature
        self.reason = reason
        self.unexpected = unexpected

    def __str__(self) -> str:
        return f"feature {self.feature}: {self.reason}"


class FrontEndError(ActprobeError):
    """A waveform that a front end cannot turn into examples."""


class ServingError(ActprobeError):
    """A request that a server refused or could not answer, or a server that could not be reached.

    Parameters
    ----------
    code : str
        Name of the gRPC status, such as ``INVALID_ARGUMENT`` or ``UNAVAILABLE``.
    reason : str
        What is wrong.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}"
