"""Npz readers: what numpy writes is read, and everything that a file may lie about is refused."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutants import check_each
from numpy.typing import NDArray

from actprobe.errors import WeightsError
from actprobe.frontends import MelgramFrontEnd, SvdFrontEnd
from actprobe.weights import read_lasagne_npz, read_npz

SHAPES = ((3, 1, 2, 2), (3,), (12, 5), (5,))
NAMES = {f"param{i}": shape for i, shape in enumerate(SHAPES)}


def arrays() -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(5)
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in NAMES.items()}


def npy(array: NDArray[Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, **options)  # type: ignore[no-untyped-call]
    return stream.getvalue()


def npy_of(header: bytes, numbers: bytes, version: bytes = b"\1\0") -> bytes:
    length = struct.pack("<H" if version == b"\1\0" else "<L", len(header))
    return b"\x93NUMPY" + version + length + header + numbers


# Files as programs write them


class OneWay(io.RawIOBase):
    """A stream that cannot go back, such as a pipe: sizes then come behind the data."""

    def __init__(self) -> None:
        self.written = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.written += bytes(data)
        return len(data)


def by_savez(save: Callable[..., Any] = np.savez, values: Any = None) -> bytes:
    stream = io.BytesIO()
    save(stream, **(values or arrays()))
    return stream.getvalue()


def by_savez_through_a_pipe() -> bytes:
    stream = OneWay()
    np.savez(stream, **arrays())
    return stream.written


def by_zipfile(method: int = zipfile.ZIP_STORED, order: Any = tuple(NAMES)) -> bytes:
    """As numpy of 2015 wrote it: without ZIP64."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for name in order:
            file.writestr(f"{name}.npy", npy(arrays()[name]))
    return stream.getvalue()


VALID: dict[str, Callable[[], bytes]] = {
    "savez": by_savez,
    "savez_compressed": lambda: by_savez(np.savez_compressed),
    "savez through a pipe": by_savez_through_a_pipe,
    "numpy of 2015": by_zipfile,
    "members in another order": lambda: by_zipfile(order=("param2", "param0", "param3", "param1")),
    "deflated by zipfile": lambda: by_zipfile(zipfile.ZIP_DEFLATED),
    "Fortran order": lambda: by_savez(values={k: np.asfortranarray(v) for k, v in arrays().items()}),
}


@pytest.mark.parametrize("writer", VALID)
def test_what_numpy_writes_is_read(tmp_path: Path, writer: str) -> None:
    path = tmp_path / "weights.npz"
    path.write_bytes(VALID[writer]())
    found = read_lasagne_npz(path, SHAPES)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    for ours, theirs in zip(found.arrays, arrays().values(), strict=True):
        assert ours.dtype == np.float32
        assert ours.flags.c_contiguous
        assert ours.flags.writeable
        np.testing.assert_array_equal(ours, theirs)


def test_the_number_counts_and_not_the_place_in_the_file(tmp_path: Path) -> None:
    """Sorted as text, param10 comes before param2."""
    many = {f"param{i}": np.full(1, i, np.float32) for i in range(12)}
    np.savez(tmp_path / "w.npz", **dict(sorted(many.items())))
    found = read_lasagne_npz(tmp_path / "w.npz", [(1,)] * 12)
    assert [int(array[0]) for array in found.arrays] == list(range(12))


