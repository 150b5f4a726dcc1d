"""The reader of TensorFlow checkpoints: what it gives, and everything that it refuses."""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from mutants import check_each

from actprobe import backend
from actprobe.errors import WeightsError
from actprobe.weights import read_tf_checkpoint, seeded_kernel

SHAPES: dict[str, tuple[int, ...]] = {
    "net/conv1/biases": (4,),
    "net/conv1/weights": (3, 3, 1, 4),
    "net/fc/biases": (3,),
    "net/fc/weights": (8, 3),
}
ARRAYS = {name: seeded_kernel(name, shape, 5) for name, shape in SHAPES.items()}


def save(path: Path, arrays: Any, version: int = 1, slices: dict[str, list[str]] | None = None) -> Path:
    """Write what `tf.train.Saver` would, by the operation that it runs."""
    names, specs, values = [], [], []
    for name, array in arrays.items():
        for spec in (slices or {}).get(name, [""]):
            names.append(name)
            specs.append(spec and f"{' '.join(map(str, np.shape(array)))} {spec}")
            values.append(np.asarray(array)[cut(spec)] if spec else array)
    raw_ops = backend.tf.raw_ops
    if version == 1:
        raw_ops.SaveSlices(filename=str(path), tensor_names=names, shapes_and_slices=specs, data=values)
    else:
        raw_ops.SaveV2(prefix=str(path), tensor_names=names, shape_and_slices=specs, tensors=values)
    return path


def cut(spec: str) -> tuple[slice, ...]:
    extents = [part.split(",") for part in spec.split(":")]
    return tuple(slice(None) if e == ["-"] else slice(int(e[0]), int(e[0]) + int(e[1])) for e in extents)


