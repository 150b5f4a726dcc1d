"""What every binary shares: finding its environment, flags, exit codes, run.json.

Imports nothing heavy, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

try:
    from absl import app, flags, logging
except ModuleNotFoundError:  # started from a checkout by a Python without the dependencies
    _venv = Path(__file__).resolve().parents[1] / ".venv"
    if not (_venv / "bin" / "python").exists() or Path(sys.prefix) == _venv:
        sys.exit("actprobe is not installed here: run bin/quickstart, or pip install .")
    os.execv(_venv / "bin" / "python", [str(_venv / "bin" / "python"), *sys.argv])  # noqa: S606

from actprobe.errors import ActprobeError, UsageError
from actprobe.provenance import invoked_by

if TYPE_CHECKING:
    from actprobe.models.source import ModelSource

__all__ = ["FLAGS", "comma_list", "flags", "logging", "model_flags", "model_source", "run"]

flags.disclaim_key_flags()  # flags defined here belong to the binary that asks for them
FLAGS = flags.FLAGS

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


def model_flags(*, required: bool = True) -> None:
    """Define the flags by which a binary opens a model.

    Parameters
    ----------
    required : bool, optional
        Whether ``--model`` has to be given.
    """
    flags.DEFINE_string("model", None, "Network, by its name; README.md lists them.", required=required)
    flags.DEFINE_string("checkpoint", None, "Original weight file; without it seeded random weights.")
    flags.DEFINE_string("normalization", None, "What the front end standardises by, an npz.")
    flags.DEFINE_enum(
        "padding", "zeros", ["zeros", "repeat"], "What follows recordings shorter than an example."
    )
    flags.DEFINE_integer("hop", None, "Frames between examples, where they are excerpts.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Seed of random weights.", lower_bound=0)
    flags.DEFINE_boolean("allow_unverified_weights", False, "Take weights the catalog does not know.")


def model_source() -> ModelSource:
    """Name the model that the flags of `model_flags` ask for; it is not opened yet.

    Returns
    -------
    ModelSource
        Every analysis takes it in place of a model.
    """
    from actprobe.models.source import ModelSource

    options = {"padding": FLAGS.padding} | ({} if FLAGS.hop is None else {"hop": FLAGS.hop})
    return ModelSource(
        FLAGS.model,
        FLAGS.checkpoint,
        FLAGS.normalization,
        seed=FLAGS.seed,
        options=options,
        allow_unverified=FLAGS.allow_unverified_weights,
    )


def comma_list(text: str) -> list[str]:
    """Split a flag's value at its commas.

    Parameters
    ----------
    text : str
        Such as ``pool4,pool5``.

    Returns
    -------
    list of str
        Names without blanks around them, empty ones left out.
    """
    return [name.strip() for name in text.split(",") if name.strip()]


def run(main: Callable[[Sequence[str]], int | None]) -> NoReturn:
    """Run a binary: exit 0 done, 1 failed or nothing usable, 2 wrong usage.

    Parameters
    ----------
    main : callable
        Takes the arguments that are not flags; its errors of class `ActprobeError` become one line
        on stderr.
    """
    if {"--help", "-help", "-h", "-?"} & set(sys.argv[1:]):
        app.usage(writeto_stdout=True, shorthelp=True)
        sys.exit(DONE)

    def guarded(argv: Sequence[str]) -> int:
        logging.use_absl_handler()
        logging.set_verbosity(logging.INFO if FLAGS["verbosity"].using_default_value else FLAGS.verbosity)
        handler = logging.get_absl_handler()
        handler.setFormatter(_PlainFormatter())
        invoked_by(shlex.join(sys.argv), _flag_values)
        try:
            if len(argv) > 1:
                raise UsageError(f"unexpected argument {argv[1]!r}; options are given as --name=value")
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

    app.run(guarded)
    raise AssertionError("absl's app.run returned")


def _flag_values() -> dict[str, Any]:
    return {flag.name: flag.value for flag in FLAGS.get_key_flags_for_module(sys.argv[0])}


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"{Path(sys.argv[0]).name}: {message}\n")
    return code


class _PlainFormatter(logging.PythonFormatter):
    def format(self, record: Any) -> str:
        return str(record.getMessage())
