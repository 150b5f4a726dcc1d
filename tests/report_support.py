"""Small real runs of every kind over recordings with hostile names, for the tests of the report."""

from __future__ import annotations

import csv
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[1]
HOSTILE = (
    "<img src=x onerror=alert(1)>&amp;\"'.wav",
    "שלום \u202egnp.wav",
    "🎵🎶 {{7*7}} ${x}.wav",
    "n" * 246 + ".wav",
    "<\u2215script><b>bold<\u2215b>\\.wav",
    "plain.wav",
)
BROKEN = "<i>broken<\u2215i>.wav"  # a file name cannot hold the plain slash
TAG = '<b onclick="alert(2)">tag</b> 😀'  # a column of the manifest, so a feature
RATE = 22050
SECONDS = 2.6


def write_corpus(folder: Path) -> Path:
    """Write recordings whose names are hostile, one that cannot be read, and their manifest."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    time = np.arange(round(SECONDS * RATE)) / RATE
    rows = []
    for i, name in enumerate(HOSTILE):
        tone = sum(np.sin(2 * np.pi * 220 * (i + 1) * k * time) / k for k in (1, 2, 3))
        clicks = (np.arange(len(time)) % (RATE // (i + 2)) < 200) * rng.normal(size=len(time))
        soundfile.write(folder / name, 0.05 * (i + 1) * (tone / 2 + clicks) / 3, RATE)
        rows.append((name, i * 1.5))
    (folder / BROKEN).write_bytes(b"RIFF")
    rows.append((BROKEN, 1.0))
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", TAG), *rows])
    return folder / "manifest.csv"


def _calls(manifest: Path) -> dict[str, list[str]]:
    svd = ["--model=svd", "--checkpoint=svd-open"]
    excerpt = [f"--input={manifest.parent / HOSTILE[0]}", "--method=gradient", "--gradient_steps=2"]
    return {
        "neurons": [
            "actprobe-neurons", *svd, f"--input={manifest}", "--layers=conv5,fc8", "--hop=60",
            f"--features=loudness,{TAG}", "--permutations=20", "--random_seeds=1", "--figures=0",
            "--executor=local:1",
        ],
        "maps": [
            "actprobe-maps", *svd, f"--input={manifest}", "--layers=conv1", "--features=harmonic,hpcp",
            "--figures=1", "--null_partners=1", "--executor=local:1",
        ],
        "inversion": ["actprobe-invert", *svd, "--layer=conv1,fc8", *excerpt, "--at=0.2"],
        "inversion-2": ["actprobe-invert", *svd, "--layer=fc8", *excerpt, "--at=0.5", "--nosound"],
        "excitation": [
            "actprobe-excite", *svd, f"--input={manifest}", "--neurons=fc8/3,conv1/1", "--steps=2",
        ],
        "attribution": [
            "actprobe-attribute", *svd, f"--input={manifest}", "--excerpts=1", "--figures=2",
            "--methods=gradient_x_input,grad_cam",
        ],
        "evaluation": [
            "actprobe-evaluate-inverters", *svd, f"--input={manifest}", "--draws=1",
            "--excerpts_per_recording=1", "--methods=gradient", "--gradient_steps=2", "--layers=conv1,fc8",
        ],
    }  # fmt: skip


def make_runs(folder: Path) -> dict[str, Path]:
    """Run every analysis on the corpus; returns kind -> folder of the run."""
    calls = list(_calls(write_corpus(folder / "in")))
    done = subprocess.run(
        [sys.executable, __file__, folder], capture_output=True, text=True, check=False, cwd=folder
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {kind: folder / kind for kind in calls}


def _run_one_after_the_other(folder: Path) -> None:
    """Run the binaries in this process, so that TensorFlow is loaded once for all of them."""
    from absl import app, flags

    import actprobe.flags  # noqa: F401 (defines flags that all binaries share)

    app.define_help_flags()
    shared = set(flags.FLAGS)
    for kind, (name, *options) in _calls(folder / "in/manifest.csv").items():
        sys.argv = [str(ROOT / "bin" / name), *options, f"--output_dir={folder / kind}"]
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as ended:
            if ended.code:
                raise
        for flag in set(flags.FLAGS) - shared:
            delattr(flags.FLAGS, flag)


if __name__ == "__main__":
    _run_one_after_the_other(Path(sys.argv[1]))