@pytest.fixture(params=[1, 2])
def version(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def valid(tmp_path: Path, version: int) -> Path:
    return save(tmp_path / "model.ckpt", ARRAYS, version)


def index_of(path: Path) -> Path:
    """The file with the table: the checkpoint itself in version 1, its index in version 2."""
    index = path.with_name(f"{path.name}.index")
    return index if index.exists() else path


def data_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.data-00000-of-00001")


def refusal(path: str | Path, shapes: Any = SHAPES, **options: Any) -> WeightsError:
    with pytest.raises(WeightsError) as caught:
        read_tf_checkpoint(path, shapes, **options)
    message = str(caught.value)
    assert message.startswith(str(path).split("\0")[0])
    assert len(message.splitlines()) == 1
    return caught.value


# What it gives


def test_gives_the_variables_by_name_in_the_order_asked_for(valid: Path) -> None:
    shapes = dict(reversed(SHAPES.items()))
    weights = read_tf_checkpoint(valid, shapes)
    assert list(weights.arrays) == list(shapes)
    for name, array in weights.arrays.items():
        assert array.dtype == np.float32
        assert not array.flags.writeable
        np.testing.assert_array_equal(array, ARRAYS[name])


def test_reads_what_the_saver_of_tensorflow_1_writes(tmp_path: Path, version: int) -> None:
    tf1 = backend.tf.compat.v1
    path = tmp_path / "saver.ckpt"
    with backend.tf.Graph().as_default(), tf1.Session() as session:
        for name, array in ARRAYS.items():
            tf1.get_variable(name, initializer=array)
        session.run(tf1.global_variables_initializer())
        saver = tf1.train.Saver(write_version={1: tf1.train.SaverDef.V1, 2: tf1.train.SaverDef.V2}[version])
        saver.save(session, str(path), write_meta_graph=False, write_state=False)
    assert path.exists() == (version == 1)
    weights = read_tf_checkpoint(path, SHAPES)
    for name, array in weights.arrays.items():
        np.testing.assert_array_equal(array, ARRAYS[name])


variable_names = st.text("abcxyz019_/", min_size=1, max_size=12)
variable_shapes = npst.array_shapes(min_dims=0, max_dims=5, max_side=4)


@given(
    shapes=st.dictionaries(variable_names, variable_shapes, min_size=1, max_size=40),
    seed=st.integers(0, 2**32 - 1),
    version=st.sampled_from([1, 2]),
)  # fmt: skip
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_agrees_with_tensorflow_on_any_checkpoint(
    tmp_path: Path, shapes: Any, seed: Any, version: int
) -> None:
    """Whatever way the numbers took, TensorFlow, which wrote the file, is the witness."""
    rng = np.random.default_rng(seed)
    path = tmp_path / f"any{version}"
    save(path, {name: rng.random(shape, np.float32) for name, shape in shapes.items()}, version)
    weights = read_tf_checkpoint(path, shapes)
    witness = backend.tf.train.load_checkpoint(str(path))
    for name, shape in shapes.items():
        assert weights.arrays[name].shape == shape
        np.testing.assert_array_equal(weights.arrays[name], witness.get_tensor(name))


def test_puts_the_slices_of_a_partitioned_variable_together(tmp_path: Path) -> None:
    slices = {
        "net/fc/weights": ["0,3:-", "3,5:0,1", "3,5:1,2"],
        "net/conv1/weights": ["-:-:-:0,1", "-:-:-:1,3"],
    }
    path = save(tmp_path / "sliced", ARRAYS, 1, slices)
    weights = read_tf_checkpoint(path, SHAPES)
    for name, array in weights.arrays.items():
        assert not array.flags.writeable
        np.testing.assert_array_equal(array, ARRAYS[name])
        (restored,) = backend.tf.raw_ops.RestoreV2(
            prefix=str(path), tensor_names=[name], shape_and_slices=[""], dtypes=[np.float32]
        )
        np.testing.assert_array_equal(array, restored)


def test_puts_slices_of_version_2_together(tmp_path: Path) -> None:
    path = save(tmp_path / "sliced", ARRAYS, 2, {"net/fc/weights": ["0,3:-", "3,5:-"]})
    np.testing.assert_array_equal(
        read_tf_checkpoint(path, SHAPES).arrays["net/fc/weights"], ARRAYS["net/fc/weights"]
    )


def test_reads_a_checkpoint_of_several_data_files(tmp_path: Path) -> None:
    names = list(ARRAYS)
    parts = [
        save(tmp_path / f"part{i}", {name: ARRAYS[name] for name in names[i::2]}, version=2) for i in range(2)
    ]
    backend.tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=[str(part) for part in parts], destination_prefix=str(tmp_path / "whole")
    )
    assert (tmp_path / "whole.data-00001-of-00002").exists()
    weights = read_tf_checkpoint(tmp_path / "whole", SHAPES)
    for name, array in weights.arrays.items():
        np.testing.assert_array_equal(array, ARRAYS[name])
    content = b"".join((tmp_path / f"whole.{end}").read_bytes() for end in (
        "index", "data-00000-of-00002", "data-00001-of-00002",
    ))  # fmt: skip
    assert weights.sha256 == hashlib.sha256(content).hexdigest()


def test_gives_the_digest_of_the_bytes_it_read(valid: Path, version: int) -> None:
    content = index_of(valid).read_bytes() + (data_of(valid).read_bytes() if version == 2 else b"")
    assert read_tf_checkpoint(valid, SHAPES).sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("end", ["", ".index", ".data-00000-of-00001"])
def test_version_2_is_named_by_its_prefix_or_by_one_of_its_files(tmp_path: Path, end: str) -> None:
    save(tmp_path / "model", ARRAYS, version=2)
    assert read_tf_checkpoint(f"{tmp_path}/model{end}", SHAPES).arrays.keys() == SHAPES.keys()


def test_characters_that_tensorflow_takes_for_patterns_are_a_name_like_any_other(tmp_path: Path) -> None:
    path = save(tmp_path / "model", ARRAYS).rename(tmp_path / "mod[e]l*?")
    assert read_tf_checkpoint(path, SHAPES).arrays.keys() == SHAPES.keys()


