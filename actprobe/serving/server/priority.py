"""Threads that compute have a lower priority than the event loop.

The loop reads, hands over and answers in fractions of a millisecond; TensorFlow's threads hold a core for
many. On a machine whose cores are all busy the loop would wait for its turn behind them, and with it every
caller, so that the cores then have nothing to do.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress

_NICER = 5
_NICEST = 19


def lower_priority() -> None:
    """Let this thread, and those that it will start, have a core when the event loop does not want it.

    Only Linux knows a thread's own niceness; elsewhere nothing is changed.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            thread = threading.get_native_id()
            nicer = min(os.getpriority(os.PRIO_PROCESS, thread) + _NICER, _NICEST)
            os.setpriority(os.PRIO_PROCESS, thread, nicer)
