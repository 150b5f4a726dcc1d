"""Damaged files by the thousand: many are read by one fork, and the next one goes on behind a crash."""

import os
import resource
import signal
import traceback
from collections.abc import Callable, Sequence

import pytest

from actprobe.weights import guarded

SECONDS = 3  # of one file, which takes milliseconds


def check_each(check: Callable[[bytes], None], images: Sequence[bytes]) -> int:
    """Run a check on every image, each read as a guarded child reads it; give how many ended their reader."""
    ended = place = 0
    while place < len(images):
        reading, writing = os.pipe()
        process = os.fork()
        if process == 0:
            try:
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                vars(guarded)["is_catalogued"] = lambda *_: True  # so that this process reads it
                for image in images[place:]:
                    signal.alarm(SECONDS)
                    check(image)
                    os.write(writing, b".")
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(writing)
        with os.fdopen(reading, "rb") as done:
            place += len(done.read())
        status = os.waitpid(process, 0)[1]
        if not os.WIFSIGNALED(status):
            if status:
                pytest.fail(f"image {place} gives weights that are not sound, or another error")
            break
        ended += 1
        place += 1
    return ended