def test_further_variables_such_as_an_optimizers_are_not_read(tmp_path: Path, version: int) -> None:
    more = {
        **ARRAYS,
        "global_step": np.int64(7),
        "net/fc/weights/Adam": np.array([np.nan], np.float32),
        "a\nb": np.array("c"),
    }
    weights = read_tf_checkpoint(save(tmp_path / "trained", more, version), SHAPES)
    assert list(weights.arrays) == list(SHAPES)
    np.testing.assert_array_equal(weights.arrays["net/fc/weights"], ARRAYS["net/fc/weights"])


# What it refuses

OTHERS = {
    # what is wrong: (arrays, entry, reason)
    "renamed": ({f"x{name}": a for name, a in ARRAYS.items()}, "net/conv1/biases", "is missing (and 3 more)"),
    "missing": (
        {name: a for name, a in ARRAYS.items() if "conv1" not in name},
        "net/conv1/biases",
        "is missing (and 1 more)",
    ),
    "shape": ({**ARRAYS, "net/fc/weights": np.ones((3, 8), np.float32)}, "net/fc/weights", "(3, 8), not (8"),
    "rank": ({**ARRAYS, "net/fc/biases": np.ones((1, 3), np.float32)}, "net/fc/biases", "(1, 3), not (3,)"),
    "empty": ({**ARRAYS, "net/fc/biases": np.ones(0, np.float32)}, "net/fc/biases", "(0,), not (3,)"),
    "float64": ({**ARRAYS, "net/fc/biases": np.ones(3)}, "net/fc/biases", "holds float64, not <f4"),
    "int32": ({**ARRAYS, "net/fc/biases": np.ones(3, np.int32)}, "net/fc/biases", "holds int32"),
    "float16": ({**ARRAYS, "net/fc/biases": np.ones(3, np.float16)}, "net/fc/biases", "holds float16"),
    "strings": ({**ARRAYS, "net/fc/biases": np.array(["a", "b", "c"])}, "net/fc/biases", "holds string, not"),
    "NaN": (
        {**ARRAYS, "net/fc/biases": np.array([0, np.nan, 0], np.float32)},
        "net/fc/biases",
        "NaN or infinity",
    ),
    "infinity": (
        {**ARRAYS, "net/fc/biases": np.array([0, 0, np.inf], np.float32)},
        "net/fc/biases",
        "NaN or infinity",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERS)
def test_refuses_other_variables_than_expected(tmp_path: Path, version: int, case: Any) -> None:
    arrays, entry, reason = OTHERS[case]
    error = refusal(save(tmp_path / "other", arrays, version))
    assert error.entry == entry
    assert reason in error.reason


def test_refuses_a_checkpoint_of_objects(tmp_path: Path) -> None:
    """What `tf.train.Checkpoint` and Keras 2 write has names of another kind."""
    tf = backend.tf
    prefix = tf.train.Checkpoint(weights=tf.Variable([1.0])).write(str(tmp_path / "objects"))
    assert refusal(prefix).entry == "net/conv1/biases"


def test_names_the_variable_at_fault_as_one_printable_line(tmp_path: Path, version: int) -> None:
    path = save(tmp_path / "named", {**ARRAYS, "a\nb": np.float64(1)}, version)
    assert refusal(path, {**SHAPES, "a\nb": ()}).entry == "a\\nb"


@pytest.mark.parametrize(
    "kind", ["nothing", "folder", "pipe", "NUL", "empty file", "text", "too long a name"]
)
def test_refuses_what_is_not_a_regular_file(tmp_path: Path, kind: str) -> None:
    path: str | Path = tmp_path / "file"
    if kind == "folder":
        Path(path).mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "NUL":
        path = f"{path}\0"
    elif kind == "empty file":
        Path(path).touch()
    elif kind == "text":
        Path(path).write_text("model_checkpoint_path: 'model.ckpt'\n")
    elif kind == "too long a name":
        path = f"{path}{'a' * 300}"
    refusal(path)


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "short", "long"])
def test_refuses_data_files_that_are_not_what_the_index_says(tmp_path: Path, kind: str) -> None:
    path = save(tmp_path / "model", ARRAYS, version=2)
    data = data_of(path)
    content = data.read_bytes()
    data.unlink()
    if kind == "folder":
        data.mkdir()
    elif kind == "pipe":
        os.mkfifo(data)
    elif kind == "short":
        data.write_bytes(content[:-1])
    elif kind == "long":
        with data.open("wb") as file:
            file.truncate(1 << 33)
    error = refusal(path)
    assert error.path == str(index_of(path) if kind == "short" else data)
    assert (error.entry == "net/fc/weights") == (kind == "short")