def test_scalars_and_other_types_are_read_where_they_are_expected(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", mean=-20, std=np.float64(1 / 3))
    found = read_npz(tmp_path / "w.npz", {"mean": (), "std": ()}, dtypes=("<f8", "<i8"))
    assert found.arrays["mean"] == -20
    assert found.arrays["std"] == 1 / 3
    assert found.arrays["std"].dtype == np.float64


def test_headers_of_other_versions_and_spellings_are_read(tmp_path: Path) -> None:
    """Python 2 wrote long integers as 3L, and the format leaves the order of the items free."""
    numbers = np.arange(6, dtype=np.float32)
    spellings = [
        npy_of(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }          \n", b""),
        npy_of(b"{'shape': (2, 3), 'fortran_order': False, 'descr': '<f4'}\n", b""),
        npy_of(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", b"", b"\2\0"),
    ]
    for header in spellings:
        path = tmp_path / "w.npz"
        path.write_bytes(craft([entry("param0", header + numbers.tobytes())]))
        np.testing.assert_array_equal(read_lasagne_npz(path, [(2, 3)]).arrays[0], numbers.reshape(2, 3))


def test_original_files_are_read_as_numpy_reads_them(assets: Path) -> None:
    path = assets / "golden/svd_random.npz"
    with np.load(path, allow_pickle=False) as theirs:
        shapes = [theirs[f"param{i}"].shape for i in range(len(theirs.files))]
        found = read_lasagne_npz(path, shapes)
        for i, ours in enumerate(found.arrays):
            np.testing.assert_array_equal(ours, theirs[f"param{i}"])
    with np.load(assets / "originals/svd/jamendo_meanstd.npz", allow_pickle=False) as theirs:
        front_end = SvdFrontEnd(assets / "originals/svd/jamendo_meanstd.npz")
        np.testing.assert_array_equal(front_end.mean, theirs["mean"].astype(np.float32))


# Files made by hand


def entry(
    name: str,
    data: bytes,
    *,
    suffix: str = ".npy",
    method: int = 0,
    flags: int = 0,
    packed: Any = None,
    local: Any = None,
    **central: Any,
) -> dict[str, Any]:
    """Describe a member; ``local`` and the keywords replace fields of its two descriptions."""
    if packed is None:
        deflater = zlib.compressobj(wbits=-15)
        packed = data if method == 0 else deflater.compress(data) + deflater.flush()
    true = {
        "name": f"{name}{suffix}".encode(),
        "flags": flags,
        "method": method,
        "crc": zlib.crc32(data),
        "packed": len(packed),
        "size": len(data),
        "extra": b"",
    }
    return {"bytes": packed, "local": {**true, **(local or {})}, "central": {**true, **central}}


def craft(entries: list[dict[str, Any]], *, before: bytes = b"", after: bytes = b"", **end: Any) -> bytes:
    image = before
    directory = b""
    for item in entries:
        told: dict[str, Any] = item["local"]
        start = item["central"].get("start", len(image))
        if "start" not in item["central"]:
            image += struct.pack(
                "<4s5H3L2H", b"PK\3\4", 20, told["flags"], told["method"], 0, 33, told["crc"], told["packed"],
                told["size"], len(told["name"]), len(told["extra"]),
            ) + told["name"] + told["extra"] + item["bytes"] + item.get("behind", b"")  # fmt: skip
        told = item["central"]
        directory += struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 20, 20, told["flags"], told["method"], 0, 33, told["crc"],
            told["packed"], told["size"], len(told["name"]), len(told["extra"]), 0, told.get("disk", 0), 0,
            0, start,
        ) + told["name"] + told["extra"]  # fmt: skip
    true = {"disk": 0, "count": len(entries), "length": len(directory), "start": len(image), "comment": b""}
    told = {**true, **end}
    last = struct.pack(
        "<4s4H2LH", b"PK\5\6", told["disk"], told["disk"], told["count"], told["count"], told["length"],
        told["start"], len(told["comment"]),
    )  # fmt: skip
    return b"".join((image, directory, after, last, told["comment"]))


def members(**replaced: Any) -> list[dict[str, Any]]:
    """The four members of a valid file; a keyword replaces one, None leaves it out."""
    true = {name: entry(name, npy(array)) for name, array in arrays().items()}
    return [item for item in {**true, **replaced}.values() if item is not None]


def one(data: bytes, **options: Any) -> bytes:
    """A file whose param1, three numbers, is replaced."""
    return craft(members(param1=entry("param1", data, **options)))


def header(text: bytes, version: bytes = b"\1\0") -> bytes:
    return one(npy_of(text, np.zeros(3, "<f4").tobytes(), version))


GOOD = npy(np.arange(3, dtype=np.float32))
ZEROS = b"\0" * 10_000_000  # 10 kB when deflated


def deflated(data: bytes) -> bytes:
    deflater = zlib.compressobj(9, wbits=-15)
    return deflater.compress(data) + deflater.flush()


def objects() -> bytes:
    return npy(np.array([print, {}, 1], object), allow_pickle=True)


def overlapping() -> bytes:
    """Member param1 lies within param0, whose data hold a whole member (Fifield 2019, a better zip bomb)."""
    inner = craft([entry("param1", GOOD)])
    inner = inner[: inner.index(b"PK\1\2")]
    data = npy(arrays()["param0"])[: -len(inner)] + inner
    outer = entry("param0", data)
    start = 30 + len("param0.npy") + len(data) - len(inner)
    return craft(members(param0=outer, param1={**entry("param1", GOOD, start=start)}))


def two_directories() -> bytes:
    """A directory that another parser finds first, by searching for its signature in the comment."""
    good = craft(members())
    return craft(members(), comment=good[good.index(b"PK\1\2") :])


def zip64_end() -> bytes:
    """The end record says that the truth is in a ZIP64 record before it."""
    good = craft(members())
    start = good.index(b"PK\1\2")
    length = len(good) - 22 - start
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 4, 4, length, start)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(good) - 22, 1)
    return craft(members(), after=record + locator, count=0xFFFF, length=2**32 - 1, start=2**32 - 1)


