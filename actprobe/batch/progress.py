"""How far a run is: a bar on a terminal, a plain line now and then otherwise."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from types import TracebackType

from tqdm import tqdm

from actprobe.batch.ledger import LedgerRow
from actprobe.corpora import Recording
from actprobe.pace import Pace, about

SECONDS_BETWEEN_LINES = 10.0
BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt}{unit} [{elapsed}{postfix}]"


class Progress:
    """Count things that are done, ``total`` of ``what``, such as ``recordings``, and tell what time is left.

    ``clock`` gives seconds.
    """

    def __init__(self, total: int, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.what = what
        self.done = 0
        self._clock = clock
        self._bar = tqdm(total=total, unit=f" {what}", bar_format=BAR) if sys.stderr.isatty() else None
        self._said = clock()
        self._pace = Pace(self._said)

    def advance(self, count: int = 1, lengths: Lengths | None = None) -> None:
        """Count some more that were finished together; ``lengths`` knows how they differ in size."""
        if count == 0:
            return
        self.done += count
        now = self._clock()
        self._pace.finish(now, self.done if lengths is None else lengths.done)
        if self._bar is not None:
            self._bar.update(count)
        if self.done < self.total and now - self._said < SECONDS_BETWEEN_LINES:
            return
        self._said = now
        seconds = self._pace.seconds_for(self.total - self.done if lengths is None else lengths.left())
        left = "" if seconds is None or self.done == self.total else f"{about(seconds)} left"
        if self._bar is not None:
            self._bar.set_postfix_str(left)
        else:
            sys.stderr.write(f"{self.done} of {self.total} {self.what}{left and ', '}{left}\n")
            sys.stderr.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


class Lengths:
    """How many seconds of sound a run has gone through, and how many it has before it.

    What is not finished is guessed from sizes of files: finished ones tell how many seconds a byte holds in
    files of their suffix. No recording counts for less than ``least_seconds``.

    Attributes: ``done``, seconds in the recordings that are finished and did not fail.
    """

    def __init__(self, recordings: Sequence[Recording], least_seconds: float = 0.0) -> None:
        self.done = 0.0
        self._least = least_seconds
        self._left = {recording.name: _kind_and_size(recording) for recording in recordings}
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._bytes: defaultdict[str, int] = defaultdict(int)

    def finish(self, rows: Sequence[LedgerRow]) -> None:
        """Take note of recordings that are finished."""
        for row in rows:
            kind, size = self._left.pop(row.path, ("", 0))
            if row.seconds is not None:
                self.done += max(self._least, row.seconds)
                self._seconds[kind] += row.seconds
                self._bytes[kind] += size

    def left(self) -> float:
        """Guess the seconds of sound that are left."""
        rates = {kind: self._seconds_in_a_byte(kind) for kind, _ in self._left.values()}
        return sum(max(self._least, size * rates[kind]) for kind, size in self._left.values())

    def _seconds_in_a_byte(self, kind: str) -> float:
        if self._bytes[kind]:
            return self._seconds[kind] / self._bytes[kind]
        return sum(self._seconds.values()) / max(1, sum(self._bytes.values()))


def _kind_and_size(recording: Recording) -> tuple[str, int]:
    try:
        return recording.path.suffix.lower(), recording.path.stat().st_size
    except OSError:  # it will be listed as failed
        return "", 0
