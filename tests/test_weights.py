"""The weights room: what the Keras-1 reader gives, and everything that it refuses; the catalog."""

from __future__ import annotations

import functools
import hashlib
import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from mutants import check_each
from numpy.typing import NDArray

from actprobe import checkpoints
from actprobe.errors import WeightsError
from actprobe.weights import Keras1Weights, he_normal, read_keras1_h5, seeded_kernel

SHAPES = {
    "conv1/conv1_W": (4, 1, 3, 3),
    "conv1/conv1_b": (4,),
    "bn1/bn1_gamma": (4,),
    "bn1/bn1_running_std": (4,),
    "output/output_W": (4, 2),
}
WEIGHTLESS = ("input_1", "elu_1", "pool1", "dropout1", "flatten_1")
SUFFIX = {"tensorflow": ":0", "theano": ""}

CNN_AT_CHANNELS = (1, 32, 128, 128, 192, 256)
CNN_AT_SHAPES: dict[str, tuple[int, ...]] = {
    **{f"bn_0_freq/bn_0_freq_{array}": (1366,) for array in ("gamma", "beta", "running_mean", "running_std")},
    **{f"conv{i}/conv{i}_W": (CNN_AT_CHANNELS[i], CNN_AT_CHANNELS[i - 1], 3, 3) for i in range(1, 6)},
    **{f"conv{i}/conv{i}_b": (CNN_AT_CHANNELS[i],) for i in range(1, 6)},
    **{
        f"bn{i}/bn{i}_{array}": (CNN_AT_CHANNELS[i],)
        for i in range(1, 6)
        for array in ("gamma", "beta", "running_mean", "running_std")
    },
    "output/output_W": (256, 50),
    "output/output_b": (50,),
}
MM_CNN_FILTERS = {"1": 128, "3": 64, "5": 32}  # by width in frames, for kernels 5 and 80 bands high
MM_CNN_SHAPES: dict[str, tuple[int, ...]] = {
    **{
        f"{n}_{m}_conv/{n}_{m}_conv_W": (filters, 1, m, int(n))
        for n, filters in MM_CNN_FILTERS.items()
        for m in (5, 80)
    },
    **{f"{n}_{m}_conv/{n}_{m}_conv_b": (f,) for n, f in MM_CNN_FILTERS.items() for m in (5, 80)},
    **{
        f"{n}_{m}_bn/{n}_{m}_bn_{array}": (f,)
        for n, f in MM_CNN_FILTERS.items()
        for m in (5, 80)
        for array in ("gamma", "beta", "running_mean", "running_std")
    },
    "prediction/prediction_W": (1792, 11),
    "prediction/prediction_b": (11,),
}


def numbers(name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    return np.abs(seeded_kernel(name, shape, 3)) + np.float32(0.1)


def write(path: Path, backend: str = "tensorflow", top: str = "", **options: Any) -> Path:
    """Write what Keras 1 would: a group per layer, its arrays, and the attributes with their names."""
    with h5py.File(path, "w", **options) as file:
        group = file.require_group(top) if top else file
        group.attrs["layer_names"] = [*(name.encode() for name in WEIGHTLESS), b"conv1", b"bn1", b"output"]
        for name in WEIGHTLESS:
            group.create_group(name).attrs["weight_names"] = np.zeros(0)
        for key, shape in SHAPES.items():
            group.create_dataset(key + SUFFIX[backend], data=numbers(key, shape))
    return path


@pytest.fixture
def valid(tmp_path: Path) -> Path:
    return write(tmp_path / "weights.h5")


def refusal(path: str | Path, shapes: Any = SHAPES, **options: Any) -> WeightsError:
    with pytest.raises(WeightsError) as caught:
        read_keras1_h5(path, shapes, **options)
    message = str(caught.value)
    assert message.startswith(str(path).split("\0")[0])
    assert len(message.splitlines()) == 1
    return caught.value


# What it gives


@pytest.mark.parametrize("backend", ["tensorflow", "theano"])
def test_gives_the_numbers_by_name_without_suffix_and_says_which_backend_wrote_them(
    tmp_path: Path, backend: str
) -> None:
    path = write(tmp_path / "weights.h5", backend)
    weights = read_keras1_h5(path, SHAPES)
    assert weights.backend == backend
    assert list(weights.arrays) == list(SHAPES)
    for key, array in weights.arrays.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, numbers(key, SHAPES[key]))


def test_gives_the_digest_of_the_bytes_it_read(valid: Path) -> None:
    assert read_keras1_h5(valid, SHAPES).sha256 == hashlib.sha256(valid.read_bytes()).hexdigest()


def test_gives_arrays_of_its_own_that_may_be_written_to(valid: Path) -> None:
    array = read_keras1_h5(valid, SHAPES).arrays["conv1/conv1_b"]
    array += 1
    np.testing.assert_array_equal(
        read_keras1_h5(valid, SHAPES).arrays["conv1/conv1_b"], numbers("conv1/conv1_b", (4,))
    )


def test_reads_a_file_that_is_open_for_writing(valid: Path) -> None:
    with h5py.File(valid, "r+"):
        assert read_keras1_h5(valid, SHAPES).backend == "tensorflow"


def test_reads_a_read_only_file_and_leaves_it_as_it_was(valid: Path) -> None:
    before = valid.read_bytes()
    valid.chmod(0o400)
    read_keras1_h5(valid, SHAPES)
    assert valid.read_bytes() == before
    assert [path.name for path in valid.parent.iterdir()] == [valid.name]


