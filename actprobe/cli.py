"""What every binary shares: finding its environment, flags, exit codes, run.json.

Imports nothing heavy, so that ``--help`` answers at once.
"""

from __future__ import annotations

import io
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
from actprobe.renamed import renaming
from actprobe.version import __version__

if TYPE_CHECKING:
    from actprobe.models import Model
    from actprobe.models.source import ModelSource

__all__ = [
    "FLAGS",
    "comma_list",
    "corpus_flags",
    "corpus_given",
    "flags",
    "input_flag",
    "layer_names",
    "logging",
    "model_flags",
    "model_source",
    "named_source",
    "names_file",
    "run",
]

flags.disclaim_key_flags()  # flags defined here belong to the binary that asks for them
FLAGS = flags.FLAGS

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


def model_flags() -> None:
    """Define the flags by which a binary opens a model, see `model_source`."""
    named = "Network, by its name (README.md lists them), or FILE.py:FUNCTION, which returns yours."
    flags.DEFINE_string("model", None, named)
    flags.DEFINE_string("activations", None, "Folder of stored activations, in place of --model.")
    flags.DEFINE_string("checkpoint", None, "Original weight file; without it seeded random weights.")
    flags.DEFINE_string("normalization", None, "What the front end standardises by, an npz.")
    flags.DEFINE_enum(
        "padding", "zeros", ["zeros", "repeat"], "What follows recordings shorter than an example."
    )
    flags.DEFINE_integer("hop", None, "Frames between examples, where they are excerpts.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Seed of random weights.", lower_bound=0)
    flags.DEFINE_boolean("allow_unverified_weights", False, "Take weights the catalog does not know.")


def model_source() -> Model | ModelSource:
    """Give the model that the flags of `model_flags` ask for; one of the catalog is not opened yet.

    Returns
    -------
    Model or ModelSource
        What every analysis takes.

    Raises
    ------
    UsageError
        No model, two, or flags that do not go with it.
    ActprobeError
        The user's own file or folder is refused.
    """
    if (FLAGS.model is None) == (FLAGS.activations is None):
        raise UsageError("give --model=NAME, --model=FILE.py:FUNCTION or --activations=FOLDER, one of them")
    own = FLAGS.activations is not None or names_file(FLAGS.model)
    if own:
        given = [name for name in ("checkpoint", "normalization", "padding", "hop") if FLAGS[name].present]
        if given:
            raise UsageError(f"--{given[0]} is for networks that --model takes by name; yours brings its own")
    if FLAGS.activations is not None:
        from actprobe.models.adapters.stored import open_activations

        return open_activations(FLAGS.activations)
    if own:
        from actprobe.models.adapters.own_file import model_in_file

        return model_in_file(FLAGS.model)
    return named_source(FLAGS.model, FLAGS.checkpoint)


def named_source(name: str, checkpoint: str | None) -> ModelSource:
    """Name a network of the catalog, with the front end that the flags of `model_flags` ask for.

    Parameters
    ----------
    name : str
        The network.
    checkpoint : str or None
        Its weights.

    Returns
    -------
    ModelSource
        Not opened yet.
    """
    from actprobe.models.source import ModelSource

    options = {"padding": FLAGS.padding} | ({} if FLAGS.hop is None else {"hop": FLAGS.hop})
    return ModelSource(
        name,
        checkpoint,
        FLAGS.normalization,
        seed=FLAGS.seed,
        options=options,
        allow_unverified=FLAGS.allow_unverified_weights,
    )


def names_file(model: str) -> bool:
    """Say whether a model is ``FILE.py:FUNCTION``, or means to be.

    Parameters
    ----------
    model : str
        The value of ``--model``.

    Returns
    -------
    bool
        Whether it names a Python file.
    """
    return ".py:" in model or model.endswith(".py")


def input_flag(*, required: bool = False, default: str = "") -> flags.FlagHolder[str | None]:
    """Define ``--input``, which takes what `actprobe.open_corpus` takes as text.

    Parameters
    ----------
    required : bool, optional
        Whether it has to be given.
    default : str, optional
        What is taken without it, for ``--help``.

    Returns
    -------
    FlagHolder
        The flag.
    """
    meaning = (
        "Recordings: a folder (walked with its subfolders), a manifest CSV with a column path, one file, or "
        "a corpus by its name, NAME:FOLDER or NAME/SPLIT:FOLDER, such as mir1k:FOLDER."
    )
    meaning += f" Default: {default}." if default else ""
    return flags.DEFINE_string("input", None, meaning, required=required)


def corpus_flags() -> None:
    """Define ``--input`` with its older names, ``--corpus`` and ``--corpus_dir``; see `corpus_given`."""
    from actprobe.corpora.named import WITH_SINGING

    input_flag()
    flags.DEFINE_enum("corpus", None, WITH_SINGING, "With --corpus_dir, older name of --input.")
    flags.DEFINE_string("corpus_dir", None, "With --corpus, older name of --input.")


def corpus_given() -> str:
    """Read the flags of `corpus_flags`.

    Returns
    -------
    str
        What `actprobe.open_corpus` takes.

    Raises
    ------
    UsageError
        None of them is given, or both ways of naming recordings.
    """
    from actprobe.corpora.named import corpus_text

    older = [name for name in ("corpus", "corpus_dir") if FLAGS[name].value is not None]
    if FLAGS.input and older:
        raise UsageError(f"give --input or --{older[0]}, its older name, not both")
    if not FLAGS.input and len(older) < 2:
        raise UsageError("--input is needed: a folder, a manifest CSV, a file or NAME:FOLDER")
    if FLAGS.input:
        return str(FLAGS.input)
    text = corpus_text(FLAGS.corpus, FLAGS.corpus_dir)
    logging.warning("%s", renaming("pair of flags", "--corpus and --corpus_dir", f"--input={text}"))
    return text


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


def layer_names(text: str) -> list[str] | str:
    """Read the names of layers in a flag's value.

    Parameters
    ----------
    text : str
        Such as ``pool4,pool5``, or ``all``.

    Returns
    -------
    list of str or str
        The names, or ``all`` as it is: what every call takes as ``layers``.
    """
    return text if text == "all" else comma_list(text)


def run(main: Callable[[Sequence[str]], int | None]) -> NoReturn:
    """Run a binary: exit 0 done, 1 failed or nothing usable, 2 wrong usage.

    Parameters
    ----------
    main : callable
        Takes the arguments that are not flags; its errors of class `ActprobeError` become one line
        on stderr.
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
    """Refuse a folder whose name is not UTF-8: the libraries that write tables take no such path."""
    given = FLAGS["output_dir"].value if "output_dir" in FLAGS else None
    if given is not None and not str(given).isascii():
        try:
            str(given).encode()
        except UnicodeEncodeError:
            raise UsageError(f"--output_dir={given}: the name is not UTF-8, give another one") from None


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
