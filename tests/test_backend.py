"""What processes must not do side by side while they load their packages, and in any order of imports."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from conftest import ROOT

from actprobe import features
from actprobe.audio import Waveform
from actprobe.backend import COMPILED_ON_IMPORT
from actprobe.corpora.phantom import write_phantom
from actprobe.errors import ActprobeError
from actprobe.features import registry
from actprobe.features.essentia_process import with_essentia
from actprobe.features.own import own_sources

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


# Prints what features give in a process that a user began with another import.
FEATURES = """
import {first}
import json, sys
import numpy as np
from actprobe import backend, features
from actprobe.audio import Waveform
from actprobe.errors import ActprobeError

waveform = Waveform(np.sin(np.arange(4 * 44100) ** 1.2).astype("f4"), 44100)

@features.feature("mine", unit="", backend="essentia-tensorflow")
def mine(waveform):
    return backend.essentia.RMS()(waveform.samples)

def refusal(call, *arguments):
    try:
        return call(*arguments)
    except ActprobeError as error:
        return f"{{type(error).__name__}}: {{error}}"

print(json.dumps({{
    "onset_rate": features.onset_rate(waveform),
    "onset_times": features.onset_times(waveform=waveform).tolist(),
    "scalars": features.compute_scalars(waveform, features.available("scalar")),
    "maps": {{name: found.values.sum().item() for name, found in
             features.compute_maps(waveform, features.available("map")).items()}},
    "mine": mine(waveform),
    "refused": refusal(features.onset_rate, Waveform(np.zeros(9, "f4"), 44100)),
    "essentia": str(refusal(getattr, backend, "essentia")) if "tensorflow" in sys.modules else "",
}}))
"""


def printed(code: str, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def expected() -> Any:
    """What features give where nothing stands in the way."""
    return printed(FEATURES.format(first="sys"))


@pytest.mark.parametrize(
    ("first", "refused"),
    [
        ("tensorflow as tf", True), ("keras", True), ("torch", False),
        ("actprobe.backend; actprobe.backend.tf", False),
    ],
)  # fmt: skip
def test_features_have_the_same_bits_whatever_was_imported_first(
    expected: dict[str, Any], first: str, refused: bool
) -> None:
    """Where a user's TensorFlow came first (keras imports it), another process computes.

    After actprobe has loaded TensorFlow, essentia loads beside it.
    """
    if find_spec(first.replace(";", "").split()[0]) is None:
        pytest.skip(f"needs {first}")
    found = printed(FEATURES.format(first=first))
    told = found.pop("essentia")
    assert (
        told.startswith("ActprobeError: essentia does not load in a process that imported TensorFlow")
        == refused
    )
    assert found == {name: value for name, value in expected.items() if name != "essentia"}
    assert found["refused"].startswith("FeatureError: feature onset_rate: 0.000 s of audio are too short")
    assert len(found["onset_times"]) / 4 == pytest.approx(found["onset_rate"])


NEURONS = """
import tensorflow as tf
import json, os, signal, sys
import numpy as np
import actprobe
from actprobe import features
from actprobe.features.essentia_process import _there

model = actprobe.load_model("svd", seed=1)
found = actprobe.neurons(
    model, sys.argv[1], layers=["fc8"], features=["onset_rate", "loudness"], output_dir=sys.argv[2],
    permutations=0, random_seeds=0, figures=0,
)
of_run = found.recordings.set_index("path")[["onset_rate", "loudness"]].T.to_dict()
directly = {}
for name in of_run:
    waveform = actprobe.load_audio(f"{sys.argv[1]}/{name}")
    directly[name] = {"onset_rate": features.onset_rate(waveform), "loudness": features.loudness(waveform)}
    os.kill(_there._process.pid, signal.SIGKILL)  # another one takes its place
print(json.dumps([of_run, directly, list(found.recordings["status"])]))
"""


ALGORITHMS = """
import json, os
from actprobe import backend

standard, ahead = backend.essentia, "Chromagram" in vars(backend.essentia)
threads = len(os.listdir("/proc/self/task"))
everything = {}
exec("from essentia.standard import *", everything)
import essentia
from essentia.standard import OnsetRate

print(json.dumps([
    ahead, threads, sorted(set(standard.algorithmNames()) - set(everything)), len(everything) > 250,
    essentia.standard is standard and OnsetRate is standard.OnsetRate, hasattr(standard, "nothing"),
]))
"""


def test_every_algorithm_of_essentia_is_there_and_made_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The threads of its TensorFlow, too, begin with the first that uses them."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # numpy has others
    ahead, threads, missing, many, one, more = printed(ALGORITHMS)
    assert not ahead
    assert threads == 1
    assert missing == []
    assert many
    assert one
    assert not more


def test_a_run_goes_as_ever_where_tensorflow_was_imported_first(tmp_path: Path) -> None:
    write_phantom(tmp_path / "phantom", recordings=3, seconds=3.0)
    of_run, directly, status = printed(NEURONS, str(tmp_path / "phantom"), str(tmp_path / "out"))
    assert status == ["ok"] * 3
    assert of_run == directly


def test_a_feature_with_essentia_can_go_to_a_feature_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of a notebook goes by value; it takes nothing along that belongs to this process."""
    monkeypatch.setattr(registry, "_registry", {})

    def mine(waveform: Any) -> float:
        return 1.0

    mine.__module__ = "__main__"
    made = features.feature("mine", unit="", backend="essentia-tensorflow")(mine)
    again = pickle.loads(cloudpickle.dumps(made))
    assert again(Waveform(np.ones(9, "f4"), 44100)) == 1.0


@with_essentia
def crash(signal_number: int) -> None:
    os.kill(os.getpid(), signal_number)


class OddError(Exception):
    """One that pickle cannot bring back."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"{one} and {other}")


@with_essentia
def odd() -> None:
    raise OddError(1, 2)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that cannot load essentia."""
    monkeypatch.setattr("actprobe.backend.essentia_loads", lambda: False)
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def test_a_crash_of_essentia_is_an_error_and_the_next_call_goes_on(elsewhere: None) -> None:
    with pytest.raises(ActprobeError, match=r"the process of essentia crashed \(SIGSEGV\)"):
        crash(signal.SIGSEGV)
    with pytest.raises(ActprobeError, match="OddError: 1 and 2"):
        odd()


def test_a_file_of_ones_own_with_essentia_is_told_by_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_registry", {})
    own = tmp_path / "own.py"
    text = (
        "from actprobe.features import feature\n"
        "@feature('mine', unit='', backend='essentia-tensorflow')\n"
        "def mine(waveform):\n    return 1.0\n"
    )
    own.write_text(text)
    features.import_features(own)
    assert own_sources([registry.get_feature("mine")]) == {"mine": hashlib.sha256(text.encode()).hexdigest()}
