"""Features of one's own from a Python file, so that binaries can be asked for them by name."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

from actprobe.errors import UsageError
from actprobe.features import registry

__all__ = ["import_features"]


def import_features(path: str | os.PathLike[str]) -> list[str]:
    """Run a Python file whose decorated functions are features or feature maps.

    The file is a program and is run as one: give it only what you would run yourself. Its features can be
    sent to other processes by cloudpickle, which takes their code along.

    Parameters
    ----------
    path : str or os.PathLike
        The file, with functions decorated by `actprobe.features.feature` or `feature_map`.

    Returns
    -------
    list of str
        Names of the features that it registered, sorted.

    Raises
    ------
    UsageError
        No such file, it raised, or it registered nothing.
    """
    before = {name: registry.get_feature(name) for name in registry.available()}
    name = f"features_of_{Path(path).stem}"  # in no module that is imported: cloudpickle takes the code along
    try:
        runpy.run_path(os.fspath(path), run_name=name)
    except UsageError:
        raise
    except Exception as error:  # it may be anybody's code: one reason, whatever it raised
        raise UsageError(f"{path}: {type(error).__name__}: {error}") from error
    found = [one for one in registry.available() if before.get(one) is not registry.get_feature(one)]
    if not found:
        raise UsageError(f"{path}: registers no feature")
    return found