def test_with_a_root_reads_the_layers_below_it_and_ignores_the_optimizer_beside_it(tmp_path: Path) -> None:
    path = write(tmp_path / "model.h5", "theano", top="model_weights")
    with h5py.File(path, "r+") as file:
        file["optimizer_weights/param_0"] = np.arange(3, dtype=">i8")  # not even float32
    weights = read_keras1_h5(path, SHAPES, root="model_weights")
    assert weights.backend == "theano"
    np.testing.assert_array_equal(
        weights.arrays["conv1/conv1_W"], numbers("conv1/conv1_W", SHAPES["conv1/conv1_W"])
    )


@pytest.mark.parametrize("where", ["/", "conv1", "conv1/conv1_W:0"])
def test_attributes_of_any_kind_change_nothing(valid: Path, where: str) -> None:
    with h5py.File(valid, "r+") as file:
        attributes = file[where].attrs
        attributes["model_config"] = "{" * 60_000
        attributes["names"] = np.array(["a", "bc"], h5py.string_dtype())
        attributes["region"] = file["conv1"].ref
        attributes["record"] = np.zeros(2, [("a", "f4"), ("b", "O")][:1])
        for i in range(200):
            attributes[f"a{i}"] = i
    assert read_keras1_h5(valid, SHAPES).arrays.keys() == SHAPES.keys()


layer_names = st.text("abcxyz019_", min_size=1, max_size=12)
array_shapes = npst.array_shapes(min_dims=0, max_dims=5, max_side=4)


