"""What every analysis of a corpus does before its network is opened: cheap checks, then a head start."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from actprobe.batch.executors import parse_executor
from actprobe.batch.feature_pool import start_ahead
from actprobe.corpora import Corpus, open_corpus
from actprobe.corpora.corpus import CorpusLike
from actprobe.corpora.phantom import write_phantom
from actprobe.errors import UsageError
from actprobe.models import Model, ModelSource


def output_folder(path: str | Path) -> Path:
    """Make the folder of a run; OSError where that is impossible, such as where a file has its name."""
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def chosen_names(what: str, names: Sequence[str], there: Collection[str]) -> list[str]:
    """Give the names of a kind, such as ``method``, that are asked for.

    UsageError: none, one text in place of a list, one that does not exist, or one that is named twice.
    """
    if isinstance(names, str):
        raise UsageError(f"{what}s={names!r}: give a list")
    if not names:
        raise UsageError(f"name at least one {what} of {', '.join(there)}")
    for name in names:
        if name not in there:
            raise UsageError(f"there is no {what} {name!r}; there is {', '.join(there)}")
        if list(names).count(name) > 1:
            raise UsageError(f"{what} {name} is named more than once")
    return list(names)


def corpus_or_phantom(corpus: CorpusLike | None, model: Model | ModelSource, output_dir: Path) -> Corpus:
    """Open a corpus; None writes the phantom corpus into the folder of the run and opens that.

    UsageError: none is given, and the model is known by the stored activations of other recordings alone.
    """
    if corpus is None and not model.computes:
        raise UsageError(f"{model.name} is a folder of stored activations: give its recordings (--input)")
    return open_corpus(write_phantom(output_dir / "phantom") if corpus is None else corpus)


def head_start(executor: str, recordings: int, *preload: str) -> None:
    """Start the feature processes of an executor of this machine, while TensorFlow is being loaded.

    ``preload``: see `actprobe.workers.forked.fork`; give it the module of the job and the packages of the
    features.
    """
    chosen = parse_executor(executor)
    if chosen.kind == "local":
        start_ahead(min(chosen.workers, recordings), *preload)
