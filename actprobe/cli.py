"""What every binary shares: finding its environment, streams, exit codes, run.json.

Imports nothing heavy, so that ``--help`` answers at once.
"""

from __future__ import annotations

import errno
import io
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

try:
    from absl import app, flags, logging
except ModuleNotFoundError:  # started from a checkout by a Python without the dependencies
    _venv = Path(__file__).resolve().parents[1] / ".venv"
    if not (_venv / "bin" / "python").exists() or Path(sys.prefix) == _venv:
        sys.exit("actprobe is not installed here: run bin/quickstart, or pip install .")
    os.execv(_venv / "bin" / "python", [str(_venv / "bin" / "python"), *sys.argv])  # noqa: S606

from actprobe.errors import ActprobeError, UsageError
from actprobe.provenance import invoked_by
from actprobe.version import __version__

__all__ = ["FLAGS", "flags", "logging", "run"]

flags.disclaim_key_flags()  # flags defined here belong to the binary that asks for them
FLAGS = flags.FLAGS

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


def run(main: Callable[[Sequence[str]], int | None], *, one_run: bool = True) -> NoReturn:
    """Run a binary: exit 0 done, 1 failed or nothing usable, 2 wrong usage.

    Parameters
    ----------
    main : callable
        Takes the arguments that are not flags; its errors of class `ActprobeError` become one line
        on stderr.
    one_run : bool, optional
        Whether run.json of what it runs names this command line; otherwise it names the Python call.
    """
    _open_streams()
    if {"--help", "-help", "-h", "-?"} & set(sys.argv[1:]):
        app.usage(writeto_stdout=True, shorthelp=True)
        sys.exit(DONE)
    if sys.argv[1:] == ["--version"]:  # alone: actprobe-export --version=2 is the version of what it writes
        sys.stdout.write(f"actprobe {__version__}\n")
        sys.exit(DONE)

    def guarded(argv: Sequence[str]) -> int:
        logging.use_absl_handler()
        logging.set_verbosity(logging.INFO if FLAGS["verbosity"].using_default_value else FLAGS.verbosity)
        handler = logging.get_absl_handler()
        handler.setFormatter(_PlainFormatter())
        if one_run:
            invoked_by(shlex.join(sys.argv), _flag_values)
        try:
            if len(argv) > 1:
                raise UsageError(f"unexpected argument {argv[1]!r}; options are given as --name=value")
            _check_output_dir()
            return main(argv) or DONE
        except UsageError as error:
            return _fail(str(error), WRONG_USAGE)
        except ActprobeError as error:
            return _fail(str(error), FAILED)
        except BrokenPipeError:  # whoever read the output has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return DONE
        except OSError as error:  # the disk is full, the folder not writable, ...
            return _fail(f"{error.filename or 'system'}: {error.strerror or error}", FAILED)
        except KeyboardInterrupt:
            return _fail("interrupted; run the same command again to go on", INTERRUPTED)

    app.run(guarded, flags_parser=_parsed)
    raise AssertionError("absl's app.run returned")


def _parsed(argv: list[str]) -> list[str]:
    """Parse the flags; absl's own way ends with 1 where they are wrong."""
    try:
        return list(FLAGS(argv))
    except flags.Error as error:
        help_line = f"{Path(sys.argv[0]).name} --help lists the flags."
        sys.exit(_fail(f"{' '.join(str(error).split()).rstrip('. ')}. {help_line}", WRONG_USAGE))


def _check_output_dir() -> None:
    """Refuse a folder that cannot be made or written to before anything is loaded.

    The libraries that write tables take no path whose name is not UTF-8.
    """
    given = FLAGS["output_dir"].value if "output_dir" in FLAGS else None
    if not given:
        return
    try:
        given.encode()
    except UnicodeEncodeError:
        raise UsageError(f"--output_dir={given}: the name is not UTF-8, give another one") from None
    path = Path(given).absolute()
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    if not there.is_dir():
        reason = errno.EEXIST if there == path else errno.ENOTDIR
    elif not os.access(there, os.W_OK | os.X_OK):
        reason = errno.EACCES
    else:
        return
    raise OSError(reason, os.strerror(reason), given)


def _open_streams() -> None:
    """Make sure of standard output and error.

    Who closed one gets nothing on it, and no file of the run takes its number. File names that are not
    UTF-8 are printed with escapes.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _flag_values() -> dict[str, Any]:
    return {flag.name: flag.value for flag in FLAGS.get_key_flags_for_module(sys.argv[0])}


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"{Path(sys.argv[0]).name}: {message}\n")
    return code


class _PlainFormatter(logging.PythonFormatter):
    def format(self, record: Any) -> str:
        return str(record.getMessage())
