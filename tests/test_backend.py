"""What processes that run side by side must not do while they load their packages."""

import json
import subprocess
import sys

from conftest import ROOT

from actprobe.backend import COMPILED_ON_IMPORT

# Says which modules of librosa hold compiled functions when a lock is taken, let go, and at the end.
WATCH = """
import fcntl, json, sys
import numpy as np
from numba.np.ufunc.gufunc import GUFunc
from actprobe import backend, features
from actprobe.audio import Waveform

def compiled():
    modules = [module for name, module in sys.modules.items() if name.startswith("librosa")]
    return sorted({module.__name__ for module in modules
                   if any(isinstance(value, GUFunc) for value in list(vars(module).values()))})

real, seen = fcntl.flock, []
def flock(handle, operation):
    real(handle, operation)
    seen.append((handle.name, operation == fcntl.LOCK_EX, compiled()))
fcntl.flock = flock
backend.librosa
seen.append((None, False, compiled()))
waveform = Waveform(np.sin(np.arange(4 * 44100) ** 1.2).astype("f4"), 44100)
features.compute_scalars(waveform, features.available("scalar"))
features.compute_maps(waveform, features.available("map"))
seen.append((None, False, compiled()))
print(json.dumps(seen))
"""


def test_processes_compile_librosa_one_after_the_other() -> None:
    """Two at once leave a cache that crashes every later process (SIGSEGV at the first call)."""
    done = subprocess.run([sys.executable, "-c", WATCH], capture_output=True, text=True, cwd=ROOT, check=True)
    locked, loaded, used = json.loads(done.stdout)
    assert locked[0].endswith("librosa/__init__.py")
    assert locked[1:] == [True, []]  # nothing was compiled before the lock was taken
    assert loaded[2] == sorted(COMPILED_ON_IMPORT)
    assert used[2] == loaded[2]  # nor does any feature compile anything later, without the lock
