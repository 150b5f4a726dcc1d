"""Features of one's own from a Python file, so that binaries can be asked for them by name."""

from __future__ import annotations

import hashlib
import inspect
import os
import runpy
from collections.abc import Iterable
from pathlib import Path

from actprobe.errors import UsageError
from actprobe.features import registry


def import_features(path: str | os.PathLike[str]) -> list[str]:
    """Run a Python file whose decorated functions are features or feature maps, and give their names, sorted.

    The file is a program and is run as one: give it only what you would run yourself. Its features can be
    sent to other processes by cloudpickle, which takes their code along. UsageError: no such file, it raised,
    or it registered nothing.
    """
    if not Path(path).is_file():
        raise UsageError(f"{path}: {'is not a file' if Path(path).exists() else 'does not exist'}")
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


def own_sources(features: Iterable[registry.Feature]) -> dict[str, str]:
    """Hash the source of features that are not actprobe's own: when it changes, so may their values.

    Gives name -> sha256 of the file that it is defined in; of nothing for a feature that was typed into an
    interpreter. The features of actprobe, whose version is known, are left out.
    """
    found = {}
    for feature in features:
        function = inspect.unwrap(feature.function)
        if function.__module__.partition(".")[0] == "actprobe":
            continue
        try:
            file = Path(inspect.getsourcefile(function) or "")
            source = file.read_bytes() if file.is_file() else inspect.getsource(function).encode()
        except (OSError, TypeError):  # typed into an interpreter
            source = b""
        found[feature.name] = hashlib.sha256(source).hexdigest()
    return found
