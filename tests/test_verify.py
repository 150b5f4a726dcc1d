"""Parity: goldens of the originals pass as they are, and whatever differs is found and named."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from actprobe.errors import WeightsError
from actprobe.models import Model, layers_of, load_model
from actprobe.models.golden import read_golden
from actprobe.models.golden_parts import AXES
from actprobe.models.verify import Parity, verify

SHAPE = (115, 80)
LAYERS = ["conv1", "mp6", "fc8", "fc9/linear"]


@pytest.fixture(scope="module")
def svd() -> Model:
    return load_model("svd", seed=1)


@pytest.fixture(scope="module")
def computed(svd: Model) -> dict[str, NDArray[Any]]:
    examples = np.random.default_rng(0).standard_normal((3, *SHAPE)).astype(np.float32)
    return {"input": examples, **svd.activations(examples, LAYERS)}


def check(model: Model, path: Any, **options: Any) -> Parity:
    return verify(model, read_golden(path, model.layers, model.frontend.example_shape), **options)


def save(path: Any, **arrays: Any) -> Any:
    np.savez_compressed(path, **arrays)
    return path


def transposed(arrays: dict[str, NDArray[Any]], order: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """The arrays as a program with another order of axes has them."""
    given = {}
    for name, array in arrays.items():
        names = [axis for axis in AXES[: array.ndim] if array.ndim > 2]
        axes = [names.index(axis) for axis in order if axis in names]
        given[name] = array.transpose(axes) if axes else array
    return given


@pytest.mark.parametrize(
    ("model", "checkpoint", "golden", "layers", "tolerance"),
    [
        (
            "cnn_at",
            "originals/cnn_at/music_tagger_cnn_weights_tensorflow.h5",
            "cnn_at_musictagger_std.npz",
            17,
            1e-4,
        ),
        (
            "mm_cnn",
            "originals/mm_cnn/epoch.115-val_loss.0.902-fbeta.0.673.hdf5",
            "mm_cnn_single.npz",
            20,
            1e-4,
        ),
        ("svd", "golden/svd_random.npz", "a_svd_activations_small.npz", 9, 1e-5),
    ],
)
def test_goldens_of_the_originals_pass_as_they_are(
    assets: Path, model: str, checkpoint: str, golden: str, layers: int, tolerance: float
) -> None:
    opened = load_model(model, assets / checkpoint)
    parity = check(opened, assets / "golden" / golden, relative_tolerance=tolerance)
    assert parity.passed
    assert len(parity.layers) == layers
    assert all(layer.values for layer in parity.layers)
    wrong = load_model(model, seed=3)
    assert not any(layer.passed for layer in check(wrong, assets / "golden" / golden).layers)


def test_every_tap_of_the_original_vggish_is_a_layer_of_ours(assets: Path) -> None:
    layers = layers_of("vggish")
    golden = read_golden(assets / "golden/vggish_seeded.npz", layers, (96, 64))
    taps = {part.entry.split("/")[0] for part in golden.parts}
    assert len(taps) == 15
    assert golden.unused == ("examples_index",)
    assert not [part.fault for part in golden.parts if part.fault]
    assert golden.axes == AXES


@pytest.mark.parametrize("order", [("batch", *inner) for inner in itertools.permutations(AXES[1:])])
def test_file_may_have_its_own_order_of_axes(svd: Model, computed: Any, tmp_path: Path, order: Any) -> None:
    arrays = transposed(computed, order)
    parity = check(svd, save(tmp_path / "golden.npz", axes=", ".join(order), **arrays))
    assert parity.passed
    assert [layer.layer for layer in parity.layers] == LAYERS
    if order[0] == "batch" and order.index("channel") in (1, 3):  # the usual ones need not be said
        assert check(svd, save(tmp_path / "silent.npz", **arrays)).passed


def test_cuts_and_statistics_are_understood(svd: Model, computed: Any, tmp_path: Path) -> None:
    conv1 = computed["conv1"]
    golden = {
        "input": computed["input"],
        "conv1/ch2_5": conv1[..., 2:5],
        "conv1/rows4_9": conv1[:, 4:9, :, :1],
        "conv1/rows4_9_ch1_3": conv1[:2, 4:9, :, 1:3],
        "conv1/ex1_ch0_8": conv1[1, ..., :8],
        "conv1/ex2": conv1[2],
        "conv1_item0_every16th_channel": conv1[0, ..., ::16],
        "conv1/shape": np.array(conv1.shape),
        "mp6": computed["mp6"][:1],
        "fc8/ch10_20": computed["fc8"][:, 10:20],
    }
    for name in ("mean", "std", "sum", "max", "min"):
        golden[f"conv1/{name}_pc"] = getattr(conv1.astype(float), name)(axis=(1, 2))
        golden[f"mp6_chan_{name}"] = getattr(computed["mp6"].astype(float), name)(axis=(1, 2))
    parity = check(svd, save(tmp_path / "golden.npz", **golden), batch_size=2)
    assert parity.passed
    assert parity.unused == ()
    conv1_row = parity.layers[0]
    assert len(conv1_row.compared) == 11
    assert "time 4-8, channel 0" in conv1_row.compared
    assert "example 1, channel 0-7" in conv1_row.compared
    # Each of them is really looked at.
    for name in set(golden) - {"input"}:
        changed = {**golden, name: golden[name] + np.abs(golden[name]).max().astype(golden[name].dtype)}
        found = check(svd, save(tmp_path / "changed.npz", **changed))
        assert [layer.layer for layer in found.layers if not layer.passed] == [
            name.split("/")[0].split("_")[0]
        ]


def test_difference_is_found_where_it_is_and_measured(svd: Model, computed: Any, tmp_path: Path) -> None:
    mp6 = computed["mp6"].copy()
    mp6[2, 3, 4, 5] += 0.5
    path = save(tmp_path / "golden.npz", **{**computed, "mp6": mp6})
    parity = check(svd, path, batch_size=1)
    assert not parity.passed
    assert [layer.passed for layer in parity.layers] == [True, False, True, True]
    found = parity.layers[1]
    assert found.max_absolute == pytest.approx(0.5, abs=1e-5)
    assert found.max_relative == pytest.approx(0.5 / np.abs(mp6).max(), rel=1e-4)
    assert found.values == mp6.size
    assert check(svd, path, relative_tolerance=found.max_relative * 1.01).passed
    assert "FAIL: 3 of 4 layers" in str(parity)


def test_output_that_is_not_a_number_fails(svd: Model, computed: Any, tmp_path: Path) -> None:
    broken = load_model("svd", seed=1)
    layer = broken.keras_model.get_layer("fc8")
    layer.set_weights([np.full_like(layer.get_weights()[0], np.nan), layer.get_weights()[1]])
    parity = check(broken, save(tmp_path / "golden.npz", **computed))
    assert {layer.layer: layer.passed for layer in parity.layers} == {
        "conv1": True, "mp6": True, "fc8": False, "fc9/linear": False,
    }  # fmt: skip
    assert json.loads(json.dumps(parity.describe(), allow_nan=False))["layers"][2]["max_relative"] is None


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        ("fc8", np.zeros((3, 65)), r"fc8 has shape \[65\] where the model has \[64\]"),
        ("fc8", np.zeros((4, 64)), "4 examples from 0 on, but there are 3"),
        ("fc8", np.zeros((3, 8, 8)), "its axes are batch, channel"),
        ("fc8/rows0_8", np.zeros((3, 64)), "which a vector does not have"),
        ("conv1/shape", np.array([3, 113, 78, 65]), r"says \[113, 78, 65\]"),
        ("conv1/ch0_2", np.zeros((3, 113, 77, 2)), r"has shape \[113, 77, 2\]"),
        ("conv1/ex3_ch0_2", np.zeros((113, 78, 2)), "from 3 on"),
        ("conv1/mean_pc", np.zeros((3, 63)), r"has shape \[3, 63\]"),
    ],
)
def test_array_that_does_not_fit_fails_its_layer_and_says_why(
    svd: Model, computed: Any, tmp_path: Path, name: str, array: Any, said: str
) -> None:
    others = {key: value for key, value in computed.items() if key != name}
    parity = check(svd, save(tmp_path / "golden.npz", **others, **{name: array}))
    failed = [layer for layer in parity.layers if not layer.passed]
    assert [layer.layer for layer in failed] == [name.split("/")[0]]
    assert re.search(said, failed[0].faults[0])


def test_nothing_to_compare_is_no_pass(svd: Model, computed: Any, tmp_path: Path) -> None:
    parity = check(svd, save(tmp_path / "golden.npz", input=computed["input"], conv9=computed["fc8"]))
    assert not parity.passed
    assert parity.unused == ("conv9",)
    assert "nothing to compare" in str(parity)


def test_raw_decibels_with_mean_and_deviation_make_the_examples(
    svd: Model, computed: Any, tmp_path: Path
) -> None:
    raw = computed["input"] * 15.0 - 20.0
    golden = {"input_raw_db": raw, "input_mean": -20.0, "input_std": 15.0, "fc8": computed["fc8"]}
    assert check(svd, save(tmp_path / "golden.npz", **golden), relative_tolerance=1e-3).passed


def npz(tmp_path: Path, **members: bytes) -> Path:
    path = tmp_path / "golden.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(descr: str, shape: tuple[int, ...]) -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


GOOD = npy(np.zeros((1, *SHAPE), np.float32))


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"fc8": npy(np.zeros((1, 64)))}, "input: this array is missing"),
        ({"input": npy(np.zeros((1, 80, 80)))}, r"input: has shape \[1, 80, 80\].*115 time, 80 mel"),
        ({"input": npy(np.zeros((0, *SHAPE)))}, "input: has shape"),
        ({"input": GOOD, "fc8": npy(np.full((1, 64), np.nan))}, "fc8: holds NaN"),
        ({"input": GOOD, "fc8": npy(np.array(["x"], object))}, "fc8: holds object"),
        ({"input": GOOD, "fc8": header("<f4", (1 << 40, 1 << 40))}, "fc8: declares"),
        ({"input": GOOD, "fc8": header("<f4", (1, 64))}, "fc8: declares"),
        ({"input": GOOD, "fc8": b"no array"}, "not a readable npz"),
        ({"input": GOOD, "axes": npy(np.array("time batch"))}, "axes: must be batch"),
        (
            {"input_raw_db": GOOD, "input_mean": npy(np.zeros(())), "input_std": npy(np.zeros(()))},
            "input_std",
        ),
    ],
)
def test_file_that_is_no_golden_is_refused(
    svd: Model, tmp_path: Path, members: dict[str, Any], said: str
) -> None:
    with pytest.raises(WeightsError, match=said):
        read_golden(npz(tmp_path, **members), svd.layers, SHAPE)


def test_bomb_is_refused_before_it_is_unpacked(
    svd: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = npz(tmp_path, input=GOOD, fc8=npy(np.zeros((500_000,), np.float32)))
    monkeypatch.setattr("actprobe.models.golden_file.MAX_BYTES", 1_000_000)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("was unpacked"))
    with pytest.raises(WeightsError, match="declares more than"):
        read_golden(path, svd.layers, SHAPE)


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.99])
def test_truncated_file_is_refused(svd: Model, computed: Any, tmp_path: Path, kept: float) -> None:
    path = save(tmp_path / "golden.npz", **computed)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept < 1 else kept])
    with pytest.raises(WeightsError, match="not a readable npz"):
        read_golden(path, svd.layers, SHAPE)


def test_damaged_file_is_refused(svd: Model, computed: Any, tmp_path: Path) -> None:
    path = save(tmp_path / "golden.npz", **computed)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(WeightsError):
        read_golden(path, svd.layers, SHAPE)
    with pytest.raises(WeightsError, match="no such file"):
        read_golden(tmp_path / "nowhere.npz", svd.layers, SHAPE)


def test_binary_prints_and_writes_the_report(binary: Any, svd: Model, computed: Any, tmp_path: Path) -> None:
    golden = save(tmp_path / "golden.npz", **computed)
    flags = ["--model=svd", "--seed=1", f"--golden={golden}"]
    ended = binary("actprobe-verify", *flags, f"--output_dir={tmp_path / 'out'}")
    assert ended.returncode == 0, ended.stderr
    assert "PASS: 4 of 4 layers within 0.0001 relative" in ended.stdout
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["passed"] is True
    assert [layer["layer"] for layer in report["layers"]] == LAYERS
    assert report["flags"]["golden"] == str(golden)


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        ([], 2, "--golden=FILE.npz, or --smoke"),
        (["--smoke"], 2, "svd has no smoke test; vggish has"),
        (["--golden=nowhere.npz"], 1, "nowhere.npz: no such file"),
    ],
)
def test_binary_says_what_is_wrong_in_one_line(
    binary: Any, tmp_path: Path, flags: list[Any], code: int, said: str
) -> None:
    ended = binary("actprobe-verify", "--model=svd", *flags, cwd=tmp_path)
    assert ended.returncode == code
    assert said in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_failure_is_an_exit_status_and_a_smoke_test_of_random_weights_is_one(
    binary: Any, tmp_path: Path
) -> None:
    ended = binary(
        "actprobe-verify", "--model=vggish", "--smoke", env={**os.environ, "ACTPROBE_CACHE": str(tmp_path)}
    )
    assert ended.returncode == 1
    assert "FAIL  2023, embedding, mean" in ended.stdout
    assert "actprobe-fetch --model=vggish --name=vggish_pca" in ended.stdout
    assert "FAIL: smoke test" in ended.stdout
