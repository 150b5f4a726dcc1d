"""What the report is made of: packed arrays, excerpts to hear, sentences, parts, and what it refuses."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from numpy.typing import ArrayLike, NDArray
from PIL import Image

import actprobe
from actprobe import backend
from actprobe.analyses.neurons.merged import open_merged
from actprobe.corpora import Recording, named
from actprobe.corpora.phantom import write_phantom
from actprobe.errors import CorpusError, UsageError
from actprobe.explorer.assets import Assets, packed, packed_unit_range
from actprobe.explorer.clips import Clips
from actprobe.explorer.findings import cautions, finding
from actprobe.explorer.inversion_part import errors_of, excerpt_of, inversion_part
from actprobe.explorer.layers_part import layers_part
from actprobe.explorer.neurons_part import DOTS, neurons_part
from actprobe.explorer.page import report
from actprobe.explorer.reading import ShownRun, shown_runs
from actprobe.frontends import SvdFrontEnd
from actprobe.models.record import layer_table, network_record
from actprobe.plotting import colour_table

RATE = 22050


def provided(path: Path) -> Any:
    """Read what a data file hands to the page."""
    text = path.read_text("utf-8")
    start = text.index(",") + 1
    return json.loads(text[start : text.rindex(")")])


def unpack(value: dict[str, Any]) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(value["base64"]), value["dtype"]).reshape(value["shape"])


def write_run(directory: Path, record: dict[str, Any], **tables: pd.DataFrame) -> ShownRun:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "run.json").write_text(json.dumps({"model": "svd", **record}))
    for name, table in tables.items():
        if name in ("neurons", "maps"):
            table.to_parquet(directory / f"{name}.parquet")
        else:
            table.to_csv(directory / f"{name}.csv", index=False)
    (run,) = shown_runs([directory])
    return run


def neuron_table(values: ArrayLike = (0.9, -0.2, np.nan), feature: str = "loudness") -> pd.DataFrame:
    r = np.array(values)
    known = np.isfinite(r)
    return pd.DataFrame(
        {
            "model": "svd", "layer": "fc8", "neuron": np.arange(len(r)), "feature": feature, "n": 6, "r": r,
            "r_low": r - 0.1, "r_high": r + 0.05, "p": np.where(known, 0.01, np.nan),
            "q": np.where(np.abs(r) > 0.5, 0.01, np.where(known, 0.9, np.nan)), "p_max": 0.03, "l2": 1.0,
            "r_random": 0.1,
        }
    )  # fmt: skip


def level_table(permuted: float = 0.6, random: tuple[float, float] = (0.4, -0.5)) -> pd.DataFrame:
    rows = [
        {
            "layer": "fc8",
            "feature": "loudness",
            "weights": "model",
            "neurons": 3,
            "null_95": permuted,
            "best_r": 0.9,
        }
    ]
    rows += [
        {
            "layer": "fc8",
            "feature": "loudness",
            "weights": f"random {i}",
            "neurons": 3,
            "null_95": np.nan,
            "best_r": r,
        }
        for i, r in enumerate(random)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def neuron_run(tmp_path: Path) -> Any:
    """A neuron run of six recordings and 70 neurons, with sound, written as a run leaves it."""
    return write_neuron_run(tmp_path / "run", recordings=6, neurons=70)


def write_neuron_run(
    directory: Path, recordings: int, neurons: int, unit: str = "recording", examples: int = 4
) -> Any:
    rng = np.random.default_rng(0)
    corpus = directory / "corpus"
    corpus.mkdir(parents=True)
    names = [f"r{i}.wav" for i in range(recordings)]
    for i, name in enumerate(names):
        soundfile.write(
            corpus / name, 0.1 * np.sin(2 * np.pi * 300 * (i + 1) * np.arange(3 * RATE) / RATE), RATE
        )
    folder = directory / "merged/0"
    folder.mkdir(parents=True)
    table = pd.DataFrame({"path": names, "seconds": 3.0, "examples": examples})
    table.to_parquet(folder / "recordings.parquet")
    of = np.arange(recordings) if unit == "recording" else np.repeat(np.arange(recordings), examples)
    starts = np.zeros(len(of)) if unit == "recording" else np.tile(np.arange(examples) * 0.4, recordings)
    units = pd.DataFrame({"path": [names[i] for i in of], "recording": of, "start_seconds": starts})
    units["loudness"] = rng.normal(size=len(of))
    units.to_parquet(folder / "units.parquet")
    values = rng.normal(size=(recordings, examples, neurons)).astype(np.float32)
    mean = values.mean(axis=1, dtype=np.float64) if unit == "recording" else values.reshape(-1, neurons)
    places = {"max": values.argmax(axis=1), "min": values.argmin(axis=1)}
    arrays = {"mean": mean}
    for name, at in places.items():
        arrays[name] = np.take_along_axis(values, at[:, None], axis=1)[:, 0]
        arrays[f"{name}_at"], arrays[f"{name}_seconds"] = at.astype(np.int32), at * 0.4
    for name, array in arrays.items():
        np.save(folder / f"0-{name}.npy", array)
    np.save(folder / "starts.npy", np.tile(np.arange(examples) * 0.4, recordings))
    index = {
        "folder": "0", "model": "svd", "unit": unit, "layers": ["fc8"], "features": ["loudness"],
        "random_seeds": [], "example_seconds": 1.0,
    }  # fmt: skip
    (directory / "merged/index.json").write_text(json.dumps(index))
    r = np.linspace(0.95, -0.3, neurons)
    record = {
        "corpus": str(corpus), "unit": unit, "layers": ["fc8"],
        "features": {"loudness": {"unit": "", "description": "x"}},
    }  # fmt: skip
    ledger = pd.DataFrame({"path": names, "status": "ok", "reason": "", "warning": "", "seconds": 3.0})
    return write_run(directory, record, neurons=neuron_table(r), layers=level_table(), recordings=ledger)


@pytest.mark.parametrize("dtype", ["float32", "int32", "uint16", "uint8"])
def test_packed_arrays_come_back(dtype: str) -> None:
    values = np.arange(12).reshape(3, 4)
    assert np.array_equal(unpack(packed(values, dtype)), values)


def test_rows_are_packed_to_a_65535th_of_their_own_range() -> None:
    values = np.random.default_rng(0).normal(size=(5, 400)) * 10.0 ** np.arange(-2, 3)[:, None]
    values[3] = 7.5  # constant
    found = packed_unit_range(values)
    low, high = (np.array(found[name])[:, None] for name in ("low", "high"))
    assert np.all(np.abs(low + (high - low) * unpack(found) / 65535 - values) <= (high - low) / 65535)


def test_what_json_cannot_say_becomes_null(tmp_path: Path) -> None:
    assets = Assets(tmp_path / "assets")
    path = assets.data(
        "../a key </script>", {"x": [np.nan, np.float32(1), np.int64(2), np.bool_(True), float("inf")]}
    )
    assert provided(tmp_path / path) == {"x": [None, 1.0, 2, True, None]}
    assert (tmp_path / path).parent == tmp_path / "assets/data"


def test_an_excerpt_holds_the_sound_of_its_place(tmp_path: Path) -> None:
    time = np.arange(4 * RATE) / RATE
    soundfile.write(tmp_path / "x.wav", 0.3 * np.sin(2 * np.pi * np.where(time < 2, 500, 2000) * time), RATE)
    clips = Clips(Assets(tmp_path / "assets"), 1 << 20)
    made = clips.cut(
        [(tmp_path / "x.wav", 0.5, 1.5), (tmp_path / "x.wav", 2.5, 3.5), (tmp_path / "gone.wav", 0, 1)]
    )
    assert len(made) == 2
    heard = []
    for path in made.values():
        samples, rate = soundfile.read(tmp_path / path)
        assert 0.9 < len(samples) / rate < 1.2
        heard.append(np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples))
    assert heard == pytest.approx([500, 2000], abs=5)


def test_sound_keeps_within_its_budget(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 30 * RATE), RATE)
    wanted = [(tmp_path / "x.wav", float(i), float(i) + 1) for i in range(30)]
    clips = Clips(Assets(tmp_path / "assets"), 50_000)
    made = clips.cut(wanted)
    assert list(made) == wanted[: len(made)]
    sizes = [(tmp_path / path).stat().st_size for path in made.values()]
    assert 40_000 < sum(sizes) <= 50_000 * 1.1
    assert Clips(Assets(tmp_path / "silent"), 0).cut(wanted) == {}
    assert Clips(Assets(tmp_path / "silent"), 0).whole(tmp_path / "x.wav") is None


def test_the_neurons_part_says_what_the_run_found(neuron_run: ShownRun, tmp_path: Path) -> None:
    report = tmp_path / "report"
    assets = Assets(report / "assets")
    data = provided(report / neurons_part(neuron_run, assets, Clips(assets, 1 << 22)))
    table = neuron_run.table
    assert np.allclose(unpack(data["table"]["r"]), table["r"])
    assert len(data["chunks"]["fc8"]["paths"]) == 2  # 70 neurons, 64 at a time
    merged = open_merged(neuron_run.folder)
    chunk = provided(report / data["chunks"]["fc8"]["paths"][1])
    low, high = chunk["activity"]["low"][3], chunk["activity"]["high"][3]
    values = low + (high - low) * unpack(chunk["activity"])[3] / 65535
    assert np.allclose(values, merged.activity["fc8"][:, 67], atol=(high - low) / 65535)
    most = unpack(chunk["playlist"]["recordings"])[3, 0]
    highest = merged.extremes("fc8").highest[:, 67]
    assert most.tolist() == np.argsort(-highest, kind="stable")[:5].tolist()
    start = unpack(chunk["playlist"]["starts"])[3, 0, 0]
    assert start == pytest.approx(merged.extremes("fc8").highest_seconds[most[0], 67])
    first = provided(report / data["chunks"]["fc8"]["paths"][0])  # the strongest can be heard
    for recording, seconds in zip(
        unpack(first["playlist"]["recordings"])[0].ravel(),
        unpack(first["playlist"]["starts"])[0].ravel(),
        strict=True,
    ):
        assert (report / data["clips"][f"{recording}|{round(float(seconds) * 1000)}"]).is_file()


def test_many_excerpts_are_thinned_evenly_for_plots(tmp_path: Path) -> None:
    run = write_neuron_run(tmp_path / "run", recordings=5, neurons=3, unit="excerpt", examples=1000)
    assets = Assets(tmp_path / "report/assets")
    data = provided(tmp_path / "report" / neurons_part(run, assets, Clips(assets, 0)))
    assert data["all_units"] == 5000
    recording = unpack(data["unit_recording"])
    assert len(recording) == DOTS
    assert np.all(np.bincount(recording) == DOTS // 5)
    chunk = provided(tmp_path / "report" / data["chunks"]["fc8"]["paths"][0])
    assert chunk["activity"]["shape"] == [3, DOTS]


def test_the_finding_of_neurons_is_a_sentence_with_counts_interval_and_null(tmp_path: Path) -> None:
    """Constant neurons count among those of the network: 1 of 3, though only 2 have an r."""
    run = write_run(tmp_path / "a", {}, neurons=neuron_table(), layers=level_table())
    assert finding(run) == (
        "Over 6 recordings, 1 of 3 neurons correlate with loudness at a false discovery rate of 5 % per "
        "layer; the strongest is neuron 0 of fc8 with loudness, r = 0.90 (95 % interval 0.80 to 0.95), above "
        "the 95th percentile of max |r| under permutation (0.60)."
    )
    assert cautions(run) == [
        "With 6 recordings, a single one can produce a correlation or a match.",
        "1 of 3 neurons are constant over all recordings and have no correlation.",
    ]
    weak = write_run(tmp_path / "b", {}, neurons=neuron_table(), layers=level_table(permuted=0.95))
    assert "below the 95th percentile of max |r| under permutation (0.95)" in finding(weak)


def test_cautions_tell_of_strong_random_weights_and_of_a_missing_null(tmp_path: Path) -> None:
    levels = level_table(random=(0.3, -0.93))
    run = write_run(tmp_path / "a", {}, neurons=neuron_table(), layers=levels)
    assert "the strongest neuron of fc8 reaches |r| = 0.93 with loudness" in cautions(run)[-1]
    control = {"weights": {"kind": "seeded random", "seed": 0}}
    assert not any(
        "random weights" in text
        for text in cautions(write_run(tmp_path / "d", control, neurons=neuron_table(), layers=levels))
    )
    bare = write_run(tmp_path / "b", {}, neurons=neuron_table())
    assert cautions(bare)[-1] == "Nothing was permuted and no random weights were run: there is no null."
    nothing = write_run(tmp_path / "c", {}, neurons=neuron_table((np.nan, np.nan)))
    assert finding(nothing) == "No neuron could be compared with a feature: too few recordings, or all alike."


def evaluation_tables() -> dict[str, pd.DataFrame]:
    nre = pd.DataFrame(
        {
            "model": "svd", "layer": ["conv1", "fc8"] * 2, "corpus": "mir1k test", "excerpts": 10,
            "method": ["input", "input", "joint", "joint"], "nre": [0.2, 0.8, 0.3, 0.6], "nre_std": 0.01,
            "draws": 10,
        }
    )  # fmt: skip
    detail = nre[["layer", "method"]].assign(
        against=None, value=nre["nre"], low=nre["nre"] - 0.05, high=nre["nre"] + 0.05
    )
    more: list[Any] = [
        [None, "mean excerpt", None, 0.7, 0.65, 0.75],
        ["fc8", "joint", "input", -0.2, -0.3, -0.1],
        ["conv1", "input", "mean excerpt", -0.5, -0.55, -0.45],
        ["fc8", "input", "mean excerpt", 0.1, 0.05, 0.15],
        ["conv1", "joint", "mean excerpt", -0.4, -0.45, -0.35],
        ["fc8", "joint", "mean excerpt", -0.1, -0.15, -0.05],
    ]
    for row in more:
        detail.loc[len(detail)] = row
    return {"nre": nre, "nre_detail": detail.assign(measure="nre", **{"class": "all"})}


@pytest.mark.parametrize("name", ["input", "corpus"])
def test_a_corpus_is_named_alike_from_the_command_line_and_from_python(name: str, tmp_path: Path) -> None:
    record = {"corpus": "folder", "flags": {name: "/somewhere/songs/manifest.csv"}}
    run = write_run(tmp_path / "run", record, nre=pd.DataFrame({"layer": ["fc8"]}))
    assert run.corpus_name == "songs/manifest.csv"


def test_an_evaluation_is_held_against_the_mean_excerpt(tmp_path: Path) -> None:
    run = write_run(tmp_path, {}, **evaluation_tables())
    assert run.kind == "evaluation"
    assert finding(run) == (
        "With input, the NRE is lowest from conv1 (0.20) and highest from fc8 (0.80); with joint, the NRE is "
        "lowest from conv1 (0.30) and highest from fc8 (0.60); 3 of 4 inversions have a lower NRE than the "
        "mean excerpt (0.70), with a 95 % interval of the difference below 0."
    )
    errors = errors_of(run)
    assert errors["baselines"] == [{"method": "mean excerpt", "value": 0.7}]
    assert [each["value"] for each in errors["differences"]] == [-0.2]  # those of methods
    layers = {layer["name"]: layer for layer in layers_part([run])[0]["layers"]}
    assert [fact["low"] for fact in layers["fc8"]["found"]] == pytest.approx([0.75, 0.55])
    assert layers["conv1"]["shape"] == "113 frames by 78 bands, 64 channels"


def test_an_evaluation_is_held_against_the_linear_readout(tmp_path: Path) -> None:
    tables = evaluation_tables()
    readout = tables["nre"].iloc[:2].assign(method="linear readout", nre=[0.1, 0.9])
    tables["nre"] = pd.concat([tables["nre"], readout], ignore_index=True)
    rows = tables["nre_detail"]
    for layer, method, against, value in (
        ("conv1", "linear readout", None, 0.1),
        ("fc8", "linear readout", None, 0.9),
        ("conv1", "joint", "linear readout", 0.2),
        ("fc8", "joint", "linear readout", -0.3),
        ("conv1", "linear readout", "mean excerpt", -0.6),
    ):
        rows.loc[len(rows)] = [layer, method, against, value, value - 0.05, value + 0.05, "nre", "all"]
    assert finding(write_run(tmp_path, {}, **tables)).endswith(
        "3 of 4 inversions have a lower NRE than the mean excerpt (0.70), with a 95 % interval of the "
        "difference below 0; 1 of 2 likewise have a lower one than the linear readout of their layer."
    )


def write_inversion(directory: Path, method: str = "joint") -> ShownRun:
    directory.mkdir(parents=True)
    rng = np.random.default_rng(1)
    spectrograms = {name: rng.normal(size=(115, 80)).astype(np.float32) for name in ("input", "fc8")}
    np.savez(
        directory / "inversion.npz",
        **spectrograms,
        times=2 + np.arange(115) / 70,
        bands_hz=np.geomspace(50, 7700, 80),
    )
    (directory / "sounds").mkdir()
    for name in ("original", "input", "fc8", "fc8-own-phase"):
        soundfile.write(directory / f"sounds/{name}.wav", 0.1 * rng.normal(size=RATE), RATE)
    layers = {"input": {"output": 0.49}, "fc8": {"output": 0.4, "error": 0.7}}
    record = {
        "flags": {"input": "music/a song.mp3"}, "layers": layers, "threshold": 0.48,
        "inverters": [{"method": method, "layer": "fc8"}], "start_seconds": 2.0, "span_seconds": 1.68,
    }  # fmt: skip
    return write_run(directory, record)


def test_methods_of_one_excerpt_stand_side_by_side(tmp_path: Path) -> None:
    runs = [
        write_inversion(tmp_path / "a"),
        write_inversion(tmp_path / "b", "input"),
    ]
    assets = Assets(tmp_path / "report/assets")
    part = inversion_part([], [excerpt_of(run) for run in runs], assets, Clips(assets, 1 << 22))
    assert part is not None
    data = provided(tmp_path / "report" / part["data"])
    assert [each["title"] for each in data["excerpts"]] == ["a song.mp3 at 2.00 s"]
    assert data["excerpts"][0]["voice"] is True
    excerpt = provided(tmp_path / "report" / data["excerpts"][0]["path"])
    assert [(panel["layer"], panel["method"]) for panel in excerpt["panels"]] == [
        ("input", None), ("fc8", "joint"), ("fc8", "input"),
    ]  # fmt: skip
    assert set(excerpt["panels"][0]["sounds"]) == {"estimated", "recording"}
    sound = tmp_path / "report" / excerpt["panels"][1]["sounds"]["original"]
    kept, _ = soundfile.read(sound, dtype="int16")
    original, _ = soundfile.read(tmp_path / "a/sounds/fc8-own-phase.wav", dtype="int16")
    assert np.array_equal(kept, original)
    places = [place for place, _ in excerpt["ticks"]]
    assert places == sorted(places)
    assert 0 < places[0] < places[-1] < 1
    assert finding(runs[0]) == (
        "The inversion from fc8 has an error of 0.70; the output is 0.49 for the excerpt and 0.40 for its "
        "inversions."
    )


def test_the_overview_opens_with_a_picture_of_each_part_that_links_to_it(
    neuron_run: ShownRun, tmp_path: Path
) -> None:
    """The NRE of the evaluation stands under the inversions; without inversions it is drawn itself."""
    evaluated = write_run(tmp_path / "evaluation", {}, **evaluation_tables())
    inverted = write_inversion(tmp_path / "inversion")
    page = report(neuron_run.folder, evaluated.folder, inverted.folder, output_dir=tmp_path).path
    overview = page.read_text("utf-8").split('<section id="neurons"')[0]
    cards = re.findall(r'<a href="#part=(\w+)"><h2>([\w ]+)</h2>\s*<(svg|span) class="(\w+)"', overview)
    assert cards == [
        ("neurons", "Neurons", "svg", "chart"),
        ("inversion", "Feature inversion", "span", "strip"),
    ]
    scatter = re.search(r'<path class="dots" d="([^"]+)"', overview)
    assert scatter is not None
    assert scatter[1].count("h0") == 6  # recordings
    assert overview.count('<path class="random"') == 2
    assert '<rect class="null"' in overview
    assert "95th percentile of max |r| under permutation (0.60)" in overview
    pictures = re.findall(r'<img src="([^"]+)" alt=""><strong>(\w+)</strong> ([^<]*)<', overview)
    assert [(layer, told) for _, layer, told in pictures] == [("input", ""), ("fc8", "NRE 0.60")]
    with Image.open(page.parent / pictures[0][0]) as image:
        assert image.size == (115, 80)
        assert image.getpalette() == colour_table().ravel().tolist()
    assert overview.count('<p class="finding">') == 2
    assert f"<bdi>Feature inversion of svd, {evaluated.corpus_name}</bdi>: With input, the NRE" in overview
    alone = report(evaluated.folder, output_dir=tmp_path / "alone").path.read_text("utf-8")
    assert alone.count('<circle class="strongest method') == 4
    assert "dashed: the mean excerpt (0.70)" in alone


def test_the_page_paints_in_the_colour_map_of_the_figures(tmp_path: Path) -> None:
    assets = Assets(tmp_path / "report/assets")
    part = inversion_part([], [excerpt_of(write_inversion(tmp_path / "a"))], assets, Clips(assets, 0))
    assert part is not None
    data = provided(tmp_path / "report" / part["data"])
    assert np.array_equal(unpack(data["colours"]).reshape(256, 3), colour_table())


def test_failed_recordings_and_controls_are_on_the_page(neuron_run: ShownRun, tmp_path: Path) -> None:
    ledger = neuron_run.recordings
    failed: Any = ["<b>bad</b>.wav", "failed", "is <empty>", "", np.nan]
    ledger.loc[len(ledger)] = failed
    ledger.to_csv(neuron_run.folder / "recordings.csv", index=False)
    record = json.loads((neuron_run.folder / "run.json").read_text())
    record["weights"] = {"kind": "seeded random", "seed": 3}
    (neuron_run.folder / "run.json").write_text(json.dumps(record))
    page = report(neuron_run.folder, output_dir=tmp_path / "out").path.read_text("utf-8")
    assert "&lt;b&gt;bad&lt;/b&gt;.wav" in page
    assert "is &lt;empty&gt;" in page
    assert "6 of 7 recordings of corpus" in page
    control, cards, provenance = (
        page.index(text) for text in ("Control: random weights.", '<div class="findings">', "<details class=")
    )
    assert control < cards < provenance
    assert "seed None" not in page
    assert "default-src 'none'" in page
    assert "http://" not in page
    assert "https://" not in page


def test_a_report_is_replaced_whole_or_not_at_all(neuron_run: ShownRun, tmp_path: Path) -> None:
    index = report(neuron_run.folder, output_dir=tmp_path).path
    assert "Plotly" in (index.parent / "assets/plotly.LICENSE.txt").read_text("utf-8")
    (index.parent / "assets/data/stale.js").touch()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/run.json").write_text("{}")
    (tmp_path / "broken/neurons.parquet").write_bytes(b"no")
    with pytest.raises(CorpusError, match="is not a readable table"):
        report(neuron_run.folder, tmp_path / "broken", output_dir=tmp_path)
    assert (index.parent / "assets/data/stale.js").exists()
    report(neuron_run.folder, output_dir=tmp_path)
    assert not (index.parent / "assets/data/stale.js").exists()
    assert not list(tmp_path.glob(".report-*"))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "holds no finished run"),
        ({"run.json": "{"}, "its run.json is damaged"),
        ({"run.json": "{}"}, "holds none of"),
        ({"run.json": "[]", "nre.csv": "a"}, "its run.json is damaged"),
        ({"run.json": "{}", "nre.csv": "a,b\n1,2\n"}, "does not hold what a run of its kind leaves"),
        ({"run.json": "{}", "inversion.npz": "x"}, "is not a readable inversion"),
    ],
)
def test_a_folder_that_is_no_finished_run_is_refused(
    tmp_path: Path, files: dict[str, Any], said: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(CorpusError, match=said):
        report(tmp_path, output_dir=tmp_path / "out")
    assert not (tmp_path / "out/report").exists()


def test_a_report_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        report(output_dir=tmp_path)
    with pytest.raises(CorpusError, match="does not exist"):
        report(tmp_path / "nowhere", output_dir=tmp_path)


def test_a_title_wider_than_its_figure_takes_several_lines() -> None:
    from matplotlib.figure import Figure

    from actprobe.plotting import set_title

    figure = Figure(figsize=(4, 3))
    set_title(figure, "a recording with a long name, " * 4 + "\nits second line")
    figure.canvas.draw()
    box = figure.get_suptitle()
    assert box.count("\n") >= 3
    assert box.endswith("\nits second line")
    (title,) = [text for text in figure.texts if text.get_text() == box]
    extent = title.get_window_extent()
    assert extent.x0 >= 0
    assert extent.x1 <= figure.bbox.x1


def test_a_report_takes_results_and_folders_and_shows_a_link(neuron_run: ShownRun, tmp_path: Path) -> None:
    other = write_run(tmp_path / "evaluation", {}, **evaluation_tables())
    written = actprobe.report(neuron_run.result, str(other.folder), output_dir=str(tmp_path / "out"))
    assert written.path == tmp_path / "out/report/index.html"
    page = written.path.read_text("utf-8")
    assert "<h1>Analysis of svd</h1>" in page
    assert "Neurons of svd, corpus" in page
    assert "Feature inversion of svd, " in page
    assert f'href="{written.path.as_uri()}"' in written._repr_html_()


def test_runs_of_a_kind_are_numbered_and_other_kinds_are_refused(
    neuron_run: ShownRun, tmp_path: Path
) -> None:
    other = write_run(tmp_path / "evaluation", {}, **evaluation_tables())
    shown = shown_runs([neuron_run.folder, other.folder, neuron_run.result])
    assert [run.key for run in shown] == ["neurons-1", "evaluation-1", "neurons-2"]
    assert [run.place for run in shown] == [0, 0, 1]
    (tmp_path / "stored").mkdir()
    (tmp_path / "stored/run.json").write_text("{}")
    (tmp_path / "stored/recordings.csv").write_text("path,status\n")
    with pytest.raises(CorpusError, match="holds a run of kind activations; a report shows neurons, maps,"):
        report(tmp_path / "stored", output_dir=tmp_path)


@pytest.fixture(scope="module")
def own_model() -> actprobe.Model:
    """A network of one's own, with a layer of which nobody knows what it sees."""
    layers = backend.keras.layers
    backend.keras.utils.set_random_seed(0)
    network = backend.keras.Sequential(
        [
            layers.Input((115, 80, 1)),
            layers.Conv2D(3, (5, 3), activation="relu", name="edges"),
            layers.MaxPooling2D((4, 4), name="coarse"),
            layers.Permute((2, 1, 3), name="turned"),
            layers.Flatten(name="flat"),
            layers.Dense(4, activation="softmax", name="classes"),
        ],
        name="ours",
    )
    return actprobe.wrap_model(network, SvdFrontEnd(hop=20), outputs=["a", "b", "c", "d"])


