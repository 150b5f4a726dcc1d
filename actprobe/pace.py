"""How long the rest of some work takes, told only when enough of it was done to know."""

from __future__ import annotations


class Pace:
    """The speed of work, from what was finished after the first of it.

    The first comes late, since networks are traced and processes started before it, and while that goes on
    other work may be got ready. Nothing is told until as much time has gone by since as until then: what was
    ready by then can make the speed seem twice what it is, but not more.
    """

    def __init__(self, began: float) -> None:
        self._began = began
        self._first: tuple[float, float] | None = None
        self._last = began, 0.0

    def finish(self, now: float, done: float) -> None:
        """Note how much work is done by now, in any unit; what failed is none."""
        if done > self._last[1]:
            self._last = now, done
            self._first = self._first or self._last

    def seconds_for(self, amount: float) -> float | None:
        """Seconds that an amount of work takes; None while that is not known."""
        if self._first is None or self._first == self._last:
            return None
        (first, before), (last, done) = self._first, self._last
        return amount * (last - first) / (done - before) if last - first >= first - self._began else None


def about(seconds: float) -> str:
    """Write a time that is not known exactly, such as ``about 40 s`` or ``about 12 min``."""
    if seconds < 120:
        return f"about {seconds:.0f} s"
    minutes = seconds / 60
    return f"about {minutes:.0f} min" if minutes < 120 else f"about {minutes / 60:.1f} h"
