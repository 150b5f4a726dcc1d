"""How far a run is: a bar on a terminal, a plain line now and then otherwise."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Count things that are done, ``total`` of ``what``, such as ``recordings``."""

    def __init__(self, total: int, what: str) -> None:
        self.total = total
        self.what = what
        self.done = 0
        self._bar = tqdm(total=total, unit=f" {what}") if sys.stderr.isatty() else None
        self._said = self._began = time.monotonic()

    def advance(self, count: int = 1) -> None:
        """Count some more."""
        if count == 0:
            return
        self.done += count
        if self._bar is not None:
            self._bar.update(count)
            return
        now = time.monotonic()
        if self.done == self.total or now - self._said >= SECONDS_BETWEEN_LINES:
            self._said = now
            left = (self.total - self.done) * (now - self._began) / max(self.done, 1)
            ending = "" if self.done == self.total else f", about {left:.0f} s left"
            sys.stderr.write(f"{self.done} of {self.total} {self.what}{ending}\n")
            sys.stderr.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
