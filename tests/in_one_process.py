"""Runs binaries one after the other in one process, which loads its frameworks once.

``python tests/in_one_process.py '[["bin/actprobe-neurons", "--model=svd", ...], ...]'``: each as ``__main__``
with its own flags; ends with the exit status of the first that fails.
"""

import json
import runpy
import sys

from absl import flags

SHARED = ("__main__", "actprobe.cli", "actprobe.flags")  # modules that define flags of binaries


def main() -> None:
    for command in json.loads(sys.argv[1]):
        for name in list(flags.FLAGS):
            if flags.FLAGS.find_module_defining_flag(name) in (*SHARED, sys.argv[0]):
                delattr(flags.FLAGS, name)
        flags.FLAGS.unparse_flags()
        sys.argv = command
        try:
            runpy.run_path(command[0], run_name="__main__")
        except SystemExit as ended:
            if ended.code:
                raise


if __name__ == "__main__":
    main()
