"""What every test file may use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from preloaded import ROOT, preloaded_commands

from actprobe import checkpoints
from actprobe.models import Model, load_model
from actprobe.weights.cache import cache_folder
from actprobe.workers.guarded import one_child

__all__ = ["ROOT"]


@pytest.fixture(scope="session", autouse=True)
def _one_child_reads_all_files() -> Iterator[None]:
    """It forks for each file, as the child of a user does, but its libraries are loaded once."""
    with one_child():
        yield


@pytest.fixture(scope="session")
def assets() -> Path:
    """Folder with originals/, golden/ and audio/, which the project does not ship."""
    folder = os.environ.get("ACTPROBE_TEST_ASSETS")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs ACTPROBE_TEST_ASSETS: original weights, golden data and recordings")
    return Path(folder)


@pytest.fixture(scope="session")
def packaged() -> Callable[[str], Path]:
    """Weights that come by pip: ``packaged("musicnn_mtt")`` is the file to open, or the test is skipped.

    A test that needs them takes the fixture and calls it with the name of the catalog entry. The file is
    what `load_model` and the readers take; of a TensorFlow checkpoint it is the index, with the data beside
    it. bin/check fetches the weights and names their folder by ``ACTPROBE_TEST_WEIGHTS``; without that they
    are taken from where ``actprobe-fetch`` puts them.
    """

    folder = Path(os.environ.get("ACTPROBE_TEST_WEIGHTS") or cache_folder())

    def weights_of(name: str) -> Path:
        entry = checkpoints.find(name)
        assert entry is not None, name
        path: Path = folder / entry.model / entry.filename
        if not path.is_file():
            pytest.skip(f"needs the weights of {name}: actprobe-fetch --model={name}")
        return path

    return weights_of


@pytest.fixture(scope="session")
def tensorflow_weights(assets: Path) -> Path:
    return assets / "originals/cnn_at/music_tagger_cnn_weights_tensorflow.h5"


@pytest.fixture(scope="session")
def cnn_at(tensorflow_weights: Path) -> Model:
    return load_model("cnn_at", tensorflow_weights)


@pytest.fixture(scope="session")
def random_cnn_at() -> Model:
    return load_model("cnn_at", seed=0)


@pytest.fixture(scope="session")
def random_svd() -> Model:
    return load_model("svd", seed=3)


@pytest.fixture(scope="session")
def golden_svd(assets: Path) -> Model:
    return load_model(
        "svd",
        checkpoint=assets / "golden/svd_random.npz",
        normalization=assets / "originals/svd/jamendo_meanstd.npz",
    )


@pytest.fixture(scope="session")
def golden_sound(assets: Path) -> dict[str, NDArray[Any]]:
    with np.load(assets / "golden/c_frontend_synthetic.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder with the binaries of bin/, which start at once (preloaded.py)."""
    with preloaded_commands(tmp_path_factory.mktemp("commands")) as folder:
        yield folder


@pytest.fixture(scope="session")
def binary(commands: Path) -> Any:
    """Run a binary of bin/ as a user does; returns the finished process."""
    import subprocess

    def call(name: str, *flags: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [commands / name, *flags], capture_output=True, text=True, check=False, **options
        )

    return call