LIE = {"packed": 2**32 - 1, "size": 2**32 - 1}

HOSTILE: dict[str, tuple[Callable[[], bytes], str, str]] = {
    # names
    "a member is missing": (lambda: craft(members(param2=None)), "param2", "missing"),
    "two are missing": (lambda: craft(members(param2=None, param0=None)), "param0", r"and 1 more"),
    "a member too many": (lambda: craft([*members(), entry("param4", GOOD)]), "param4.npy", "expected"),
    "another name": (lambda: by_savez(values={"arr_0": np.zeros(3)}), "arr_0.npy", "expected"),
    "a zero before": (
        lambda: craft(members(param1=entry("param01", GOOD))),
        "param01.npy",
        "expected",
    ),
    "a path": (lambda: craft(members(param1=entry("../param1", GOOD))), r"../param1.npy", "expected"),
    "a name of control characters": (
        lambda: craft(members(param1=entry("\n\x1b[2J", GOOD))),
        r"\n\x1b[2J.npy",
        "expected",
    ),
    "no suffix": (lambda: craft(members(param1=entry("param1", GOOD, suffix=""))), "param1", "expected"),
    "a member twice": (lambda: craft([*members(), entry("param1", GOOD)]), "param1", "twice"),
    # arrays
    "another shape": (lambda: one(npy(np.zeros(4, "<f4"))), "param1", r"shape \(4,\), not \(3,\)"),
    "an axis more": (lambda: one(npy(np.zeros((3, 1), "<f4"))), "param1", r"shape \(3, 1\)"),
    "float64": (lambda: one(npy(np.zeros(3))), "param1", "<f8.*not cast"),
    "float16": (lambda: one(npy(np.zeros(3, "<f2"))), "param1", "<f2"),
    "big endian": (lambda: one(npy(np.zeros(3, ">f4"))), "param1", ">f4"),
    "integers": (lambda: one(npy(np.zeros(3, "<i4"))), "param1", "<i4"),
    "text": (lambda: one(npy(np.array(["abc"] * 3))), "param1", "<U3"),
    "records": (lambda: one(npy(np.zeros(3, [("a", "<f4")]))), "param1", "plain array"),
    "Python objects": (lambda: one(objects()), "param1", "never unpickled"),
    "NaN": (lambda: one(npy(np.array([0, np.nan, 0], "<f4"))), "param1", "NaN"),
    "infinity": (lambda: one(npy(np.array([0, -np.inf, 0], "<f4"))), "param1", "infinity"),
    # headers of arrays
    "a pickle": (lambda: one(b"\x80\4cos\nsystem\n(S'true'\ntR."), "param1", "not an array"),
    "nothing": (lambda: one(b""), "param1", "not an array"),
    "six bytes": (lambda: one(b"\x93NUMPY"), "param1", "not an array"),
    "version 9": (lambda: header(b"{}", b"\x09\0"), "param1", "not an array"),
    "a header without end": (lambda: one(GOOD[:8] + b"\xff\xff" + GOOD[10:]), "param1", "plain array"),
    "a header of 4 GB": (
        lambda: one(GOOD[:6] + b"\2\0\xff\xff\xff\xff" + GOOD[10:]),
        "param1",
        "plain array",
    ),
    "a program in the header": (
        lambda: header(b"{'descr': __import__('os'), 'fortran_order': False, 'shape': (3,)}"),
        "param1",
        "plain array",
    ),
    "deep brackets": (lambda: header(b"(" * 3000), "param1", "plain array"),
    "a shape twice": (
        lambda: header(b"{'descr': '<f4', 'shape': (3,), 'shape': (3,)}"),
        "param1",
        "plain array",
    ),
    "a negative shape": (
        lambda: header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-3,), }"),
        "param1",
        "plain array",
    ),
    "a shape of 3000 digits": (
        lambda: header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"9" * 3000 + b",), }"),
        "param1",
        "shape",
    ),
    "many axes": (
        lambda: header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"1," * 1500 + b"), }"),
        "param1",
        "shape",
    ),
    "numbers too few": (lambda: one(GOOD[:-4]), "param1", "its shape needs"),
    "numbers too many": (lambda: one(GOOD + b"1234"), "param1", "its shape needs"),
    # packing
    "encrypted": (lambda: one(GOOD, flags=1), "param1", "encrypted"),
    "strongly encrypted": (lambda: one(GOOD, flags=64), "param1", "zip flags 0x0040"),
    "patch data": (lambda: one(GOOD, flags=32), "param1", "zip flags 0x0020"),
    "bzip2": (lambda: one(GOOD, method=12, packed=GOOD), "param1", "method 12"),
    "another checksum": (lambda: one(GOOD, crc=7, local={"crc": 7}), "param1", "checksum"),
    "another checksum, deflated": (
        lambda: one(GOOD, method=8, crc=7, local={"crc": 7}),
        "param1",
        "checksum",
    ),
    "what does not inflate": (lambda: one(GOOD, method=8, packed=b"\xff" * 30), "param1", "does not inflate"),
    "a stream cut off": (
        lambda: one(GOOD, method=8, packed=deflated(GOOD)[:-5]),
        "param1",
        "does not inflate to",
    ),
    "bytes behind the stream": (
        lambda: one(GOOD, method=8, packed=deflated(GOOD) + b"hidden"),
        "param1",
        "does not inflate to",
    ),
    "a bomb that declares its size": (
        lambda: one(ZEROS, method=8, packed=deflated(GOOD + ZEROS)),
        "param1",
        "more than its shape",
    ),
    "a bomb that declares another": (
        lambda: one(GOOD, method=8, packed=deflated(GOOD + ZEROS)),
        "param1",
        "does not inflate to",
    ),
    # sizes and places
    "sizes above the shape's": (
        lambda: one(GOOD, size=10**6, packed=GOOD, local={"size": 10**6}),
        "param1",
        "more than its shape",
    ),
    "a header before it that says less": (
        lambda: one(GOOD, local={"size": 4, "packed": 4}),
        "param1",
        "differently",
    ),
    "a header before it with another name": (
        lambda: one(GOOD, local={"name": b"param9.npy"}),
        "param1",
        "differently",
    ),
    "a header before it with another checksum": (
        lambda: one(GOOD, local={"crc": 1}),
        "param1",
        "differently",
    ),
    "a header before it with another method": (
        lambda: one(GOOD, local={"method": 8}),
        "param1",
        "differently",
    ),
    "ZIP64 sizes before it that lie": (
        lambda: one(GOOD, local={**LIE, "extra": struct.pack("<2H2Q", 1, 16, 2**40, 2**40)}),
        "param1",
        "differently",
    ),
    "ZIP64 sizes in the directory": (
        lambda: one(GOOD, size=2**32 - 1, extra=struct.pack("<2H2Q", 1, 16, len(GOOD), len(GOOD))),
        "param1",
        "ZIP64",
    ),
    "ZIP64 sizes that nobody asked for": (
        lambda: one(GOOD, extra=struct.pack("<2H2Q", 1, 16, len(GOOD), len(GOOD))),
        "param1",
        "ZIP64",
    ),
    "a ZIP64 end record": (zip64_end, "", "end record that does not fit"),
    "extra fields that run over": (
        lambda: one(GOOD, extra=b"\x09\0\xff\xff"),
        "",
        "extra field",
    ),
    "half an extra field": (lambda: one(GOOD, local={"extra": b"\1"}), "param1", "extra fields"),
    "sizes behind it that lie": (
        lambda: craft(
            members(
                param1={
                    **entry("param1", GOOD, flags=8, local={"crc": 0, "packed": 0, "size": 0}),
                    "behind": struct.pack("<4s3L", b"PK\7\x08", zlib.crc32(GOOD), 4, 4),
                }
            )
        ),
        "param2",
        "end to end",
    ),
    "sizes that were never told": (
        lambda: one(GOOD, local={"crc": 0, "packed": 0, "size": 0}),
        "param1",
        "differently",
    ),
    "a member within another": (overlapping, "param1", "end to end"),
    "one place for two members": (
        lambda: craft([*members(param1=None), entry("param1", GOOD, start=0)]),
        "param1",
        "end to end",
    ),
    "a member behind the end": (
        lambda: craft([*members(param1=None), entry("param1", GOOD, start=10**9)]),
        "param1",
        "end to end",
    ),
    "a member in the end record": (
        lambda: craft([*members(param1=None), entry("param1", GOOD, start=60)]),
        "param1",
        "end to end",
    ),
    "bytes before the first": (
        lambda: craft(members(), before=b"PK\3\4" + b"#!/bin/sh\n"),
        "param0",
        "end to end",
    ),
    "bytes between": (
        lambda: craft(members(param1={**entry("param1", GOOD), "behind": b"hidden"})),
        "param2",
        "end to end",
    ),
    "another disk": (lambda: one(GOOD, disk=1), "param1", "another disk"),
    # the directory
    "bytes behind the directory": (
        lambda: craft(members(), after=b"hidden"),
        "",
        "cannot be read as an npz file",
    ),
    "a comment": (lambda: craft(members(), comment=b"hello"), "", "cut off or added to"),
    "a second directory in a comment": (two_directories, "", "does not fit"),
    "bytes behind the end": (lambda: craft(members()) + b"\n", "", "cut off or added to"),
    "several disks": (lambda: craft(members(), disk=1), "", "does not fit"),
    "a count too low": (lambda: craft(members(), count=3), "", "declares 3 members but lists 4"),
    "a count too high": (lambda: craft(members(), count=65535), "", "declares 65535"),
    "a directory elsewhere": (lambda: craft(members(), start=0), "", "does not fit"),
    "a directory larger than the file": (
        lambda: craft(members(), length=2**31),
        "",
        "cannot be read as an npz file",
    ),
    "a directory of one member 90 times": (
        lambda: craft([entry("param0", b"", start=0) for _ in range(90)]),
        "",
        "not an npz",
    ),
    "an entry that is none": (
        lambda: craft(members()).replace(b"PK\1\2", b"PK\1\3"),
        "",
        "cannot be read as an npz file",
    ),
    "half an entry": (
        lambda: craft(members(), after=b"PK\1\2", length=4 * (46 + len("param0.npy")) + 4),
        "",
        "cannot be read as an npz file",
    ),
    # other files
    "no bytes": (lambda: b"", "", "empty"),
    "an empty zip file": (lambda: craft([]), "param0", "missing"),
    "a text": (lambda: b"hello, world; this is text\n" * 9, "", "not an npz"),
    "one array without a zip file": (lambda: npy(np.zeros(3, "<f4")), "", "not an npz"),
    "only an end": (lambda: b"PK\3\4", "", "cannot be read as an npz file"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_file_is_refused_by_its_reason(tmp_path: Path, case: str) -> None:
    make, where, reason = HOSTILE[case]
    path = tmp_path / "weights.npz"
    path.write_bytes(make())
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError, match=reason) as refused:
            read_lasagne_npz(path, SHAPES)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert refused.value.path == str(path)
    assert refused.value.entry == where
    assert str(refused.value).isprintable()
    assert peak < 3_000_000


