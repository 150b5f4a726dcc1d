"""`Corpus` and `open_corpus`: whatever holds recordings -> a sequence of them that knows its source."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, overload

from actprobe.corpora.folder import MEAN, MONO, Recording, open_folder, with_stem_paths
from actprobe.corpora.named import corpus_text, open_named, parse_named
from actprobe.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

CorpusLike: TypeAlias = (
    "Corpus | str | os.PathLike[str] | Iterable[str | os.PathLike[str] | Recording] | pd.DataFrame"
)
AnyRecording = TypeVar("AnyRecording", bound=Recording)
SHOWN_ROWS = 10


@dataclass(frozen=True)
class Corpus(Sequence[Recording]):
    """The recordings that an analysis goes over, in their order.

    Parameters
    ----------
    items : tuple of Recording
        At least one; no name twice.
    source : str
        Where they are from, for messages and run.json: an absolute path, ``NAME:FOLDER``, or what was given.
    name : str
        What tables call it: ``mir1k test``, ``folder``.

    Examples
    --------
    >>> corpus = actprobe.open_corpus("FOLDER")
    >>> len(corpus), corpus[0].name
    (6, 'blue_1.wav')
    """

    items: tuple[Recording, ...]
    source: str
    name: str = "folder"

    @overload
    def __getitem__(self, index: int) -> Recording: ...

    @overload
    def __getitem__(self, index: slice) -> Corpus: ...

    def __getitem__(self, index: int | slice) -> Recording | Corpus:
        """Give one recording, or a part of the corpus."""
        if isinstance(index, slice):
            return replace(self, items=self.items[index])
        return self.items[index]

    def __len__(self) -> int:
        """Count the recordings."""
        return len(self.items)

    def __repr__(self) -> str:
        """Name the source and count the recordings."""
        return f"<actprobe corpus {self.source}: {len(self)} recordings>"

    def _repr_html_(self) -> str:
        """Show the first recordings in a notebook."""
        head = self[:SHOWN_ROWS].labels.to_html(index=False, border=0)
        return f"<p>{html.escape(repr(self)[1:-1])}</p>{head}"

    @property
    def mono(self) -> str:
        """What is read of recordings of several channels, see `open_corpus`."""
        return ", ".join(dict.fromkeys(one.mono for one in self.items))

    @property
    def labels(self) -> pd.DataFrame:
        """What is known of the recordings: a row for each, its name as ``path``, and a column a label."""
        import pandas as pd

        return pd.DataFrame([{"path": one.name, **one.labels} for one in self.items]).fillna("")


def open_corpus(source: CorpusLike, *, mono: str = MEAN) -> Corpus:
    """Open the recordings of a folder, a table, a list, or of a corpus by its name.

    Parameters
    ----------
    source : str, os.PathLike, list, pandas.DataFrame or Corpus
        A folder, which is walked with its subfolders; a CSV or a data frame with a column ``path``, whose
        further columns are labels (relative to the folder of the CSV, or to the current folder; columns such
        as ``stem_voice`` name files of known parts, whose sum is the recording); an audio file; a list of
        paths or of `Recording`; or ``NAME:FOLDER`` with the name of a corpus, such as
        ``irmas:/data/IRMAS``, or ``NAME/SPLIT:FOLDER`` with ``train``, ``valid`` or ``test``, such as
        ``mir1k/test:/data/MIR-1K``. A `Corpus` is returned as it is.
    mono : str, optional
        What is read of recordings of several channels: their ``mean``, or the ``left``, the ``right`` or the
        ``loudest`` of them. Other than the mean it also holds for a `Corpus`.

    Returns
    -------
    Corpus
        At least one recording, with labels where they are known.

    Raises
    ------
    UsageError
        No corpus has that name; an empty list; a data frame without a column ``path``; a path that is none,
        or is there twice; another ``mono``.
    CorpusError
        Nothing there, nothing usable in it, or not a readable CSV.

    Examples
    --------
    >>> len(actprobe.open_corpus("FOLDER"))
    6
    >>> len(actprobe.open_corpus("mir1k/train:MIR-1K"))
    2
    >>> import pandas as pd
    >>> table = pd.DataFrame({"path": ["song.mp3", "song.flac"], "genre": ["jazz", "rock"]})
    >>> actprobe.open_corpus(table[table["genre"] == "jazz"]).labels["genre"].tolist()
    ['jazz']
    """
    if mono not in MONO:
        raise UsageError(f"mono={mono!r} is unknown; there are: {', '.join(MONO)}")
    corpus = _opened(source)
    return corpus if mono == MEAN else replace(corpus, items=with_mono(corpus, mono))


def with_mono(recordings: Iterable[AnyRecording], mono: str) -> tuple[AnyRecording, ...]:
    """Have one of `MONO` read of the channels of recordings."""
    return tuple(replace(each, mono=mono) for each in recordings)


def _opened(source: CorpusLike) -> Corpus:
    match source:
        case Corpus():
            return source
        case str() | os.PathLike():
            return _open_text(os.fspath(source))
        case _ if hasattr(source, "columns") and hasattr(source, "to_dict"):
            return _checked(_rows(source), "data frame")
        case Iterable() if not isinstance(source, bytes | Mapping):
            return _checked([_listed(one, number) for number, one in enumerate(source, 1)], "list")
    raise UsageError(f"a corpus is a folder, a CSV, a list or a data frame, not {type(source).__name__}")


def _open_text(text: str) -> Corpus:
    named = parse_named(text)
    if named is None:
        return Corpus(tuple(open_folder(text)), str(Path(text).absolute()))
    name, split, directory = named
    source = corpus_text(name, Path(directory).absolute(), split)
    return Corpus(tuple(open_named(name, directory, split)), source, f"{name} {split}" if split else name)


def _checked(items: Sequence[Recording], what: str) -> Corpus:
    if not items:
        raise UsageError(f"the {what} holds no recording: a corpus needs at least one")
    seen: set[str] = set()
    for one in items:
        if one.name in seen:
            raise UsageError(f"{one.name} is named twice: every recording needs a path of its own")
        seen.add(one.name)
    return Corpus(tuple(items), f"{what} of {len(items)} recordings", what)


def _listed(one: Any, number: int, labels: dict[str, str] | None = None) -> Recording:
    if isinstance(one, Recording):
        return one
    if not isinstance(one, str | os.PathLike) or not os.fspath(one) or "\0" in str(os.fspath(one)):
        raise UsageError(f"recording {number} of the corpus is {one!r}, not a path")
    path = Path(one)
    return Recording(path.as_posix(), path.absolute(), with_stem_paths(labels or {}, Path.cwd()))


def _rows(table: Any) -> list[Recording]:
    columns = [str(column) for column in table.columns]
    if "path" not in columns:
        raise UsageError(f"the data frame has no column named path; it has {', '.join(columns) or 'none'}")
    rows: list[dict[str, Any]] = table.set_axis(columns, axis=1).to_dict("records")
    return [
        _listed(row.pop("path"), number, {column: _text(value) for column, value in row.items()})
        for number, row in enumerate(rows, 1)
    ]


def _text(value: Any) -> str:
    """Write a label as a CSV would; nothing where it is not known."""
    import pandas as pd

    return "" if pd.api.types.is_scalar(value) and pd.isna(value) else str(value)
