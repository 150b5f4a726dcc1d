"""When to ask again: what a server did not take may be asked once more, what it took may not be cheap."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from actprobe.errors import ServingError

T = TypeVar("T")
# The server was not reached, or said that it took nothing: a gRPC server that stops cancels what it has not
# taken. Every request here only asks, so that asking twice changes nothing.
_AGAIN = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"})


@dataclass(frozen=True)
class Retry:
    """Exponential backoff with jitter: waits double from `first_seconds` to `longest_seconds` at most."""

    attempts: int = 6
    first_seconds: float = 0.1
    longest_seconds: float = 5.0

    def call(self, ask: Callable[[float], T], timeout_seconds: float) -> T:
        """Ask until there is an answer, within `timeout_seconds` for all attempts together.

        `ask` takes the seconds that are left; the `ServingError` of its last attempt is raised.
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