def test_refuses_a_file_far_larger_than_the_network_without_reading_it(valid: Path) -> None:
    with index_of(valid).open("r+b") as file:
        file.truncate(1 << 40)
    assert "more than this network can need" in refusal(valid).reason


def test_refuses_a_file_that_is_cut_off_or_added_to(valid: Path) -> None:
    content = index_of(valid).read_bytes()
    for size in range(0, len(content), 7):
        index_of(valid).write_bytes(content[:size])
        refusal(valid)
    index_of(valid).write_bytes(content + b"\0")
    refusal(valid)


def test_notices_every_damaged_byte_that_could_reach_a_number(valid: Path, version: int) -> None:
    file = data_of(valid) if version == 2 else valid
    content = bytearray(file.read_bytes())
    place = content.index(ARRAYS["net/fc/weights"].tobytes())
    for offset in range(0, 96, 5):
        content[place + offset] ^= 4
        file.write_bytes(content)
        assert version == 1 or "Checksum does not match" in refusal(valid).reason
        refusal(valid)
        content[place + offset] ^= 4


def test_notices_a_checksum_that_is_not_that_of_its_block(valid: Path) -> None:
    image = index_of(valid).read_bytes()
    data, _, index = spans_of_blocks(image)
    for _, stop in (data, index):
        content = bytearray(image)
        content[stop + 1] ^= 1
        index_of(valid).write_bytes(content)
        refusal(valid)


# Files that are built to deceive, with right checksums

MAGIC = 0xDB4775248B80FB57  # of a table


def masked_crc32c(data: bytes) -> int:
    """RFC 3720's checksum, as TensorFlow stores it."""
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
    crc = state ^ 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def number(value: int) -> bytes:
    """A varint."""
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def fields(*pairs: tuple[int, int | bytes]) -> bytes:
    """A message: numbers as varints, bytes with their length."""
    return b"".join(
        number(field << 3) + number(value)
        if isinstance(value, int)
        else number(field << 3 | 2) + number(len(value)) + value
        for field, value in pairs
    )


def block(entries: list[tuple[bytes, bytes]], restarts: int = 1) -> bytes:
    body = b"".join(b"\0" + number(len(k)) + number(len(v)) + k + v for k, v in entries)
    return body + bytes(4 * restarts) + struct.pack("<I", restarts)


def with_trailer(content: bytes, compression: int = 0) -> bytes:
    content += bytes([compression])
    return content + struct.pack("<I", masked_crc32c(content))


def table(entries: list[tuple[bytes, bytes]], compression: int = 0) -> bytes:
    data = block(entries)
    image = with_trailer(data, compression)
    handles = {}
    for what, content in {
        "meta": block([]),
        "index": block([(b"\xff", number(0) + number(len(data)))]),
    }.items():
        handles[what] = number(len(image)) + number(len(content))
        image += with_trailer(content)
    footer = (handles["meta"] + handles["index"]).ljust(40, b"\0")
    return image + footer + struct.pack("<Q", MAGIC)


def shape_message(shape: tuple[int, ...]) -> bytes:
    return fields(*((2, fields((1, size))) for size in shape))


def extents_message(extents: list[tuple[int, int] | None]) -> bytes:
    return fields(*((1, b"" if e is None else fields((1, e[0]), (2, e[1]))) for e in extents))


def listed(name: str, shape: tuple[int, ...], slices: Any = None, dtype: int = 1) -> bytes:
    """What the list of variables of version 1 says of one."""
    slices = [[None] * len(shape)] if slices is None else slices
    return fields(
        (1, name.encode()), (2, shape_message(shape)), (3, dtype), *((4, extents_message(s)) for s in slices)
    )


