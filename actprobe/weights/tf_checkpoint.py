"""Reader of TensorFlow 1 checkpoints, as `tf.train.Saver` writes them, that trusts nothing.

Version 1 is one file: a table whose first value lists the variables and whose other values are their
numbers, in one slice or several (tensorflow/core/util/saved_tensor_slice.proto). Version 2 is an index,
``PREFIX.index``, a table with an entry for each variable, and the numbers in ``PREFIX.data-00000-of-00001``
(tensorflow/core/protobuf/tensor_bundle.proto). The caller says which variables of which shapes its
network needs, and anything else is refused.

The files are read by a parser of our own, not by `tf.train.load_checkpoint`, for two reasons that were
measured with TensorFlow 2.17.1. Of 6,000 damaged indices with right checksums 647 ended the process: its
reader of version 2 aborts on an entry that does not parse. And its reader of version 1 needs 600 MB to
read a published file of 288 MB, a variable at a time and keeping none. Here a file is in memory once, the
arrays are views of it, nobody can change it between two looks, and the digest belongs to the very bytes
that were read. `tf.train.load_checkpoint` is the witness of the tests.

Names, types, shapes and places of all variables are checked before the first number is looked at;
then the checksums, and that every number is finite.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations, starmap
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import WeightsError
from actprobe.weights.crc32c import masked_crc32c
from actprobe.weights.file_image import printable, read_image
from actprobe.weights.tf_table import FormatError, Message, check_blocks, read_table

FLOAT32 = 1  # of tensorflow/core/framework/types.proto
TYPES = {2: "float64", 3: "int32", 7: "strings", 9: "int64", 14: "bfloat16", 19: "float16"}
LITTLE_ENDIAN = 0

# Room beside the numbers. A published file has 2.5 MB that are no numbers of its 18 variables; a file of
# the same variables, written anew, has 3 kB.
OVERHEAD_BYTES = 4 << 20
INDEX_BYTES = 1 << 20
MAX_ENTRIES = 1024
NUMBERS_AT_ONCE = 1 << 22

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
Extents: TypeAlias = tuple[tuple[int, int], ...]  # start and length along each axis


@dataclass(frozen=True, eq=False)
class TfCheckpointWeights:
    """The variables of a TensorFlow checkpoint: read-only float32 arrays by name, as they were expected.

    The digest is of the bytes that were read: of the file, or in version 2 of the index and the data files
    one behind the other.
    """

    arrays: dict[str, NDArray[np.float32]] = field(repr=False)
    sha256: str


def read_tf_checkpoint(
    path: str | os.PathLike[str], expected: Shapes, *, published: Collection[str] = ()
) -> TfCheckpointWeights:
    """Read the variables of a known network from a TensorFlow checkpoint.

    Parameters
    ----------
    path : str or os.PathLike
        The file of version 1; for version 2 the prefix or any of its files.
    expected : mapping of str to tuple of int
        Every variable the checkpoint must hold, by name, such as ``model/fc2/biases``, with its shape.
        All are float32.
    published : collection of str, optional
        SHA-256 or MD5 digests of published files of version 1 that hold further variables. Those are
        not read. Any other file may hold no further variable.

    Raises
    ------
    WeightsError
        Whatever is wrong with the checkpoint.
    """
    name = os.fspath(path)
    prefix = re.sub(r"\.(index|data-\d{5}-of-\d{5})\Z", "", name)
    if prefix != name or _is_there(f"{prefix}.index"):
        return _Version2(prefix, expected).read()
    return _Version1(name, expected).read(published)


def _is_there(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


class _Reader:
    """What both versions have in common: a table in memory and how it is judged."""

    def __init__(self, path: str, expected: Shapes, limit: int) -> None:
        self.path = path
        self.expected = expected
        self.image = read_image(path, limit)
        try:
            entries, self.blocks = read_table(self.image, MAX_ENTRIES)
        except FormatError as error:
            raise self.refusal("", error.reason) from error
        if not entries or entries[0][0] != b"":
            raise self.refusal("", "is a table, but not of a checkpoint")
        self.head = entries[0][1]
        self.entries = entries[1:]

    def refusal(self, entry: str, reason: str) -> WeightsError:
        return WeightsError(self.path, entry, reason)

    def check_names(self, names: Collection[str], published: Collection[str] = ()) -> None:
        surplus = [name for name in names if name not in self.expected]
        if surplus and not self.is_one_of(published):
            raise self.refusal(surplus[0], f"this network has no such variable{_others(surplus)}")
        missing = [name for name in self.expected if name not in names]
        if missing:
            raise self.refusal(missing[0], f"this variable is missing{_others(missing)}")

    def is_one_of(self, published: Collection[str]) -> bool:
        return bool(published) and any(_digest(kind, [self.image]) in published for kind in ("sha256", "md5"))

    def check_kind(self, name: str, dtype: int, shape: memoryview) -> None:
        if dtype != FLOAT32:
            kind = TYPES.get(dtype, f"TensorFlow's type {dtype}")
            raise self.refusal(name, f"holds {kind}, not float32; it is not cast")
        if (found := _shape(shape)) != self.expected[name]:
            sizes = found if len(found) < 10 else "..."
            raise self.refusal(name, f"has shape {sizes}, not {self.expected[name]}")

    def check_sums(self) -> None:
        try:
            check_blocks(self.image, self.blocks)
        except FormatError as error:
            raise self.refusal("", error.reason) from error

    def check_numbers(self, name: str, array: NDArray[np.float32]) -> NDArray[np.float32]:
        flat = array.reshape(-1)
        for start in range(0, len(flat), NUMBERS_AT_ONCE):
            if not np.isfinite(flat[start : start + NUMBERS_AT_ONCE]).all():
                raise self.refusal(name, "holds NaN or infinity")
        return array


class _Version1(_Reader):
    """SavedTensorSlices: the first value holds the field `meta`, the others the field `data`."""

    def __init__(self, path: str, expected: Shapes) -> None:
        super().__init__(path, expected, _bytes(expected) + OVERHEAD_BYTES)

    def read(self, published: Collection[str]) -> TfCheckpointWeights:
        try:
            listed = self.listed()
            self.check_names(listed, published)
            slices = {name: self.slices(name, listed[name]) for name in self.expected}
            parts = self.parts(listed, slices)
        except FormatError as error:
            raise self.refusal("", error.reason) from error
        self.check_sums()
        arrays = {}
        for name, shape in self.expected.items():
            array = _assemble(shape, {extents: parts[name, extents] for extents in slices[name]})
            arrays[name] = self.check_numbers(name, array)
        return TfCheckpointWeights(arrays, _digest("sha256", [self.image]))

    def listed(self) -> dict[str, Message]:
        """Read which variables there are (SavedTensorSliceMeta)."""
        found: dict[str, Message] = {}
        for part in Message(Message(self.head).part(1), MAX_ENTRIES).parts(1):
            variable = Message(part)
            name = _text(variable.part(1))
            if name in found:
                raise self.refusal(name, "is there twice")
            found[name] = variable
        return found

    def slices(self, name: str, variable: Message) -> list[Extents]:
        """Read which slices a variable consists of (SavedSliceMeta)."""
        shape = self.expected[name]
        self.check_kind(name, variable.number(3), variable.part(2))
        found = [_extents(part, shape) for part in variable.parts(4)]
        if sum(map(_volume, found)) != math.prod(shape) or any(starmap(_overlap, combinations(found, 2))):
            raise self.refusal(name, "has slices that do not make up the whole of it")
        return found

    def parts(
        self, listed: Collection[str], slices: Mapping[str, Collection[Extents]]
    ) -> dict[tuple[str, Extents], memoryview]:
        """Find the numbers of every slice, each once (SavedSlice)."""
        found: dict[tuple[str, Extents], memoryview] = {}
        for _, value in self.entries:
            part = Message(Message(value).part(2))
            name = _text(part.part(1))
            if name in listed and name not in slices:
                continue  # a further variable of a published file
            extents = _extents(part.part(2), self.expected[name]) if name in slices else ()
            if extents not in slices.get(name, ()) or (name, extents) in found:
                raise self.refusal(
                    name, "has a slice that is not in the list of variables, or is there twice"
                )
            tensor = Message(part.part(3))
            numbers = tensor.part(5)
            if tensor.number(1) not in (0, FLOAT32) or len(numbers) != 4 * _volume(extents):
                raise self.refusal(name, "has a slice with more or fewer numbers than its shape needs")
            found[name, extents] = numbers
        for name, wanted in slices.items():
            if any((name, extents) not in found for extents in wanted):
                raise self.refusal(name, "has a slice without numbers")
        return found


class _Version2(_Reader):
    """BundleHeaderProto, and a BundleEntryProto for each variable; the numbers are in other files."""

    def __init__(self, prefix: str, expected: Shapes) -> None:
        super().__init__(f"{prefix}.index", expected, INDEX_BYTES)
        self.prefix = prefix

    def read(self) -> TfCheckpointWeights:
        try:
            head = Message(self.head)
            if head.number(2) != LITTLE_ENDIAN:
                raise self.refusal("", "was written on a big-endian machine")
            shards = head.number(1)
            entries = {_text(key): Message(value) for key, value in self.entries}
            self.check_names(entries)
            places = {name: self.place(name, entries[name], shards) for name in self.expected}
        except FormatError as error:
            raise self.refusal("", error.reason) from error
        self.check_sums()
        images: dict[int, tuple[str, bytes]] = {}
        room = _bytes(self.expected) + OVERHEAD_BYTES
        for shard in sorted({shard for shard, *_ in places.values()}):
            file = f"{self.prefix}.data-{shard:05d}-of-{shards:05d}"
            images[shard] = file, read_image(file, room)
            room -= len(images[shard][1])
        arrays = {}
        for name, (shard, offset, crc) in places.items():
            file, image = images[shard]
            numbers = memoryview(image)[offset : offset + 4 * math.prod(self.expected[name])]
            if len(numbers) != 4 * math.prod(self.expected[name]):
                raise WeightsError(file, name, "lies beyond the end of the file")
            if masked_crc32c(numbers) != crc:
                raise WeightsError(file, name, "is damaged: its checksum is wrong")
            arrays[name] = self.check_numbers(
                name, np.frombuffer(numbers, "<f4").reshape(self.expected[name])
            )
        everything = [self.image, *(image for _, image in images.values())]
        return TfCheckpointWeights(arrays, _digest("sha256", everything))

    def place(self, name: str, entry: Message, shards: int) -> tuple[int, int, int]:
        """Check an entry; give the data file of the variable, the offset in it and the checksum."""
        self.check_kind(name, entry.number(1), entry.part(2))
        shard, offset, size, crc = (entry.number(field) for field in (3, 4, 5, 6))
        if entry.parts(7):
            raise self.refusal(name, "is stored in slices, which is read in files of version 1 only")
        if shard >= shards or size != 4 * math.prod(self.expected[name]):
            raise self.refusal(name, "has a place in the data files that does not fit")
        return shard, offset, crc


def _others(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _shape(part: memoryview) -> tuple[int, ...]:
    """Read a TensorShapeProto."""
    return tuple(Message(size).number(1) for size in Message(part).parts(2))


def _extents(part: memoryview, shape: tuple[int, ...]) -> Extents:
    """Read a TensorSliceProto; an extent without a length is the whole axis."""
    extents = [Message(extent) for extent in Message(part).parts(1)]
    found = tuple(
        (extent.number(1), extent.number(2) or size) for extent, size in zip(extents, shape, strict=False)
    )
    if len(extents) != len(shape) or any(
        start + length > size for (start, length), size in zip(found, shape, strict=False)
    ):
        raise FormatError("has a slice that does not fit the shape of its variable")
    return found


def _volume(extents: Extents) -> int:
    return math.prod(length for _, length in extents)


def _overlap(one: Extents, other: Extents) -> bool:
    return all(max(a, b) < min(a + m, b + n) for (a, m), (b, n) in zip(one, other, strict=True))


def _assemble(shape: tuple[int, ...], parts: Mapping[Extents, memoryview]) -> NDArray[np.float32]:
    """Put slices together; a single one stays a view of the file."""
    arrays = {
        extents: np.frombuffer(part, "<f4").reshape([length for _, length in extents])
        for extents, part in parts.items()
    }
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    whole = np.empty(shape, np.float32)
    for extents, array in arrays.items():
        whole[tuple(slice(start, start + length) for start, length in extents)] = array
    whole.flags.writeable = False
    return whole


def _bytes(expected: Shapes) -> int:
    return sum(4 * math.prod(shape) for shape in expected.values())


def _text(name: memoryview | bytes) -> str:
    return printable(bytes(name))


def _digest(kind: str, parts: Iterable[bytes]) -> str:
    digest = hashlib.new(kind, usedforsecurity=False)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
