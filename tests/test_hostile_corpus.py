"""A stored corpus of hostile weight files: each is refused with the entry and the reason it was stored with.

The files were made by the tables of test_weights, test_npz_weights and test_tf_checkpoint; stored, they stay
as they are whatever the libraries that made them become.
"""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actprobe.errors import WeightsError
from actprobe.weights import read_keras1_h5, read_lasagne_npz, read_tf_checkpoint

CORPUS = Path(__file__).parent / "data" / "hostile"
EXPECTED = json.loads((CORPUS / "expected.json").read_text("utf-8"))
READERS: dict[str, Callable[[Path, Any], Any]] = {
    "keras1_h5": lambda path, shapes: read_keras1_h5(path, {k: tuple(v) for k, v in shapes.items()}),
    "lasagne_npz": lambda path, shapes: read_lasagne_npz(path, tuple(map(tuple, shapes))),
    "tf_checkpoint": lambda path, shapes: read_tf_checkpoint(path, {k: tuple(v) for k, v in shapes.items()}),
}


def test_every_stored_file_is_listed() -> None:
    stored = {path.relative_to(CORPUS).as_posix() for path in CORPUS.glob("*/*")}
    assert stored == set(EXPECTED["files"])
    assert {name.partition("/")[0] for name in stored} == set(READERS)
    assert len(stored) > 100


@pytest.mark.parametrize("name", EXPECTED["files"])
def test_stored_hostile_file_is_refused(name: str) -> None:
    kind = name.partition("/")[0]
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError) as refused:
            READERS[kind](CORPUS / name, EXPECTED["shapes"][kind])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert {"entry": refused.value.entry, "reason": refused.value.reason} == EXPECTED["files"][name]
    assert str(refused.value).isprintable()
    assert peak < 1_000_000  # of this process; the child has limits of its own