def slice_entry(
    name: str, numbers: bytes, extents: Any = None, *more: tuple[int, int | bytes]
) -> tuple[bytes, bytes]:
    """The key of a slice (tensorflow/core/util/saved_tensor_slice_util.cc) and its message."""
    extents = [None] * len(SHAPES.get(name, ())) if extents is None else extents
    places = b"".join(
        bytes([start ^ 0x80, length & 0xFF ^ 0x80]) for start, length in (e or (0, -1) for e in extents)
    )
    key = b"\0" + name.encode() + b"\0\1" + (bytes([1, len(extents)]) if extents else b"\0") + places
    tensor = fields((5, numbers), *more)
    return key, fields((2, fields((1, name.encode()), (2, extents_message(extents)), (3, tensor))))


def version_1(listing: list[bytes], slices: list[tuple[bytes, bytes]]) -> bytes:
    head = fields((1, fields(*((1, part) for part in listing))))
    return table([(b"", head), *sorted(slices)])


LISTING = [listed(name, shape) for name, shape in SHAPES.items()]
SLICES = [slice_entry(name, array.tobytes()) for name, array in ARRAYS.items()]
FC = "net/fc/weights"
NUMBERS = ARRAYS[FC].tobytes()

FORGED_1 = {
    # what is wrong: (list of variables, slices)
    "listed twice": ([*LISTING, LISTING[0]], SLICES),
    "numbers twice": (LISTING, [*SLICES, SLICES[0]]),
    "no numbers": (LISTING, SLICES[:-1]),
    "hidden variable": (LISTING, [*SLICES, slice_entry("x", b"")]),
    "few numbers": (LISTING, [*SLICES[:-1], slice_entry(FC, NUMBERS[:-4])]),
    "many numbers": (LISTING, [*SLICES[:-1], slice_entry(FC, NUMBERS * 2)]),
    "other type of numbers": (
        LISTING, [*SLICES[:-1], slice_entry(FC, NUMBERS, None, (1, 2))],
    ),
    "numbers in two parts": (
        LISTING, [*SLICES[:-1], slice_entry(FC, NUMBERS, None, (5, b""))],
    ),
    "slices that overlap": (
        [*LISTING[:-1], listed(FC, (8, 3), [[(0, 5), None], [(3, 3), None]])],
        [*SLICES[:-1], slice_entry(FC, NUMBERS[:60], [(0, 5), None]),
         slice_entry(FC, NUMBERS[36:72], [(3, 3), None])],
    ),
    "slices with a gap": (
        [*LISTING[:-1], listed(FC, (8, 3), [[(0, 5), None]])],
        [*SLICES[:-1], slice_entry(FC, NUMBERS[:60], [(0, 5), None])],
    ),
    "no slices": ([*LISTING[:-1], listed(FC, (8, 3), [])], SLICES),
    "slice beyond the variable": (
        [*LISTING[:-1], listed(FC, (8, 3), [[(1, 8), None]])], SLICES,
    ),
    "slice of another rank": ([*LISTING[:-1], listed(FC, (8, 3), [[None]])], SLICES),
    "slice that was not announced": (
        LISTING, [*SLICES[:-1], slice_entry(FC, NUMBERS[:60], [(0, 5), None])],
    ),
    "negative size": ([*LISTING[:-1], listed(FC, (2**64 - 1, 3))], SLICES),
    "very many axes": ([*LISTING[:-1], listed(FC, (1,) * 60)], SLICES),
    "very many slices": (
        [*LISTING[:-1], listed(FC, (8, 3), [[None, None]] * 100)], SLICES,
    ),
    "very many variables": (LISTING * 500, SLICES),
    "very many numbers": (LISTING, [*SLICES, *[slice_entry("x", b"")] * 2000]),
    "no variables": ([], []),
    "variable that is no message": ([*LISTING, b"\xff"], SLICES),
    "variable of groups": ([*LISTING, b"\x0b\x0c"], SLICES),
    "variable that is cut off": ([*LISTING, b"\x0a\x7fa"], SLICES),
}  # fmt: skip