@given(
    layers=st.dictionaries(layer_names, st.dictionaries(layer_names, array_shapes, max_size=6), max_size=40),
    backend=st.sampled_from(["tensorflow", "theano"]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_agrees_with_hdf5_on_any_file_of_this_layout(
    tmp_path: Path, layers: Any, backend: Any, seed: Any
) -> None:
    """Whatever way the numbers took, h5py, which wrote the file, is the witness."""
    path = tmp_path / "any.h5"
    path.unlink(missing_ok=True)
    rng = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        for layer, arrays in layers.items():
            group = file.create_group(layer)
            for array, shape in arrays.items():
                group.create_dataset(array + SUFFIX[backend], data=rng.random(shape, np.float32))
    expected = {
        f"{layer}/{array}": shape for layer, arrays in layers.items() for array, shape in arrays.items()
    }
    weights = read_keras1_h5(path, expected)
    with h5py.File(path, "r") as file:
        for key in expected:
            np.testing.assert_array_equal(weights.arrays[key], file[key + SUFFIX[backend]][()])


# What it refuses

OTHER = "elsewhere.h5"


def replaced(file: h5py.File, key: str) -> str:
    del file[key]
    return key


def with_dtype(dtype: Any) -> Callable[[h5py.File, Path], None]:
    def change(file: h5py.File, folder: Path) -> None:
        file.create_dataset(replaced(file, "conv1/conv1_b:0"), (4,), dtype, data=np.ones(4).astype(dtype))

    return change


def with_value(key: str, value: float) -> Callable[[h5py.File, Path], None]:
    def change(file: h5py.File, folder: Path) -> None:
        file[key][(0,) * file[key].ndim] = value

    return change


def created(key: str = "conv1/conv1_b:0", **options: Any) -> Callable[[h5py.File, Path], None]:
    def change(file: h5py.File, folder: Path) -> None:
        if key in file:
            del file[key]
        file.create_dataset(key, **{"shape": (4,), "dtype": "f4", **options})

    return change


def soft_link(file: h5py.File, folder: Path) -> None:
    file["conv1/alias"] = h5py.SoftLink("/conv1/conv1_b:0")


def dangling_soft_link(file: h5py.File, folder: Path) -> None:
    file["alias"] = h5py.SoftLink("/nowhere")


def soft_link_as_array(file: h5py.File, folder: Path) -> None:
    file[replaced(file, "conv1/conv1_b:0")] = h5py.SoftLink("/bn1/bn1_gamma:0")


def external_link(file: h5py.File, folder: Path) -> None:
    write(folder / OTHER)
    file[replaced(file, "conv1/conv1_b:0")] = h5py.ExternalLink(OTHER, "/conv1/conv1_b:0")


def external_link_to_host_file(file: h5py.File, folder: Path) -> None:
    file["conv1/host"] = h5py.ExternalLink("/etc/hostname", "/")


def external_link_among_many(file: h5py.File, folder: Path) -> None:
    for i in range(20):
        file.create_group(f"pool_{i}")
    file["host"] = h5py.ExternalLink("/etc/hostname", "/")


def hard_link(file: h5py.File, folder: Path) -> None:
    file[replaced(file, "bn1/bn1_gamma:0")] = file["conv1/conv1_b:0"]


def cycle_to_root(file: h5py.File, folder: Path) -> None:
    file["conv1/loop"] = file["/"]


def cycle_to_self(file: h5py.File, folder: Path) -> None:
    file["conv1/conv1"] = file["conv1"]


def virtual(file: h5py.File, folder: Path) -> None:
    write(folder / OTHER)
    layout = h5py.VirtualLayout((4,), np.float32)
    layout[:] = h5py.VirtualSource(str(folder / OTHER), "conv1/conv1_b:0", (4,))
    file.create_virtual_dataset(replaced(file, "conv1/conv1_b:0"), layout)


def external_storage(file: h5py.File, folder: Path) -> None:
    (folder / "raw").write_bytes(bytes(16))
    created(external=[(str(folder / "raw"), 0, 16)])(file, folder)


def external_storage_of_host_file(file: h5py.File, folder: Path) -> None:
    created(external=[("/etc/hostname", 0, 16)])(file, folder)


def committed_datatype(file: h5py.File, folder: Path) -> None:
    file["kind"] = np.dtype("<f4")


def array_of_committed_datatype(file: h5py.File, folder: Path) -> None:
    file["conv1/kind"] = np.dtype("<f4")
    created(dtype=file["conv1/kind"], data=np.ones(4))(file, folder)
    del file["conv1/kind"]


def compact(file: h5py.File, folder: Path) -> None:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.COMPACT)
    del file["conv1/conv1_b:0"]
    space = h5py.h5s.create_simple((4,))
    h5py.h5d.create(file["conv1"].id, b"conv1_b:0", h5py.h5t.IEEE_F32LE, space, properties)


def mixed_suffixes(file: h5py.File, folder: Path) -> None:
    file.move("output/output_W:0", "output/output_W")


def both_suffixes(file: h5py.File, folder: Path) -> None:
    file["output/output_W"] = file["output/output_W:0"][()]


def array_in_place_of_group(file: h5py.File, folder: Path) -> None:
    file[replaced(file, "pool1")] = np.ones(4, np.float32)


def group_in_place_of_array(file: h5py.File, folder: Path) -> None:
    file.create_group(replaced(file, "conv1/conv1_b:0"))


def surplus(key: str) -> Callable[[h5py.File, Path], None]:
    def change(file: h5py.File, folder: Path) -> None:
        file[key] = np.ones(4, np.float32)

    return change


def missing(key: str) -> Callable[[h5py.File, Path], None]:
    def change(file: h5py.File, folder: Path) -> None:
        del file[key]

    return change


def many_groups(file: h5py.File, folder: Path) -> None:
    for i in range(300):
        file.create_group(f"pool_{i}")


def newer_group(file: h5py.File, folder: Path) -> None:
    file.create_group("spare", track_order=True)


FLOAT32 = "not <f4; it is not cast"
NEVER_WRITTEN = "its 16 bytes of numbers were never written"
SECOND_LINK = "is a second link to one object, or a cycle"
REFUSED = {
    "soft link": (soft_link, "conv1/alias", "is a soft link"),
    "dangling soft link": (dangling_soft_link, "alias", "is a soft link"),
    "soft link as array": (soft_link_as_array, "conv1/conv1_b:0", "is a soft link"),
    "external link": (external_link, "conv1/conv1_b:0", "is an external link"),
    "external link to host file": (external_link_to_host_file, "conv1/host", "is an external link"),
    "external link among many": (external_link_among_many, "host", "is an external link"),
    "hard link": (hard_link, "conv1/conv1_b:0", SECOND_LINK),
    "cycle to root": (cycle_to_root, "conv1/loop", SECOND_LINK),
    "cycle to self": (cycle_to_self, "conv1/conv1", SECOND_LINK),
    "virtual": (virtual, "conv1/conv1_b:0", "in an external file"),
    "external storage": (external_storage, "conv1/conv1_b:0", "keeps its numbers in an external file"),
    "external storage of host file": (
        external_storage_of_host_file,
        "conv1/conv1_b:0",
        "in an external file",
    ),
    "committed datatype": (committed_datatype, "kind", "is neither a group nor an array"),
    "array of committed datatype": (array_of_committed_datatype, "conv1/conv1_b:0", "committed datatype"),
    "object": (created(dtype=h5py.ref_dtype), "conv1/conv1_b:0", FLOAT32),
    "vlen string": (created(dtype=h5py.string_dtype()), "conv1/conv1_b:0", FLOAT32),
    "vlen floats": (created(dtype=h5py.vlen_dtype("f4")), "conv1/conv1_b:0", FLOAT32),
    "compound": (created(dtype=[("a", "<f4"), ("b", "<f4")]), "conv1/conv1_b:0", FLOAT32),
    "enumeration": (created(dtype=h5py.enum_dtype({"a": 0})), "conv1/conv1_b:0", FLOAT32),
    "array type": (created(shape=(), dtype=("<f4", (4,))), "conv1/conv1_b:0", FLOAT32),
    "big-endian": (with_dtype(">f4"), "conv1/conv1_b:0", FLOAT32),
    "float64": (with_dtype("<f8"), "conv1/conv1_b:0", FLOAT32),
    "float16": (with_dtype("<f2"), "conv1/conv1_b:0", FLOAT32),
    "int32": (with_dtype("<i4"), "conv1/conv1_b:0", FLOAT32),
    "complex": (with_dtype("<c8"), "conv1/conv1_b:0", FLOAT32),
    "wrong shape": (created(shape=(5,), data=np.ones(5)), "conv1/conv1_b:0", "has shape (5,), not (4,)"),
    "wrong rank": (
        created(shape=(4, 1), data=np.ones((4, 1))),
        "conv1/conv1_b:0",
        "has shape (4, 1), not (4,)",
    ),
    "scalar": (created(shape=(), data=1.0), "conv1/conv1_b:0", "has shape (), not (4,)"),
    "null": (created(shape=None, data=h5py.Empty("f4")), "conv1/conv1_b:0", "has no shape"),
    "compact": (compact, "conv1/conv1_b:0", "is stored as compact"),
    "chunked": (created(chunks=(2,)), "conv1/conv1_b:0", NEVER_WRITTEN),
    "resizable": (created(chunks=(2,), maxshape=(None,)), "conv1/conv1_b:0", NEVER_WRITTEN),
    "gzip": (created(compression="gzip"), "conv1/conv1_b:0", NEVER_WRITTEN),
    "never written": (created(), "conv1/conv1_b:0", NEVER_WRITTEN),
    "bomb": (created(shape=(2**50,)), "conv1/conv1_b:0", f"has shape ({2**50},), not (4,)"),
    "missing": (missing("conv1/conv1_b:0"), "conv1/conv1_b", "this array is missing"),
    "missing layer": (missing("conv1"), "conv1/conv1_W", "this array is missing (and 1 more)"),
    "surplus": (surplus("conv1/conv1_V:0"), "conv1/conv1_V:0", "this network has no such array"),
    "surplus at root": (surplus("loose"), "loose", "this network has no such array"),
    "surplus in weightless layer": (surplus("pool1/pool1_W:0"), "pool1/pool1_W:0", "no such array"),
    "surplus nested": (surplus("conv1/deep/deeper/W:0"), "conv1/deep/deeper/W:0", "no such array"),
    "other case": (surplus("conv1/CONV1_b:0"), "conv1/CONV1_b:0", "this network has no such array"),
    "unprintable name": (
        surplus("conv1/a\nb\x1b[0m"),
        r"conv1/a\nb\x1b[0m",
        "this network has no such array",
    ),
    "array in place of group": (array_in_place_of_group, "pool1", "this network has no such array"),
    "group in place of array": (
        group_in_place_of_array,
        "conv1/conv1_b",
        "this array is missing",
    ),
    "many groups": (many_groups, "", "holds too many groups and arrays"),
    "newer group": (newer_group, "spare", "tracks the order of its links"),
    "mixed suffixes": (mixed_suffixes, "output/output_W", "names with and without ':0' are mixed"),
    "both suffixes": (both_suffixes, "output/output_W", "names with and without ':0' are mixed"),
    "NaN": (with_value("conv1/conv1_W:0", np.nan), "conv1/conv1_W:0", "holds NaN or infinity"),
    "infinity": (with_value("output/output_W:0", np.inf), "output/output_W:0", "holds NaN or infinity"),
    "negative std": (with_value("bn1/bn1_running_std:0", -0.5), "bn1/bn1_running_std:0", "is negative"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_with_the_entry_and_the_reason(tmp_path: Path, case: Any) -> None:
    change, entry, reason = REFUSED[case]
    path = write(tmp_path / "hostile.h5")
    with h5py.File(path, "r+") as file:
        change(file, tmp_path)
    error = refusal(path)
    assert reason in error.reason
    assert error.entry == entry


def test_negative_numbers_are_fine_elsewhere(valid: Path) -> None:
    with h5py.File(valid, "r+") as file:
        file["conv1/conv1_W:0"][...] = -1
    assert (read_keras1_h5(valid, SHAPES).arrays["conv1/conv1_W"] == -1).all()


def test_refuses_a_file_without_the_root_it_should_have(valid: Path) -> None:
    error = refusal(valid, root="model_weights")
    assert (error.entry, error.reason) == ("model_weights", "this group is missing")


def test_refuses_a_root_that_is_an_array(valid: Path) -> None:
    with h5py.File(valid, "r+") as file:
        file["model_weights"] = np.ones(4, np.float32)
    error = refusal(valid, root="model_weights")
    assert (error.entry, error.reason) == ("model_weights", "is not a group")


def test_refuses_a_root_that_is_the_file_itself(valid: Path) -> None:
    with h5py.File(valid, "r+") as file:
        file["model_weights"] = file["/"]
    assert refusal(valid, root="model_weights").reason == SECOND_LINK


@pytest.mark.parametrize("backend", ["tensorflow", "theano"])
def test_reads_files_of_newer_writers(tmp_path: Path, backend: str) -> None:
    path = write(tmp_path / "latest.h5", backend, libver="latest")
    for key, array in read_keras1_h5(path, SHAPES).arrays.items():
        np.testing.assert_array_equal(array, numbers(key, SHAPES[key]))


@pytest.mark.parametrize("options", [{"chunks": (2,)}, {"compression": "gzip"}, {"fletcher32": True}])
def test_reads_numbers_that_are_stored_in_chunks(valid: Path, options: dict[str, Any]) -> None:
    with h5py.File(valid, "r+") as file:
        created(data=numbers("conv1/conv1_b", (4,)), **options)(file, valid.parent)
    array = read_keras1_h5(valid, SHAPES).arrays["conv1/conv1_b"]
    np.testing.assert_array_equal(array, numbers("conv1/conv1_b", (4,)))


def test_refuses_chunks_that_were_written_in_part_only(valid: Path) -> None:
    with h5py.File(valid, "r+") as file:
        created(chunks=(2,))(file, valid.parent)
        file["conv1/conv1_b:0"][:2] = 1
    assert refusal(valid).reason == NEVER_WRITTEN


def test_a_bomb_ends_at_the_limit_of_memory(valid: Path) -> None:
    with h5py.File(valid, "r+") as file:
        created(shape=(4,), maxshape=(None,), chunks=(2**27,), compression="gzip")(file, valid.parent)
        file["conv1/conv1_b:0"][:] = 1  # 4 numbers in a chunk of 512 MB
    assert "cannot be read as an HDF5 file" in refusal(valid).reason


def test_refuses_a_user_block(tmp_path: Path) -> None:
    assert refusal(write(tmp_path / "block.h5", userblock_size=512)).reason == "is not an HDF5 file"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\x89HDF\r\n\x1a\n", "cannot be read as an HDF5 file: "),
        (b"not weights at all", "is not an HDF5 file"),
        (np.random.default_rng(0).bytes(10_000), "is not an HDF5 file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(5_000), "cannot be read as an HDF5 file: "),
    ],
)
def test_refuses_what_is_not_hdf5(tmp_path: Path, content: Any, reason: str) -> None:
    path = tmp_path / "weights.h5"
    path.write_bytes(content)
    error = refusal(path)
    assert error.entry == ""
    assert error.reason.startswith(reason)


def test_refuses_a_truncated_file_wherever_it_ends(valid: Path) -> None:
    whole = valid.read_bytes()
    for size in range(1, len(whole), 97):
        valid.write_bytes(whole[:size])
        refusal(valid)


def test_refuses_what_is_not_a_file(tmp_path: Path) -> None:
    assert refusal(tmp_path).reason == "is not a regular file"
    assert refusal(tmp_path / "nothing.h5").reason == "no such file"
    assert "too long" in refusal(tmp_path / ("n" * 300)).reason
    assert refusal(f"{tmp_path}/a\0b").reason == "has a null byte in its name"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_refuses_a_pipe_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.h5")
    assert refusal(tmp_path / "pipe.h5").reason == "is not a regular file"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_refuses_a_file_that_may_not_be_read(valid: Path) -> None:
    valid.chmod(0)
    assert "Permission denied" in refusal(valid).reason


def test_refuses_a_file_larger_than_the_network_can_need_without_reading_it(tmp_path: Path) -> None:
    path = write(tmp_path / "large.h5")
    with path.open("r+b") as file:
        file.truncate(1 << 40)  # sparse
    tracemalloc.start()
    try:
        error = refusal(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "more than this network can need" in error.reason
    assert peak < 8 << 20


@pytest.mark.parametrize("shape", [(2**50,), (2**20, 2**20, 2**10), (2**63,)])
def test_declared_shapes_cost_no_memory(valid: Path, shape: tuple[Any] | tuple[Any, Any, Any]) -> None:
    small = tuple(range(5, 5 + len(shape)))
    with h5py.File(valid, "r+") as file:
        del file["conv1/conv1_b:0"]
        file["conv1/conv1_b:0"] = np.ones(small, np.float32)
    # HDF5 itself would not write such a shape over so few numbers.
    image = valid.read_bytes()
    for flags in (0, 1):
        old, new = (
            struct.pack(f"<8B{len(small)}Q", 1, len(small), flags, *bytes(5), *s) for s in (small, shape)
        )
        image = image.replace(old, new)
    assert image != valid.read_bytes()
    valid.write_bytes(image)
    tracemalloc.start()
    try:
        error = refusal(valid)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert error.entry == "conv1/conv1_b:0"
    assert peak < 4 << 20


# Damaged and forged bytes


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(tmp_path_factory.mktemp("image") / "weights.h5").read_bytes()


@pytest.fixture(scope="module")
def mutant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutant") / "weights.h5"


def check_outcome(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        weights = read_keras1_h5(path, SHAPES)
    except WeightsError:
        return
    assert {key: array.shape for key, array in weights.arrays.items()} == SHAPES
    assert all(np.isfinite(array).all() for array in weights.arrays.values())
    assert (weights.arrays["bn1/bn1_running_std"] >= 0).all()


AWKWARD = (0, 1, 2, 3, 8, 16, 24, 40, 96, 255, 2**16 - 1, 2**31, 2**32, 2**63, 2**64 - 16, 2**64 - 1)
places = st.integers(0, 10**6)
edits = st.one_of(
    st.tuples(st.just("bit"), places, st.integers(0, 7)),
    st.tuples(st.just("byte"), places, st.integers(0, 255)),
    st.tuples(st.just("word"), places, st.sampled_from(AWKWARD)),
    st.tuples(st.just("copy word"), places, places),
    st.tuples(st.just("insert"), places, st.binary(min_size=1, max_size=16)),
    st.tuples(st.just("cut"), places, st.just(0)),
)


def edited(image: bytes, edit: tuple[str, int, Any]) -> bytes:
    kind, place, value = edit
    content = bytearray(image)
    place %= len(content)
    aligned = place & ~7
    if kind == "bit":
        content[place] ^= 1 << value
    elif kind == "byte":
        content[place] = value
    elif kind == "word":
        content[aligned : aligned + 8] = value.to_bytes(8, "little")
    elif kind == "copy word":
        other = value % len(content) & ~7
        content[aligned : aligned + 8] = image[other : other + 8]
    elif kind == "insert":
        content[place:place] = value
    else:
        del content[max(place, 1) :]
    return bytes(content)


def header_of(path: Path, entry: str) -> int:
    with h5py.File(path, "r") as file:
        return int(h5py.h5o.get_info(file[entry].id).addr)


def message(image: bytes | bytearray, header: int, kind: int) -> int:
    """Return where the first header message of a kind starts, as HDF5 lays out version 1 headers."""
    place = header + 16
    while struct.unpack_from("<H", image, place)[0] != kind:
        place += 8 + struct.unpack_from("<H", image, place + 2)[0]
        assert place < header + 1024
    return place


BIAS = "conv1/conv1_b:0"
SPACE, TYPE, FILL, LAYOUT, SYMBOL_TABLE = 0x01, 0x03, 0x05, 0x08, 0x11
FORGED = {
    # name: (entry whose header is forged, message, offset from the start of the message, bytes)
    "header version": (BIAS, None, 0, b"\2"),
    "message count": (BIAS, None, 2, b"\xff\xff"),
    "long message": (BIAS, FILL, 2, b"\xf8\xff"),
    "short continuation": (BIAS, FILL, 0, b"\x10\0\x08\0"),
    "far continuation": (
        BIAS,
        LAYOUT,
        0,
        b"\x10\0\x18\0" + bytes(4) + b"\xf0" * 8,
    ),
    "short link": (BIAS, FILL, 0, b"\6\0\0\0"),
    "unknown link": (BIAS, FILL, 0, b"\6\0\x10\0" + bytes(4) + b"\1\x08\x77\1a"),
    "filter": (BIAS, FILL, 0, b"\x0b"),
    "unknown message": (BIAS, FILL, 0, b"\x66"),
    "two shapes": (BIAS, FILL, 0, b"\x01"),
    "no shape": (BIAS, SPACE, 0, b"\0"),
    "rank": (BIAS, SPACE, 9, b"\xff"),
    "permuted shape": (BIAS, SPACE, 10, b"\3"),
    "shape version": (BIAS, SPACE, 8, b"\4"),
    "resizable": (BIAS, SPACE, 8, b"\1\1\1" + bytes(5) + struct.pack("<QQ", 4, 5)),
    "type class": (BIAS, TYPE, 8, b"\x10"),
    "byte order": (BIAS, TYPE, 9, b"\x21"),
    "exponent bias": (BIAS, TYPE, 24, b"\x80"),
    "layout version": (BIAS, LAYOUT, 8, b"\2"),
    "layout class": (BIAS, LAYOUT, 9, b"\x09"),
    "storage address": (BIAS, LAYOUT, 10, b"\xf0" * 8),
    "storage size": (BIAS, LAYOUT, 18, b"\x0f"),
    "B-tree address": ("conv1", SYMBOL_TABLE, 8, b"\xf0" * 8),
    "heap address": ("conv1", SYMBOL_TABLE, 16, b"\0" * 8),
}


# What the HDF5 library passes over; the numbers are those of the sound file.
HARMLESS = {
    "message count", "unknown message", "two shapes", "permuted shape", "resizable", "storage size",
}  # fmt: skip


@pytest.mark.parametrize("case", FORGED)
def test_refuses_a_forged_header_or_reads_the_same_numbers(valid: Path, case: Any) -> None:
    entry, kind, offset, forged = FORGED[case]
    sound = read_keras1_h5(valid, SHAPES).arrays
    content = bytearray(valid.read_bytes())
    header = header_of(valid, entry)
    start = offset + (header if kind is None else message(content, header, kind))
    content[start : start + len(forged)] = forged
    valid.write_bytes(content)
    if case not in HARMLESS:
        assert refusal(valid).entry.startswith(entry)
        return
    for key, array in read_keras1_h5(valid, SHAPES).arrays.items():
        np.testing.assert_array_equal(array, sound[key])


def group_structures(path: Path, entry: str) -> tuple[bytearray, int, int, int]:
    """Return the file and the addresses of a group's B-tree, heap of names and first symbol node."""
    content = bytearray(path.read_bytes())
    place = message(content, header_of(path, entry), SYMBOL_TABLE)
    tree, heap = struct.unpack_from("<QQ", content, place + 8)
    (symbols,) = struct.unpack_from("<Q", content, tree + 32)
    assert (bytes(content[tree : tree + 4]), bytes(content[heap : heap + 4])) == (b"TREE", b"HEAP")
    assert content[symbols : symbols + 4] == b"SNOD"
    return content, tree, heap, symbols


FORGED_GROUP = {
    # name: (structure, offset in it, bytes)
    "no tree": ("tree", 0, b"FREE"),
    "tree of chunks": ("tree", 4, b"\1"),
    "deep tree": ("tree", 5, b"\xff"),
    "wide tree": ("tree", 6, b"\xff\xff"),
    "no heap": ("heap", 0, b"LEAP"),
    "heap version": ("heap", 4, b"\1"),
    "large heap": ("heap", 8, b"\xff" * 4),
    "no symbols": ("symbols", 0, b"SNOB"),
    "symbols' version": ("symbols", 4, b"\2"),
    "name beyond its heap": ("symbols", 8, struct.pack("<Q", 2**40)),
    "empty name": ("symbols", 8, bytes(8)),
    "unknown link": ("symbols", 24, b"\3"),
    "object beyond the file": ("symbols", 16, b"\xf0" * 8),
}


@pytest.mark.parametrize("case", FORGED_GROUP)
def test_refuses_a_forged_group(valid: Path, case: Any) -> None:
    structure, offset, forged = FORGED_GROUP[case]
    content, *places = group_structures(valid, "conv1")
    start = dict(zip(("tree", "heap", "symbols"), places, strict=True))[structure] + offset
    content[start : start + len(forged)] = forged
    valid.write_bytes(content)
    assert refusal(valid).entry.startswith("conv1")


def test_refuses_a_name_that_occurs_twice(valid: Path) -> None:
    content, _, _, symbols = group_structures(valid, "conv1")
    content[symbols + 48 : symbols + 56] = content[symbols + 8 : symbols + 16]
    valid.write_bytes(content)
    error = refusal(valid)
    assert error.entry == "conv1/conv1_W:0"


def test_refuses_a_name_with_a_slash_that_would_look_like_a_layer(valid: Path) -> None:
    valid.write_bytes(valid.read_bytes().replace(b"pool1\0", b"po/l1\0"))
    assert refusal(valid).entry == "po/l1"


def test_refuses_a_name_without_end(valid: Path) -> None:
    content, _, heap, symbols = group_structures(valid, "conv1")
    (names,) = struct.unpack_from("<Q", content, heap + 24)
    (name,) = struct.unpack_from("<Q", content, symbols + 8)
    (size,) = struct.unpack_from("<Q", content, heap + 8)
    content[names + name : names + size] = b"a" * (size - name)
    valid.write_bytes(content)
    assert refusal(valid).entry == "conv1"


def test_refuses_a_b_tree_that_contains_itself(valid: Path) -> None:
    content, tree, *_ = group_structures(valid, "conv1")
    content[tree + 5] = 1
    content[tree + 32 : tree + 40] = struct.pack("<Q", tree)
    valid.write_bytes(content)
    assert "it crashes its reader" in refusal(valid).reason  # HDF5 2.0.0 runs out of stack
    assert read_keras1_h5(write(valid), SHAPES).backend == "tensorflow"  # and the next file is read


def test_empty_nodes_of_a_b_tree_do_not_buy_time(valid: Path) -> None:
    content = bytearray(valid.read_bytes())
    first = len(content)
    content += b"SNOD\1\0\0\0" * 600
    children = b"".join(struct.pack("<QQ", 0, first + 8 * i) for i in range(600))
    node = struct.pack("<4sBBHQQ", b"TREE", 0, 0, 600, 2**64 - 1, 2**64 - 1) + children + bytes(8)
    place = message(content, header_of(valid, "conv1"), SYMBOL_TABLE)
    content[place + 8 : place + 16] = struct.pack("<Q", len(content))
    content += node
    content[40:48] = struct.pack("<Q", len(content))
    valid.write_bytes(content)
    assert refusal(valid).entry == "conv1"


@given(st.lists(st.lists(edits, min_size=1, max_size=6), min_size=30, max_size=30))
@settings(max_examples=50, deadline=None)
def test_any_damage_gives_sound_weights_or_a_refusal(image: bytes, mutant: Path, damages: Any) -> None:
    images = [functools.reduce(edited, damage, image) for damage in damages]
    check_each(lambda content: check_outcome(mutant, content), images)


def test_every_word_of_the_file_may_be_forged(image: bytes, mutant: Path) -> None:
    words = range(0, len(image), 8)
    images = [edited(image, ("word", place, value)) for place in words for value in (0, place, 2**64 - 1)]
    check_each(lambda content: check_outcome(mutant, content), images)


@given(st.binary(max_size=300))
@example(bytes(300))
@settings(max_examples=200, deadline=None)
def test_anything_behind_a_sound_superblock_is_refused(image: bytes, mutant: Path, tail: Any) -> None:
    content = image[:96] + tail
    size = struct.pack("<Q", len(content))
    mutant.write_bytes(content[:40] + size + content[48:])
    refusal(mutant)


# The original files


@pytest.fixture(scope="session")
def originals(assets: Path) -> dict[str, Keras1Weights]:
    folder = assets / "originals/cnn_at"
    return {
        backend: read_keras1_h5(folder / f"music_tagger_cnn_weights_{backend}.h5", CNN_AT_SHAPES)
        for backend in ("tensorflow", "theano")
    }


def test_the_original_files_say_which_backend_wrote_them(originals: Any) -> None:
    assert {name: weights.backend for name, weights in originals.items()} == {
        "tensorflow": "tensorflow",
        "theano": "theano",
    }


def test_the_original_files_hold_all_parameters_of_the_paper(originals: Any) -> None:
    # 865,950 trainable parameters as the authors count them, and two statistics per normalised channel.
    sizes = {key: array.size for key, array in originals["theano"].arrays.items()}
    assert sum(sizes.values()) == 870_154
    assert sum(size for key, size in sizes.items() if "running" not in key) == 865_950


def test_the_original_files_differ_by_a_flip_of_the_kernels_and_nothing_else(originals: Any) -> None:
    tensorflow, theano = originals["tensorflow"].arrays, originals["theano"].arrays
    assert tensorflow.keys() == theano.keys() == CNN_AT_SHAPES.keys()
    for key, array in tensorflow.items():
        flipped = theano[key][:, :, ::-1, ::-1] if array.ndim == 4 else theano[key]
        np.testing.assert_array_equal(array, flipped)
    assert not np.array_equal(tensorflow["conv1/conv1_W"], theano["conv1/conv1_W"])


@pytest.mark.parametrize(
    ("filename", "shapes", "root"),
    [
        ("cnn_at/music_tagger_cnn_weights_tensorflow.h5", CNN_AT_SHAPES, None),
        ("cnn_at/music_tagger_cnn_weights_theano.h5", CNN_AT_SHAPES, None),
        ("mm_cnn/epoch.115-val_loss.0.902-fbeta.0.673.hdf5", MM_CNN_SHAPES, "model_weights"),
    ],
)
def test_the_original_files_hold_what_hdf5_reads_from_them(
    assets: Path, filename: str, shapes: Any, root: str | None
) -> None:
    path = assets / "originals" / filename
    weights = read_keras1_h5(path, shapes, root=root)
    with h5py.File(path, "r") as file:
        group = file[root or "/"]
        for key, array in weights.arrays.items():
            np.testing.assert_array_equal(array, group[key + SUFFIX[weights.backend]][()])


def test_the_definition_at_the_head_of_the_repository_does_not_fit_the_file(assets: Path) -> None:
    # Its first normalisation runs over the 96 bands instead of the 1366 frames.
    shapes = {key: (96,) if key.startswith("bn_0") else shape for key, shape in CNN_AT_SHAPES.items()}
    error = refusal(assets / "originals/cnn_at/music_tagger_cnn_weights_theano.h5", shapes)
    assert error.entry.startswith("bn_0_freq/")
    assert error.reason == "has shape (1366,), not (96,)"


# The catalog


def test_the_catalog_knows_the_original_files_by_their_hashes(assets: Path) -> None:
    for entry in checkpoints.entries("cnn_at"):
        content = (assets / "originals/cnn_at" / entry.filename).read_bytes()
        assert len(content) == entry.size_bytes
        assert hashlib.sha256(content).hexdigest() == entry.sha256
        assert hashlib.md5(content).hexdigest() == entry.md5
        assert hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == entry.git_blob_sha1
        assert checkpoints.find_by_sha256(hashlib.sha256(content).hexdigest()) is entry


def test_the_catalog_has_both_published_files_of_cnn_at() -> None:
    assert {entry.filename for entry in checkpoints.entries("cnn_at")} == {
        "music_tagger_cnn_weights_tensorflow.h5",
        "music_tagger_cnn_weights_theano.h5",
    }
    assert all(
        "MIT" in entry.licence and "Keunwoo Choi" in entry.licence for entry in checkpoints.entries("cnn_at")
    )


def test_every_catalog_entry_can_be_told_apart_and_verified() -> None:
    def values(field: str) -> list[Any]:
        return [getattr(entry, field) for entry in checkpoints.entries() if getattr(entry, field) is not None]

    assert checkpoints.entries()
    for field in checkpoints.CatalogEntry.__dataclass_fields__:
        if field in ("name", "url", "sha256", "md5", "git_blob_sha1"):
            assert len(set(values(field))) == len(values(field)), field
    for entry in checkpoints.entries():
        assert entry.sha256 or entry.md5 or entry.git_blob_sha1
        assert entry.url is None or entry.url.startswith("https://")
        assert entry.url is None or entry.url.endswith(entry.filename)
        assert entry.licence
        assert entry.origin


def test_the_catalog_finds_a_hash_in_either_case_and_nothing_for_an_unknown_one() -> None:
    entry = checkpoints.entries("cnn_at")[0]
    assert checkpoints.find_by_sha256(entry.sha256.upper()) is entry
    assert checkpoints.find_by_sha256("0" * 64) is None
    assert checkpoints.find_by_sha256("") is None
    assert checkpoints.entries("no_such_model") == ()


# Seeded weights


@pytest.mark.parametrize("shape", [(3, 3, 64, 128), (2000, 50), (3, 3, 1, 4000)])
def test_he_normal_has_the_variance_of_the_paper(shape: tuple[int, int, int, int] | tuple[int, int]) -> None:
    kernel = he_normal(shape, np.random.default_rng(0))
    fan_in = np.prod(shape[:-1])
    assert kernel.dtype == np.float32
    assert kernel.shape == shape
    # 4 standard errors of mean and of variance for this many draws.
    assert abs(kernel.mean()) < 4 * np.sqrt(2 / fan_in / kernel.size)
    assert abs(kernel.var() * fan_in / 2 - 1) < 4 * np.sqrt(2 / kernel.size)


def test_he_normal_keeps_the_scale_of_rectified_activations_through_many_layers() -> None:
    x = np.random.default_rng(0).standard_normal((200, 512)).astype(np.float32)
    for layer in range(10):
        x = np.maximum(x, 0) @ seeded_kernel(f"dense{layer}", (512, 512), 0)
    assert 0.5 < x.var() < 2.0


def test_a_seeded_kernel_depends_on_seed_and_name_only() -> None:
    kernel = seeded_kernel("conv1", (3, 3, 1, 8), 5)
    seeded_kernel("conv2", (3, 3, 8, 8), 5)
    np.testing.assert_array_equal(kernel, seeded_kernel("conv1", (3, 3, 1, 8), 5))
    assert not np.array_equal(kernel, seeded_kernel("conv1", (3, 3, 1, 8), 6))
    assert not np.array_equal(kernel, seeded_kernel("conv2", (3, 3, 1, 8), 5))


def test_seeded_kernels_are_the_same_for_ever() -> None:
    # Recorded with numpy 1.26; a change of numpy's streams must not go unnoticed.
    kernel = seeded_kernel("conv1", (1, 1, 1, 4), 0)
    np.testing.assert_array_equal(
        kernel.ravel(), np.array([1.6173297, -1.4954125, -1.1130061, 2.6891329], np.float32)
    )
