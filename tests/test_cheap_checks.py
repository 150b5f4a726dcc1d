"""What is wrong with a command is told before TensorFlow is loaded, which takes seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
from conftest import ROOT

SVD = ["--model=svd", "--checkpoint=svd-open"]
OWN_MODEL = """
import tensorflow

def model():
    raise AssertionError("the file was run before the cheap checks")
"""

NO_AUDIO = "holds no audio file"
GONE = "no such file"


def test_what_is_wrong_is_told_without_tensorflow(tmp_path: Path) -> None:
    for folder in ("empty", "text", "one"):
        (tmp_path / folder).mkdir()
    (tmp_path / "text/notes.txt").touch()
    soundfile.write(tmp_path / "one/a.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 44100), 22050)
    (tmp_path / "file").touch()
    (tmp_path / "mine.py").write_text(OWN_MODEL)
    own = [f"--model={tmp_path / 'mine.py'}:model"]
    one, out = f"--input={tmp_path / 'one'}", f"--output_dir={tmp_path / 'out'}"
    wav, gone = f"--input={tmp_path / 'one/a.wav'}", f"{tmp_path / 'gone'}"
    per_layer = {
        "neurons": ["--layers=fc8"], "maps": ["--layers=conv1"], "activations": ["--layers=fc8"],
        "probe": ["--layers=fc8", "--folds=2"], "dissect": ["--layers=mp3"],
        "evaluate-inverters": ["--layers=fc8"], "train-inverter": ["--layer=fc8"],
    }  # fmt: skip
    wrong: list[tuple[int, str, list[str]]] = []
    for name, layer in per_layer.items():
        for model in (SVD, own):
            for folder in ("empty", "text"):
                given = [*model, *layer, f"--input={tmp_path / folder}", out]
                wrong.append((1, NO_AUDIO, [name, *given]))
            for place, said in (("file", "File exists"), ("file/out", "Not a directory")):
                given = [*model, *layer, one, f"--output_dir={tmp_path / place}"]
                wrong.append((1, f"{tmp_path / place}: {said}", [name, *given]))
        unread = ["--model=svd", f"--checkpoint={gone}.npz"]
        wrong.append((1, f"{gone}.npz: {GONE}", [name, *unread, *layer, one, out]))
        nowhere = ["--layer=fc99"] if name == "train-inverter" else ["--layers=fc99"]
        wrong.append((2, "svd has no layer 'fc99'", [name, *SVD, *nowhere, one, out]))
    fc8 = [*SVD, "--layers=fc8", one, out]
    wrong += [
        (2, "called 'brightness'", ["neurons", *fc8, "--features=brightness"]),
        (2, "called 'brightness'", ["maps", *SVD, "--layers=conv1", one, out, "--features=brightness"]),
        (2, "gain changes recordings of yours", ["tune", *SVD, "--layers=fc8", "--factors=gain", out]),
        (2, "svd has no layer 'fc99'", ["tune", *SVD, "--layers=fc99", "--factors=level", out]),
        (1, "File exists", ["tune", *SVD, "--layers=fc8", "--factors=level",
                            f"--output_dir={tmp_path / 'file'}"]),
        (2, "fc8 cannot be dissected", ["dissect", *fc8]),
        (2, "there is no concept 'joy'", ["dissect", *SVD, "--layers=mp3", one, out, "--concepts=joy"]),
        (2, f"{gone}.py: does not exist", ["neurons", *fc8, f"--features_from={gone}.py"]),
        (2, "folds=5 needs at least 5 recordings, not 1", ["probe", *fc8]),
        (2, "called 'brightness'", ["probe", *fc8, "--targets=brightness"]),
        (2, "fc8 has neurons 0 to 63", ["neurons", *fc8, "--playlist_neurons=fc8/64"]),
        (2, "is neither a folder nor a file", ["evaluate-inverters", *fc8, f"--inverters={gone}.npz"]),
        (1, GONE, ["evaluate-inverters", *fc8, f"--inverters=fc8={gone}.npz"]),
        (1, GONE, ["invert", *SVD, wav, out, f"--inverters=fc8={gone}.npz"]),
        (1, "does not exist", ["invert", *own, f"--input={gone}.wav", out]),
        (1, GONE, ["train-inverter", *SVD, "--layer=fc8", one, out, "--comparator=cnn_at:elu3",
                   f"--comparator_checkpoint={gone}.h5"]),
        (1, "Not a directory", ["train-detector", one, f"--output_dir={tmp_path / 'file/out'}"]),
        (1, "File exists", ["export", *SVD, f"--output_dir={tmp_path / 'file'}"]),
        (1, GONE, ["export", "--inverter=svd:fc8", f"--model_checkpoint={gone}.npz", out]),
        (1, GONE, ["verify", *SVD, f"--golden={gone}.npz"]),
        (1, GONE, ["verify", *own, f"--golden={gone}.npz"]),
        (1, "is not a readable npz", ["verify", *SVD, f"--golden={tmp_path / 'file'}"]),
        (1, GONE, ["verify", "--model=vggish", "--smoke", f"--pca={gone}.npz"]),
        (2, "there is no such folder", ["serve", f"--model_base={gone}"]),
        (2, "holds no model to serve", ["serve", f"--model_base={tmp_path / 'empty'}"]),
    ]  # fmt: skip
    commands = [[str(ROOT / f"bin/actprobe-{name}"), *given] for _, _, (name, *given) in wrong]
    ended = subprocess.run(
        [sys.executable, ROOT / "tests/without_tensorflow.py", json.dumps(commands)],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    for (code, said, command), found in zip(wrong, json.loads(ended.stdout), strict=True):
        status, stderr = found
        assert (status, stderr.count("\n")) == (code, 1), (command, found)
        assert said in stderr, (command, found)
    assert not list((tmp_path).glob("out/*"))
