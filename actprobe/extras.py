"""What a plain ``pip install actprobe`` leaves out, and the sentence that says how to get it."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from actprobe.errors import ActprobeError

__all__ = ["EXTRAS", "require"]

# Extra of setup.py -> the modules that are imported. uvloop is missing here: the server runs without it.
EXTRAS = {
    "cluster": ("dask", "distributed"),
    "corpora": ("mirdata",),
    "serve": (
        "grpc", "grpc_health", "httptools", "orjson", "prometheus_client", "tensorflow_serving", "uvicorn",
    ),
    "torch": ("torch",),
}  # fmt: skip


def require(extra: str, what: str) -> None:
    """Refuse to go on where an extra is not installed.

    Parameters
    ----------
    extra : str
        A key of `EXTRAS`.
    what : str
        What needs it, the beginning of the sentence.

    Raises
    ------
    ActprobeError
        A module is missing; the message names it and the command that installs the extra.

    Examples
    --------
    >>> from actprobe.extras import require
    >>> require("serve", "actprobe-serve")
    """
    wanted = [module for module in EXTRAS[extra] if sys.modules.get(module) is None]
    missing = [module for module in wanted if find_spec(module) is None]
    if missing:
        raise ActprobeError(f"{what} needs {', '.join(missing)}: pip install 'actprobe[{extra}]'")