def test_hand_made_file_is_valid_before_anything_in_it_is_changed(tmp_path: Path) -> None:
    """Otherwise the table above would show nothing."""
    for method in (0, 8):
        made = [entry(name, npy(array), method=method) for name, array in arrays().items()]
        (tmp_path / "w.npz").write_bytes(craft(made))
        found = read_lasagne_npz(tmp_path / "w.npz", SHAPES)
        np.testing.assert_array_equal(found.arrays[2], arrays()["param2"])


def test_file_above_what_the_shapes_need_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "w.npz").open("wb") as file:
        file.write(by_savez())
        file.truncate(10**12)
    with pytest.raises(WeightsError, match="larger than"):
        read_lasagne_npz(tmp_path / "w.npz", SHAPES)


def test_what_is_not_a_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    for name, reason in {"pipe.npz": "regular", "nowhere.npz": "no such file", ".": "regular"}.items():
        with pytest.raises(WeightsError, match=reason):
            read_lasagne_npz(tmp_path / name, SHAPES)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Witness:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(tmp_path / "unpickled"),)

    (tmp_path / "w.npz").write_bytes(one(npy(np.array([Witness()] * 3, object), allow_pickle=True)))
    with pytest.raises(WeightsError, match="never unpickled"):
        read_lasagne_npz(tmp_path / "w.npz", SHAPES)
    assert not (tmp_path / "unpickled").exists()


