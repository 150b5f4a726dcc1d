#!/usr/bin/env python3
"""How fast does a large report open? 1,000 recordings, 4,096 neurons, two features, with excerpts to hear.

    benchmarks/report.py [--recordings=1000] [--neurons=4096] [--keep=FOLDER]

Writes a synthetic neuron run (noise in place of activations, tones in place of recordings), makes its report
and opens it in Chromium from a file. Prints sizes, the time that making takes, and for a fresh browser the
time from navigation until the overview and until the table of neurons is on the screen, and until a neuron's
plots are drawn: medians of several.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile

sys.path.append(str(Path(__file__).resolve().parents[1]))  # lets a checkout find itself

RATE = 22050
SECONDS = 12
EXAMPLE_SECONDS = 10.0
FEATURES = ("onset_rate", "loudness")


def write_run(folder: Path, recordings: int, neurons: int) -> None:
    """Write a finished neuron run."""
    rng = np.random.default_rng(0)
    corpus = folder / "corpus"
    corpus.mkdir(parents=True)
    times = np.arange(SECONDS * RATE) / RATE
    names = [f"recording {i:04d} of a corpus.flac" for i in range(recordings)]
    for i, name in enumerate(names):
        tone = 0.2 * np.sin(2 * np.pi * (100 + i) * times) + 0.02 * rng.normal(size=len(times))
        soundfile.write(corpus / name, tone, RATE)
    merged = folder / "merged/0"
    merged.mkdir(parents=True)
    pd.DataFrame({"path": names, "seconds": float(SECONDS), "examples": 2}).to_parquet(
        merged / "recordings.parquet"
    )
    units = pd.DataFrame({"path": names, "recording": np.arange(recordings), "start_seconds": 0.0})
    for name in FEATURES:
        units[name] = rng.normal(size=recordings)
    units.to_parquet(merged / "units.parquet")
    for name in ("mean", "max", "min"):
        np.save(merged / f"0-{name}.npy", rng.normal(size=(recordings, neurons)).astype(np.float32))
    for name in ("max", "min"):
        at = rng.integers(0, 2, size=(recordings, neurons)).astype(np.int32)
        np.save(merged / f"0-{name}_at.npy", at)
        np.save(merged / f"0-{name}_seconds.npy", at * 2.0)
    np.save(merged / "starts.npy", np.tile([0.0, 2.0], recordings))
    index = {
        "folder": "0", "model": "vggish", "unit": "recording", "layers": ["fc1_1"],
        "features": list(FEATURES),
        "random_seeds": [], "example_seconds": EXAMPLE_SECONDS,
    }  # fmt: skip
    (folder / "merged/index.json").write_text(json.dumps(index))
    count = neurons * len(FEATURES)
    r = rng.normal(scale=0.1, size=count)
    table = pd.DataFrame(
        {"model": "vggish", "layer": "fc1_1", "neuron": np.repeat(np.arange(neurons), len(FEATURES))}
    )
    table = table.assign(
        feature=np.tile(FEATURES, neurons), n=recordings, r=r, r_low=r - 0.06, r_high=r + 0.06
    )
    table = table.assign(p=0.5, q=0.9, p_max=0.5, l2=1.4, r_random=0.0)
    table.to_parquet(folder / "neurons.parquet")
    ledger = pd.DataFrame({"path": names, "status": "ok", "reason": "", "warning": "", "seconds": SECONDS})
    ledger.to_csv(folder / "recordings.csv", index=False)
    described = {name: {"unit": "", "description": "noise"} for name in FEATURES}
    record = {"model": "vggish", "corpus": str(corpus), "layers": ["fc1_1"], "features": described}
    (folder / "run.json").write_text(json.dumps(record))


def browser() -> Any:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
    ):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


def opening_seconds(url: str, ready: str) -> float:
    """Open an address in a fresh browser; seconds from navigation until an expression holds."""
    driver = browser()
    try:
        driver.set_script_timeout(120)
        driver.get("about:blank")
        driver.get(url)
        seconds = driver.execute_async_script(
            "const done = arguments[0];"
            f"const look = () => {{ if ({ready}) requestAnimationFrame(() => done(performance.now() / 1000));"
            " else requestAnimationFrame(look); }; look();"
        )
        return float(seconds)
    finally:
        driver.quit()


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--recordings", type=int, default=1000)
    parser.add_argument("--neurons", type=int, default=4096)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="folder that stays")
    flags = parser.parse_args()
    from actprobe import report

    with tempfile.TemporaryDirectory() as scratch:
        folder = flags.keep or Path(scratch)
        write_run(folder / "run", flags.recordings, flags.neurons)
        began = time.perf_counter()
        index = report(folder / "run", output_dir=folder).path
        made = time.perf_counter() - began
        files = [path for path in index.parent.rglob("*") if path.is_file()]
        sizes = {path: path.stat().st_size for path in files}
        sound = sum(size for path, size in sizes.items() if path.suffix in (".mp3", ".flac"))
        clips = sum(path.suffix in (".mp3", ".flac") for path in files)
        print(f"{flags.recordings} recordings, {flags.neurons} neurons, {len(FEATURES)} features")
        print(f"  made in {made:.1f} s")
        print(f"  {sum(sizes.values()) / 1e6:.1f} MB in {len(files)} files (limit 60 MB)")
        print(f"  {sound / 1e6:.1f} MB of them are {clips} excerpts to hear")
        shown = "document.querySelector('main > section:not([hidden])')"
        rows = "document.querySelectorAll('#neurons .rows .row').length > 10"
        plots = "document.querySelectorAll('#neurons .detail .main-svg').length >= 3"
        for what, fragment, ready in (
            ("overview", "", shown),
            ("table of neurons", "#part=neurons", rows),
            ("one neuron with its plots", "#neuron=vggish/fc1_1/1964", plots),
        ):
            seconds = [opening_seconds(index.as_uri() + fragment, ready) for _ in range(flags.times)]
            spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
            print(f"  {what}: {statistics.median(seconds):.2f} s (limit 2 s; {spread})")


if __name__ == "__main__":
    main()