def test_a_network_describes_itself_in_run_json(own_model: Any) -> None:
    record = json.loads(json.dumps(network_record(own_model), allow_nan=False))
    assert [output["label"] for output in record["outputs"]] == ["a", "b", "c", "d"]
    assert record["weights"]["kind"] == "user model"
    assert any(row["receptive_field_seconds"] is None for row in record["layer_table"])
    again = layer_table("ours", record["layer_table"])
    for layer, same in zip(own_model.layers.values(), again.values(), strict=True):
        assert repr(replace(same, tensor=layer.tensor)) == repr(layer)


def test_a_network_of_ones_own_has_its_layers_part(own_model: Any, tmp_path: Path) -> None:
    corpus = write_phantom(tmp_path / "corpus", recordings=4, seconds=2)
    found = actprobe.neurons(
        own_model, corpus, layers=["edges", "classes"], features=["loudness"], output_dir=tmp_path / "run",
        permutations=0, random_seeds=0, figures=0, executor="local:1",
    )  # fmt: skip
    (network,) = layers_part(shown_runs([found.folder]))
    assert network["model"] == "ours"
    layers = {layer["name"]: layer for layer in network["layers"]}
    assert layers["edges"]["shape"] == "111 frames by 78 bands, 3 channels"
    assert "receptive field 104 ms" in layers["edges"]["sight"]  # 4 hops of 315 samples, a window of 1024
    assert layers["edges"]["found"][0]["link"].startswith("#neuron=ours/edges/")
    assert layers["turned"]["sight"] == "Permute; receptive field unknown"
    page = report(found, output_dir=tmp_path).path.read_text("utf-8")
    assert '<a href="#part=layers">Layers</a>' in page
    assert 'id="layer=ours/classes"' in page
    assert "weights of a user&#39;s own model (sha256 " in page
    assert "seed None" not in page.split("run.json</summary>")[0]
    assert "nan" not in page.split('id="layers"')[1]