changes = st.one_of(
    st.tuples(st.just("flip"), st.integers(0, 10**6), st.integers(0, 7)),
    st.tuples(st.just("set"), st.integers(0, 10**6), st.sampled_from([0, 1, 8, 0x7F, 0x80, 0xFF])),
    st.tuples(st.just("cut"), st.integers(0, 10**6), st.integers(1, 40)),
    st.tuples(st.just("insert"), st.integers(0, 10**6), st.binary(min_size=1, max_size=20)),
    st.tuples(st.just("end"), st.integers(0, 10**6), st.just(0)),
)


def changed(image: bytes, change: tuple[str, int, Any]) -> bytes:
    kind, place, what = change
    place %= len(image)
    match kind:
        case "flip":
            return image[:place] + bytes([image[place] ^ (1 << what)]) + image[place + 1 :]
        case "set":
            return image[:place] + bytes([what]) + image[place + 1 :]
        case "cut":
            return image[:place] + image[place + what :]
        case "insert":
            return image[:place] + bytes(what) + image[place:]
    return image[:place]


IMAGES = [make() for make in VALID.values()]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    image=st.sampled_from(IMAGES),
    many=st.lists(st.lists(changes, min_size=1, max_size=4), min_size=30, max_size=30),
)
def test_damaged_file_is_refused_or_read_right(tmp_path: Path, image: bytes, many: Any) -> None:
    """What survives is damage to what does not matter, such as dates: the numbers have a checksum."""
    path = tmp_path / "damaged.npz"

    def check(content: bytes) -> None:
        path.write_bytes(content)
        try:
            found = read_lasagne_npz(path, SHAPES)
        except WeightsError as refused:
            message = str(refused)
            assert message.startswith(f"{path}: ")
            assert message.isprintable()
        else:
            for ours, theirs in zip(found.arrays, arrays().values(), strict=True):
                np.testing.assert_array_equal(ours, theirs)

    images = [
        functools.reduce(lambda damaged, change: changed(damaged, change) or b"\0", some, image)
        for some in many
    ]
    assert check_each(check, images) == 0


