"""A network of a user's own from a Python file: ``FILE.py:FUNCTION``."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import Any

from actprobe.errors import ActprobeError, UsageError
from actprobe.frontends import FrontEnd
from actprobe.models.adapters.keras_file import explained
from actprobe.models.adapters.wrap import wrap_model
from actprobe.models.model import Model


def model_in_file(text: str) -> Model:
    """Run a Python file, call its function, and open what that returns.

    The function takes nothing and returns what `actprobe.wrap_model` gave, or a network and its front end,
    or a network alone. The file is a program and is run as one, with its own folder on the path: give it only
    what you would run yourself. UsageError: no such file or function, what it raises, or what it returns.
    """
    file, colon, function = text.rpartition(":")
    path = Path(file if colon else text)
    if not colon or not function.isidentifier():
        raise UsageError(f"{text}: name the function that returns the model, {path}:FUNCTION")
    if not path.is_file():
        raise UsageError(f"{path}: does not exist" if not path.exists() else f"{path}: is not a file")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # the file may be the first to import TensorFlow
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    # In no module that is imported: cloudpickle takes the code of its classes along to other processes.
    found = _run(path, lambda: runpy.run_path(str(path), run_name=f"model_of_{path.stem}"))
    make = found.get(function)
    if not callable(make):
        there = ", ".join(sorted(name for name, value in found.items() if _is_own(value, path)))
        raise UsageError(f"{path}: has no function {function}; it has {there or 'none'}")
    made = _run(path, make)
    if isinstance(made, Model):
        return made
    match made:
        case (network, FrontEnd() as frontend):
            return wrap_model(network, frontend)
        case None | FrontEnd() | tuple() | list():
            raise UsageError(
                f"{text} returned {type(made).__name__}: a model that wrap_model gave, or a network and its "
                f"front end, are needed"
            )
    return wrap_model(made)


def _is_own(value: Any, path: Path) -> bool:
    return callable(value) and getattr(value, "__module__", "") == f"model_of_{path.stem}"


def _run(path: Path, what: Any) -> Any:
    """Run a user's code; whatever it raises is one sentence."""
    try:
        return what()
    except ActprobeError:
        raise
    except SystemExit as error:
        raise UsageError(f"{path}: ended with exit status {error.code}") from error
    except Exception as error:  # it may be anybody's code
        reason = explained(error) or f"{type(error).__name__}: {error}".splitlines()[0]
        raise UsageError(f"{path}: {reason}") from error