def open_ours(folder: Path, split: Any = None) -> list[Recording]:
    """Stand in for the module of a corpus whose names are not paths."""
    paths = sorted(Path(folder).glob("audio/*.wav"))
    return [Recording(path.stem, path, {"number": path.stem[-1]}) for path in paths]


def test_a_corpus_of_ones_own_is_a_line_of_the_registry_from_analysis_to_sound(
    own_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(named.CORPORA, "ours", named.NamedCorpus(f"{__name__}:open_ours"))
    write_phantom(tmp_path / "data/audio", recordings=4, seconds=2)
    found = actprobe.neurons(
        own_model, f"ours:{tmp_path / 'data'}", layers=["classes"], features=["number", "loudness"],
        output_dir=tmp_path / "run", permutations=0, random_seeds=0, figures=0, executor="local:1",
    )  # fmt: skip
    assert found.recordings["path"].tolist() == [f"phantom_{number:05}" for number in range(4)]
    assert found.recordings["number"].astype(float).tolist() == [0, 1, 2, 3]
    (run,) = shown_runs([found])
    assert run.recording_path("phantom_00002") == tmp_path / "data/audio/phantom_00002.wav"
    assert run.recording_path("phantom_00009") is None
    assert list(report(found, output_dir=tmp_path).path.parent.glob("assets/audio/*.mp3"))
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    assert shown_runs([found])[0].recording_path("phantom_00002") is None


def test_runs_of_before_have_the_layers_that_the_name_of_their_network_tells(neuron_run: ShownRun) -> None:
    (network,) = layers_part([neuron_run])
    assert network["model"] == "svd"
    assert [layer["found"] != [] for layer in network["layers"] if layer["name"] == "fc8"] == [True]
    neuron_run.record["model"] = "unheard of"
    assert layers_part([neuron_run]) == []