# Constants that front ends read


@pytest.mark.parametrize(
    ("values", "where", "reason"),
    [
        ({"mean": np.zeros(80)}, "std", "missing"),
        ({"mean": np.zeros(80), "std": np.ones(79)}, "std", "shape"),
        ({"mean": np.zeros(80), "std": np.zeros(80)}, "std", "positive"),
        ({"mean": np.zeros(80), "std": np.full(80, 1e-310)}, "std", "single precision"),
        ({"mean": np.full(80, 1e300), "std": np.ones(80)}, "mean", "single precision"),
        ({"mean": np.zeros(80), "std": np.full(80, np.nan)}, "std", "NaN"),
        ({"mean": np.zeros(80), "std": np.ones(80), "n": 5}, "n.npy", "expected"),
        ({"mean": np.zeros(80, object), "std": np.ones(80)}, "mean", "never unpickled"),
    ],
)
def test_bad_mean_and_std_are_refused_by_name(
    tmp_path: Path, values: dict[str, Any], where: str, reason: str
) -> None:
    np.savez(tmp_path / "bad.npz", **values)
    with pytest.raises(WeightsError, match=reason) as refused:
        SvdFrontEnd(tmp_path / "bad.npz")
    assert refused.value.entry == where


def test_constants_of_the_melgram_go_through_the_same_reader(tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", mean=np.array(None), std=1.0)
    with pytest.raises(WeightsError, match="never unpickled"):
        MelgramFrontEnd(tmp_path / "bad.npz")
