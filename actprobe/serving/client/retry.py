"""When to ask again: what a server did not take may be asked once more, what it took may not be cheap."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from actprobe.errors import ServingError

__all__ = ["Retry"]

T = TypeVar("T")
# The server was not reached, or said that it took nothing: a gRPC server that stops cancels what it has not
# taken. Every request here only asks, so that asking twice changes nothing.
_AGAIN = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"})


@dataclass(frozen=True)
class Retry:
    """Exponential backoff with jitter, within a deadline.

    Parameters
    ----------
    attempts : int
        How often to ask at most.
    first_seconds : float
        Longest wait before the second attempt; it doubles from attempt to attempt.
    longest_seconds : float
        Longest wait.
    """

    attempts: int = 6
    first_seconds: float = 0.1
    longest_seconds: float = 5.0

    def call(self, ask: Callable[[float], T], timeout_seconds: float) -> T:
        """Ask until there is an answer.

        Parameters
        ----------
        ask : callable
            Takes the seconds that are left; raises ServingError.
        timeout_seconds : float
            For all attempts together.

        Returns
        -------
        object
            The answer.

        Raises
        ------
        ServingError
            The last attempt's, or DEADLINE_EXCEEDED.
        """
        ends = time.monotonic() + timeout_seconds
        for attempt in range(self.attempts):
            left = ends - time.monotonic()
            try:
                return ask(max(left, 0.001))
            except ServingError as error:
                wait = min(self.longest_seconds, self.first_seconds * 2**attempt) * random.uniform(0.5, 1)  # noqa: S311
                last = attempt + 1 == self.attempts or time.monotonic() + wait >= ends
                if error.code not in _AGAIN or last:
                    raise
                time.sleep(wait)
        raise AssertionError("no attempt was made")
