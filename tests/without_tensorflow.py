"""Runs binaries one after the other in one process that cannot import TensorFlow.

``python tests/without_tensorflow.py '[["bin/actprobe-neurons", "--model=svd", ...], ...]'`` prints, as JSON,
a list of the exit status and the standard error of each.
"""

import contextlib
import io
import json
import runpy
import sys
from typing import Any

from absl import flags

HEAVY = ("tensorflow", "tf_keras", "keras", "torch")
SHARED = ("__main__", "actprobe.cli", "actprobe.flags")  # modules that define flags of binaries


class Refused:
    """An import hook that refuses what takes seconds to load."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name in HEAVY:
            raise AssertionError(f"{name} was imported")


def run(command: list[str]) -> tuple[Any, str]:
    for name in list(flags.FLAGS):
        if flags.FLAGS.find_module_defining_flag(name) in (*SHARED, sys.argv[0]):
            delattr(flags.FLAGS, name)
    flags.FLAGS.unparse_flags()
    sys.argv = command
    said = io.StringIO()
    code: Any = None
    with contextlib.redirect_stderr(said):
        try:
            runpy.run_path(command[0], run_name="__main__")
        except SystemExit as ended:
            code = ended.code
        except AssertionError as error:
            code = str(error)
    return code, said.getvalue()


if __name__ == "__main__":
    sys.meta_path.insert(0, Refused())
    print(json.dumps([run(command) for command in json.loads(sys.argv[1])]))
