"""Flags that several binaries share, and what they name: networks, recordings, lists.

Imports nothing heavy, so that ``--help`` answers at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from actprobe.cli import FLAGS, flags, logging
from actprobe.errors import UsageError
from actprobe.renamed import renaming

if TYPE_CHECKING:
    from actprobe.corpora import Corpus
    from actprobe.models import Model
    from actprobe.models.source import ModelSource

__all__ = [
    "comma_list",
    "corpus_flags",
    "corpus_given",
    "input_flag",
    "input_given",
    "layer_names",
    "model_and_corpus",
    "model_flags",
    "model_source",
    "mono_flag",
    "named_source",
    "names_file",
    "recordings_in",
]

flags.disclaim_key_flags()  # flags defined here belong to the binary that asks for them


def model_flags() -> None:
    """Define the flags by which a binary opens a model, see `model_source`."""
    named = "Name of a network (README.md lists them), or FILE.py:FUNCTION for one of your own."
    flags.DEFINE_string("model", None, named)
    flags.DEFINE_string("activations", None, "Folder of stored activations, instead of --model.")
    flags.DEFINE_string("checkpoint", None, "Weight file or catalog name; default: seeded random weights.")
    flags.DEFINE_string(
        "normalization", None, "Mean and deviation for the front end: an npz or a catalog name."
    )
    flags.DEFINE_enum(
        "padding", "zeros", ["zeros", "repeat"], "Padding of recordings shorter than an example."
    )
    flags.DEFINE_integer("hop", None, "Frames between the starts of examples that overlap.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Seed of random weights.", lower_bound=0)
    flags.DEFINE_boolean("allow_unverified_weights", False, "Accept weights that are not in the catalog.")


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


def model_and_corpus(
    corpus: Callable[[], Corpus | None],
) -> tuple[Model | ModelSource, Corpus | None]:
    """Give the model and the recordings that the flags name; what takes long to load comes last.

    Parameters
    ----------
    corpus : callable
        `input_given` or `corpus_given`.

    Returns
    -------
    tuple of (Model or ModelSource, Corpus or None)
        See `model_source`; a network of the catalog is not opened yet, and a user's own file is not run
        before the recordings are there.

    Raises
    ------
    ActprobeError
        Those of `model_source` and of ``corpus``.
    """
    if FLAGS.model is not None and names_file(FLAGS.model):
        recordings = corpus()
        return model_source(), recordings
    model = model_source()
    return model, corpus()


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
        Not opened yet; its files are there.
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
    ).located()


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
        "Recordings: a folder with its subfolders, a manifest CSV with a column path, one file, or a named "
        "corpus, NAME:FOLDER or NAME/SPLIT:FOLDER, such as mir1k:FOLDER."
    )
    meaning += f" Default: {default}." if default else ""
    mono_flag()
    return flags.DEFINE_string("input", None, meaning, required=required)


def mono_flag() -> None:
    """Define ``--mono``: which channel of a recording is read."""
    from actprobe.corpora.folder import MEAN, MONO

    meaning = "What is read of recordings of several channels; loudest helps where they cancel each other."
    flags.DEFINE_enum("mono", MEAN, MONO, meaning)


def input_given() -> Corpus | None:
    """Open the recordings that ``--input`` names, before a network is loaded.

    Returns
    -------
    Corpus or None
        None without the flag.

    Raises
    ------
    UsageError
        No corpus has that name.
    CorpusError
        Nothing usable there.
    """
    from actprobe.corpora import open_corpus

    return open_corpus(FLAGS.input, mono=FLAGS.mono) if FLAGS.input else None


def corpus_flags() -> None:
    """Define ``--input`` with its older names, ``--corpus`` and ``--corpus_dir``; see `corpus_given`."""
    from actprobe.corpora.named import WITH_SINGING

    input_flag()
    flags.DEFINE_enum("corpus", None, WITH_SINGING, "With --corpus_dir, older name of --input.")
    flags.DEFINE_string("corpus_dir", None, "With --corpus, older name of --input.")


def corpus_given() -> Corpus:
    """Open the recordings that the flags of `corpus_flags` name.

    Returns
    -------
    Corpus
        What every analysis takes.

    Raises
    ------
    UsageError
        None of them is given, or both ways of naming recordings.
    CorpusError
        Nothing usable there.
    """
    from actprobe.corpora.named import corpus_text

    older = [name for name in ("corpus", "corpus_dir") if FLAGS[name].value is not None]
    if FLAGS.input and older:
        raise UsageError(f"give --input or --{older[0]}, its older name, not both")
    if not FLAGS.input and len(older) < 2:
        raise UsageError("--input is needed: a folder, a manifest CSV, a file or NAME:FOLDER")
    if FLAGS.input:
        return recordings_in(FLAGS.input)
    text = corpus_text(FLAGS.corpus, FLAGS.corpus_dir)
    logging.warning("%s", renaming("pair of flags", "--corpus and --corpus_dir", f"--input={text}"))
    return recordings_in(text)


def recordings_in(text: str) -> Corpus:
    """Open recordings of a training or evaluation, with their splits and what ``--mono`` says.

    Parameters
    ----------
    text : str
        What `actprobe.open_corpus` takes.

    Returns
    -------
    Corpus
        At least one recording.

    Raises
    ------
    CorpusError
        Nothing usable there.
    """
    from actprobe.corpora.labelled_corpus import open_with_splits

    return open_with_splits(text, FLAGS.mono)


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