def test_forged_files_are_those_of_tensorflow_but_for_one_thing(tmp_path: Path) -> None:
    """What the cases below start from is a checkpoint that TensorFlow can list, too."""
    path = tmp_path / "forged"
    path.write_bytes(version_1(LISTING, SLICES))
    weights = read_tf_checkpoint(path, SHAPES)
    for name, array in weights.arrays.items():
        np.testing.assert_array_equal(array, ARRAYS[name])
    shapes = backend.tf.train.load_checkpoint(str(path)).get_variable_to_shape_map()
    assert {name: tuple(shape) for name, shape in shapes.items()} == SHAPES


# What TensorFlow passes over; the numbers are the right ones.
HARMLESS = {
    "numbers twice", "hidden variable", "other type of numbers", "numbers in two parts", "very many numbers",
    "variable of groups",
}  # fmt: skip


@pytest.mark.parametrize("case", FORGED_1)
def test_refuses_a_forged_file_of_version_1_or_reads_the_same_numbers(tmp_path: Path, case: Any) -> None:
    path = tmp_path / "forged"
    path.write_bytes(version_1(*FORGED_1[case]))
    check_forged(path, case)


def check_forged(path: Path, case: str) -> None:
    if case not in HARMLESS:
        refusal(path)
        return
    for name, array in read_tf_checkpoint(path, SHAPES).arrays.items():
        np.testing.assert_array_equal(array, ARRAYS[name])


def entry_message(offset: int, name: str = FC, **changed: int | bytes) -> bytes:
    array = ARRAYS[name]
    found = {
        "dtype": 1, "shape": shape_message(array.shape), "shard": 0, "offset": offset, "size": array.nbytes,
        **changed,
    }  # fmt: skip
    order = {"dtype": 1, "shape": 2, "shard": 3, "offset": 4, "size": 5, "slices": 7}
    checksum = number(6 << 3 | 5) + struct.pack("<I", masked_crc32c(array.tobytes()))
    return fields(*((order[key], value) for key, value in found.items())) + checksum


def version_2(last: bytes, head: bytes = fields((1, 1))) -> bytes:
    offsets = np.cumsum([0, *(array.nbytes for array in ARRAYS.values())])
    entries = [
        (name.encode(), entry_message(int(offset), name))
        for name, offset in zip(ARRAYS, offsets, strict=False)
    ]
    return table([(b"", head), *entries[:-1], (FC.encode(), last)])


LAST = sum(array.nbytes for array in ARRAYS.values()) - ARRAYS[FC].nbytes

FORGED_2 = {
    # what is wrong: entry of net/fc/weights
    "no message": b"\xff",
    "cut off": entry_message(LAST)[:-1],
    "beyond the data": entry_message(LAST + 1),
    "far beyond the data": entry_message(2**64 - 1),
    "few bytes": entry_message(LAST, size=92),
    "many bytes": entry_message(LAST, size=2**62),
    "another data file": entry_message(LAST, shard=1),
    "numbers of another variable": entry_message(LAST - 4),
    "shape said twice": entry_message(LAST) + fields((2, shape_message((8, 3)))),
    "slices": entry_message(LAST, slices=b""),
}


@pytest.mark.parametrize("case", FORGED_2)
def test_refuses_a_forged_index_of_version_2_or_reads_the_same_numbers(tmp_path: Path, case: Any) -> None:
    path = save(tmp_path / "forged", ARRAYS, version=2)
    index_of(path).write_bytes(version_2(entry_message(LAST)))
    assert read_tf_checkpoint(path, SHAPES).arrays.keys() == SHAPES.keys()
    index_of(path).write_bytes(version_2(FORGED_2[case]))
    check_forged(path, case)


@pytest.mark.parametrize("head", [fields((1, 2**63)), b""])
def test_refuses_a_forged_head_of_version_2(tmp_path: Path, head: Any) -> None:
    path = save(tmp_path / "forged", ARRAYS, version=2)
    index_of(path).write_bytes(version_2(entry_message(LAST), head))
    refusal(path)


