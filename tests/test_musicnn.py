"""musicnn and VGG of Pons and Serra: front end and networks are those of the original program.

Golden data: musicnn 0.1.0, run with TensorFlow 2.17.1 on a synthetic signal and on a recording.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from actprobe.backend import librosa
from actprobe.errors import UsageError, WeightsError
from actprobe.frontends.musicnn import MusicnnFrontEnd
from actprobe.models import layers_of, load_model
from actprobe.models.golden import read_golden
from actprobe.models.networks.musicnn import TAGS
from actprobe.models.verify import verify

FAMILY = ("musicnn_mtt", "musicnn_msd", "vgg_mtt", "vgg_msd")


@pytest.fixture(scope="module")
def golden_mel(assets: Path) -> dict[str, NDArray[Any]]:
    with np.load(assets / "golden/packaged/musicnn_frontend.npz") as arrays:
        return dict(arrays)


def sound(golden_mel: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    return golden_mel["pcm"].astype(np.float32) / 32768


def test_front_end_is_the_originals(golden_mel: dict[str, NDArray[Any]]) -> None:
    """But for halves that a last bit turns over."""
    frames = MusicnnFrontEnd(pad_mode="constant").frames(sound(golden_mel))
    difference = np.abs(frames - golden_mel["logmel"])
    assert difference.mean() < 1e-6
    assert (difference > 1e-5).mean() < 1e-3
    assert difference.max() < 4.5e-4


def test_ends_are_mirrored_as_when_the_networks_were_trained(golden_mel: dict[str, NDArray[Any]]) -> None:
    frames = MusicnnFrontEnd().frames(sound(golden_mel))
    rows = golden_mel["logmel_reflect_rows"]
    assert np.abs(frames[rows] - golden_mel["logmel_reflect"]).max() < 4.5e-4
    assert np.abs(frames[rows] - golden_mel["logmel"][rows]).max() > 0.1


def test_mel_is_rounded_to_half_precision_and_loud_sound_stays_finite() -> None:
    noise = np.random.default_rng(0).standard_normal(48_000).astype(np.float32)
    front = MusicnnFrontEnd()
    mel = librosa.feature.melspectrogram(
        y=noise.astype(np.float64), sr=16_000, n_fft=512, hop_length=256, n_mels=96, pad_mode="reflect"
    ).T
    halves = mel.astype(np.float16).astype(np.float64)
    frames = front.frames(noise)
    assert np.abs(frames - np.log10(1 + 10_000 * halves)).max() < 4.5e-4
    assert np.abs(frames - np.log10(1 + 10_000 * mel)).mean() > 2e-5
    assert np.isfinite(front.frames(1e6 * noise)).all()


def test_patches_follow_one_another_and_a_shorter_recording_has_one() -> None:
    front = MusicnnFrontEnd()
    assert front(np.ones(16_000 * 7, np.float32), 16_000).shape == (2, 187, 96)
    assert front(np.ones(100, np.float32), 16_000).shape == (1, 187, 96)
    assert front.describe()["mel_precision"] == "float16"
    with pytest.raises(UsageError, match="without the normalization"):
        MusicnnFrontEnd("meanstd.npz")


@pytest.mark.parametrize("name", FAMILY)
def test_every_layer_is_the_originals(name: str, assets: Path, packaged: Callable[[str], Path]) -> None:
    architecture, corpus = name.split("_")
    model = load_model(name, packaged(name))
    path = assets / f"golden/packaged/{corpus}_{architecture}.npz"
    golden = read_golden(path, model.layers, model.frontend.example_shape)
    found = verify(model, golden, relative_tolerance=1e-5)
    assert found.passed
    judged = {each.layer for each in found.layers}
    assert judged == {layer for layer in model.layers if not layer.startswith("pad")}


def test_weights_of_another_network_are_refused(packaged: Callable[[str], Path]) -> None:
    with pytest.raises(WeightsError, match="conv2d"):
        load_model("musicnn_mtt", packaged("vgg_mtt"))


@pytest.mark.parametrize("name", FAMILY)
def test_tags_are_the_labels_of_the_outputs(name: str, golden_mel: dict[str, NDArray[Any]]) -> None:
    labels = [str(label) for label in golden_mel[f"labels_{name[-3:]}"]]
    assert list(TAGS[name[-3:]]) == labels
    assert [output.label for output in load_model(name).outputs] == labels


def test_layers_lie_where_the_sound_is() -> None:
    layers = layers_of("musicnn_msd")
    assert layers["timbral"].shape == (187, 1, 408)
    assert layers["temporal"].shape == (187, 1, 153)
    assert layers["concat_1"].shape == (187, 1, 561 + 3 * 64)
    assert (layers["max_pool"].shape, layers["flatten"].shape) == ((753,), (1506,))
    # 128 frames of 512 samples, 256 apart, and nothing before the first.
    assert layers["conv2d_2"].receptive_field_seconds == pytest.approx((127 * 256 + 512) / 16_000)
    assert layers["cnn3"].hop_seconds == pytest.approx(0.016)
    pooled = layers_of("vgg_msd")["pool1"]
    assert pooled.shape == (92, 48, 128)
    assert pooled.hop_seconds == pytest.approx(0.032)


def test_maximum_and_mean_are_interleaved() -> None:
    model = load_model("musicnn_msd", seed=3)
    examples = np.random.default_rng(0).random((1, 187, 96), np.float32)
    found = model.activations(examples, ["concat_1", "max_pool", "mean_pool", "flatten"])
    maps = found["concat_1"][0, :, 0]
    np.testing.assert_allclose(found["max_pool"][0], maps.max(axis=0))
    np.testing.assert_allclose(found["mean_pool"][0], maps.mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found["flatten"][0, ::2], found["max_pool"][0])
    np.testing.assert_array_equal(found["flatten"][0, 1::2], found["mean_pool"][0])