def test_an_index_that_ends_the_process_of_its_reader_is_refused(tmp_path: Path) -> None:
    """TensorFlow aborts on it."""
    path = save(tmp_path / "forged", ARRAYS, version=2)
    index_of(path).write_bytes(version_2(b"\xff"))
    assert refusal(path).reason == "is damaged: it crashes its reader (SIGABRT)"


@pytest.mark.parametrize(
    "image",
    [
        table([]),
        table([(b"a", b"")]),
        table([(b"", b""), (b"b", b""), (b"a", b"")]),
        table([(b"", b"")], compression=1),
        table([(b"", b"")])[:-48] + number(0) * 2 + number(2**63) + number(8) + bytes(40),
        bytes(40) + struct.pack("<Q", MAGIC),
        b"\xff" * 40 + struct.pack("<Q", MAGIC),
        table([(b"k" * 5000, b"")]),
    ],
)
def test_refuses_a_forged_table(tmp_path: Path, image: Any) -> None:
    (tmp_path / "forged").write_bytes(image)
    refusal(tmp_path / "forged")


def spans_of_blocks(image: bytes) -> list[tuple[int, int]]:
    """Where the blocks of a small file of TensorFlow lie: one of data, then meta index and index."""

    def varint(place: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = image[place]
            value |= (byte & 0x7F) << shift
            place, shift = place + 1, shift + 7
            if byte < 0x80:
                return value, place

    place, found = len(image) - 48, []
    for _ in range(2):
        start, place = varint(place)
        size, place = varint(place)
        found.append((start, start + size))
    return [(0, found[0][0] - 5), *found]


edits = st.one_of(
    st.tuples(st.just("byte"), st.floats(0, 1, exclude_max=True), st.integers(0, 255)),
    st.tuples(st.just("bit"), st.floats(0, 1, exclude_max=True), st.integers(0, 7)),
    st.tuples(st.just("copy"), st.floats(0, 1, exclude_max=True), st.integers(0, 2**16)),
    st.tuples(st.just("number"), st.floats(0, 1, exclude_max=True), st.integers(0, 2**64 - 1)),
)


def edited(image: bytes, damage: Any) -> bytes:
    """Damage a file and make its checksums right again, so that the damage is reached."""
    content = bytearray(image)
    for kind, where, value in damage:
        place = int(where * len(content))
        if kind == "byte":
            content[place] = value
        elif kind == "bit":
            content[place] ^= 1 << value
        elif kind == "copy":
            source = value % len(content)
            content[place : place + 8] = content[source : source + 8]
        else:
            content[place : place + len(number(value))] = number(value)
    for start, stop in spans_of_blocks(image):
        content[stop + 1 : stop + 5] = struct.pack("<I", masked_crc32c(bytes(content[start : stop + 1])))
    return bytes(content[: len(image)])


def check_outcome(path: Path, content: bytes) -> None:
    """Nothing but sound weights or a refusal in one line comes out."""
    index_of(path).write_bytes(content)
    try:
        weights = read_tf_checkpoint(path, SHAPES)
    except WeightsError:
        return
    assert {name: array.shape for name, array in weights.arrays.items()} == SHAPES
    assert all(np.isfinite(array).all() for array in weights.arrays.values())


@given(damages=st.lists(st.lists(edits, min_size=1, max_size=5), min_size=30, max_size=30))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damage_gives_sound_weights_or_a_refusal(valid: Path, damages: Any) -> None:
    pristine = index_of(valid).with_name("pristine")
    if not pristine.exists():
        pristine.write_bytes(index_of(valid).read_bytes())
    image = pristine.read_bytes()
    check_each(lambda content: check_outcome(valid, content), [edited(image, damage) for damage in damages])


def test_every_byte_of_the_table_may_be_forged(valid: Path) -> None:
    image = index_of(valid).read_bytes()
    images = [
        edited(image, [("byte", place / len(image), value)])
        for place in range(len(image))
        for value in (0, 0xFF)
    ]
    check_each(lambda content: check_outcome(valid, content), images)
