"""Stored activations and examples take the place of a network and of a front end, one npz a recording."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import actprobe
from actprobe.corpora.phantom import write_phantom
from actprobe.errors import ActprobeError, AudioError, CorpusError, UsageError
from actprobe.frontends import LogMelFrontEnd, StoredExamples, WaveformFrontEnd
from actprobe.frontends.described import frontend_described
from actprobe.frontends.stored_files import StoredFile, StoredFiles

FRONTEND = LogMelFrontEnd(n_mels=24, frames=50, hop=50)
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> actprobe.Corpus:
    return actprobe.open_corpus(write_phantom(tmp_path_factory.mktemp("corpus"), recordings=5, seconds=2.0))


def level(examples: NDArray[Any]) -> NDArray[Any]:
    """Two units: the mean of an example, and its opposite."""
    return np.stack([examples.mean(axis=(1, 2)), -examples.mean(axis=(1, 2))], axis=1)


@pytest.fixture
def stored(corpus: actprobe.Corpus, tmp_path: Path) -> Path:
    """What another framework computed: a vector, a sequence and a map."""
    folder = tmp_path / "stored"
    for recording in corpus:
        waveform = actprobe.load_audio(recording.path, sample_rate=FRONTEND.sample_rate)
        examples = FRONTEND(waveform)
        times = FRONTEND.example_starts(len(waveform.samples)) / FRONTEND.sample_rate
        halves = examples.reshape(len(examples), 25, 2, 12, 2).mean(axis=(2, 4))
        actprobe.save_activations(
            folder / Path(recording.name).with_suffix(".npz"), times=times, examples=examples,
            frontend=FRONTEND, level=level(examples), steps=examples.mean(axis=2, keepdims=True),
            halves=halves[..., np.newaxis],
        )  # fmt: skip
    return folder


def test_layers_are_those_of_the_files(stored: Path) -> None:
    layers = actprobe.open_activations(stored).layers
    assert {layer.name: layer.shape for layer in layers.values()} == {
        "level": (2,), "steps": (50, 1, 1), "halves": (25, 12, 1),
    }  # fmt: skip
    assert layers["halves"].hop_seconds == pytest.approx(FRONTEND.example_samples / 16000 / 25)


def test_activations_are_looked_up_by_example(stored: Path, corpus: actprobe.Corpus) -> None:
    model = actprobe.open_activations(stored)
    waveform = actprobe.load_audio(corpus[2].path)
    examples = FRONTEND(waveform)
    order = np.arange(len(examples))[::-1]
    np.testing.assert_array_equal(
        model.activations(examples[order], ["level"])["level"], level(examples[order]).astype(np.float32)
    )
    with pytest.raises(UsageError, match="no activations of this example"):
        model.activations(examples + 1, ["level"])


def test_neurons_of_stored_activations_are_those_of_the_network(
    stored: Path, corpus: actprobe.Corpus, tmp_path: Path
) -> None:
    found = actprobe.neurons(
        actprobe.open_activations(stored), corpus, layers=["level", "halves"], features=["loudness"],
        output_dir=tmp_path / "out", permutations=20, figures=0,
    )  # fmt: skip
    wanted = [
        level(FRONTEND(actprobe.load_audio(each.path)).astype(np.float64)).mean(axis=0) for each in corpus
    ]
    np.testing.assert_allclose(found.activity["level"], wanted, rtol=1e-5)
    r = found.table.set_index(["layer", "neuron"])["r"]
    assert r["level", 0] == pytest.approx(-r["level", 1])
    assert found.table["r_random"].isna().all()


def test_a_recording_without_a_file_costs_only_itself(
    stored: Path, corpus: actprobe.Corpus, tmp_path: Path
) -> None:
    (stored / Path(corpus[1].name).with_suffix(".npz")).unlink()
    (stored / Path(corpus[2].name).with_suffix(".npz")).write_bytes(b"PK no more")
    found = actprobe.neurons(
        actprobe.open_activations(stored), corpus, layers=["level"], features=["loudness"],
        output_dir=tmp_path / "out", permutations=0, figures=0,
    )  # fmt: skip
    table = found.recordings.set_index("path")
    assert list(table["status"] == "failed") == [False, True, True, False, False]
    assert "there is no npz of it in" in table["reason"][corpus[1].name]
    assert "is not a readable npz" in table["reason"][corpus[2].name]


def test_activations_without_examples_are_enough_for_neurons_and_refused_for_inverters(
    corpus: actprobe.Corpus, tmp_path: Path
) -> None:
    folder = tmp_path / "stored"
    for number, recording in enumerate(corpus):
        name = Path(recording.name).with_suffix(".npz")
        actprobe.save_activations(folder / name, times=[0.0, 1.0], units=[[number, 1.0], [number, 3.0]])
    model = actprobe.open_activations(folder)
    found = actprobe.neurons(
        model, corpus, layers=["units"], features=["loudness"], output_dir=tmp_path / "out", figures=0
    )
    np.testing.assert_array_equal(found.activity["units"], [[number, 2.0] for number in range(5)])
    with pytest.raises(UsageError, match="store them as `examples`"):
        actprobe.train_inverter(
            model,
            corpus,
            layer="units",
            loss="input",
            epochs=1,
            steps_per_epoch=1,
            output_dir=tmp_path / "inv",
        )
    with pytest.raises(UsageError, match="not a map"):
        actprobe.maps(model, corpus, layers=["units"], output_dir=tmp_path / "maps")
    with pytest.raises(UsageError, match="give its recordings"):
        actprobe.neurons(model, layers=["units"], output_dir=tmp_path / "none")


def test_inverters_are_evaluated_by_a_network_that_computes(
    stored: Path, corpus: actprobe.Corpus, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="known by its stored activations alone"):
        actprobe.evaluate_inverters(actprobe.open_activations(stored), corpus, output_dir=tmp_path / "nre")


def test_maps_without_a_front_end_say_what_is_missing(corpus: actprobe.Corpus, tmp_path: Path) -> None:
    name = Path(corpus[0].name).with_suffix(".npz").name
    actprobe.save_activations(tmp_path / name, times=[0.0], conv=np.ones((1, 4, 4, 1)))
    with pytest.raises(UsageError, match="where its positions lie in the sound is not known"):
        actprobe.maps(
            actprobe.open_activations(tmp_path), corpus, layers=["conv"], output_dir=tmp_path / "maps"
        )


def test_activations_of_a_run_take_its_front_end_along(corpus: actprobe.Corpus, tmp_path: Path) -> None:
    network = actprobe.load_model("svd", seed=1, hop=20)
    actprobe.activations(network, corpus, layers=["conv1", "fc9"], output_dir=tmp_path)
    model = actprobe.open_activations(tmp_path)
    assert model.name == "svd"
    assert isinstance(model.frontend, StoredExamples)
    assert model.frontend.described_by is not None
    assert model.frontend.described_by.describe() == network.frontend.describe()
    assert model.layers["conv1"] == network.layers["conv1"]
    examples = model.frontend.of(corpus[0].path).examples(np.zeros(1, np.float32))
    np.testing.assert_array_equal(examples, network.frontend(actprobe.load_audio(corpus[0].path)))
    np.testing.assert_allclose(
        model.activations(examples, ["fc9"])["fc9"], network.activations(examples, ["fc9"])["fc9"], atol=1e-5
    )


def test_stored_examples_take_the_place_of_a_front_end(stored: Path, corpus: actprobe.Corpus) -> None:
    keras = actprobe.backend.keras
    network = keras.Sequential([keras.layers.Input((50, 24, 1)), keras.layers.Conv2D(2, 3, name="conv")])
    here = actprobe.wrap_model(network, StoredExamples(stored, described_by=FRONTEND))
    there = actprobe.wrap_model(network, FRONTEND)
    waveform = actprobe.load_audio(corpus[0].path, sample_rate=16000)
    examples = here.frontend.of(corpus[0].path).examples(waveform.samples)
    np.testing.assert_array_equal(
        here.activations(examples, ["conv"])["conv"],
        there.activations(there.frontend(waveform), ["conv"])["conv"],
    )
    with pytest.raises(
        UsageError, match=r"its examples have the shape \[50, 24\], but log_mel gives \[60, 24\]"
    ):
        StoredExamples(stored, described_by=LogMelFrontEnd(n_mels=24, frames=60))


class Tensor:
    """A tensor on another device, with gradients, as PyTorch has them."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def detach(self) -> "Tensor":
        return self

    def cpu(self) -> Any:
        return self.values


def test_tensors_are_saved(tmp_path: Path) -> None:
    layers: dict[str, Any] = {"features.0": Tensor(np.ones((1, 3)))}
    actprobe.save_activations(tmp_path / "a.npz", times=[0.0], **layers)
    file = StoredFile(tmp_path / "a.npz")
    assert file.layers == ["features.0"]
    np.testing.assert_array_equal(file.array("features.0"), np.ones((1, 3)))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"times": [1.0, 0.5], "a": [[1.0], [2.0]]}, "ascending seconds"),
        ({"times": [0.0]}, "name at least one layer"),
        ({"times": [0.0], "a": [[1.0], [2.0]]}, "with 1 examples"),
        ({"times": [0.0], "a": ["text"]}, "numbers"),
        ({"times": [0.0], "facts": [[1.0]]}, "rename it"),
        ({"times": [0.0], "a": [[1.0]], "examples": [[1.0]]}, r"\[examples, time, mel\]"),
        ({"times": [0.0], "a": [[1.0]], "layer_times": {"a": [0.0]}}, "is not a map"),
    ],
)
def test_what_cannot_be_read_is_not_saved(given: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=reason):
        actprobe.save_activations(tmp_path / "a.npz", **given)
    assert not (tmp_path / "a.npz").exists()


def write(path: Path, **arrays: Any) -> Path:
    with path.open("wb") as file:
        np.savez(file, **arrays)
    return path


def lying(path: Path) -> Path:
    """Declare an array of a thousand gigabytes in a file of some bytes."""
    shape = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 250000), }"
    header = b"\x93NUMPY\x01\x00v\x00" + shape
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", header.ljust(128) + b"\0" * 64)
    return path


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: write(path, a=np.array([object()])), "not a plain array"),
        (lambda path: write(path, a=np.array(["text"])), "not numbers"),
        (lambda path: lying(path), "not a plain array of the size that it declares"),
        (lambda path: path.write_bytes(b"") or path, "not a readable npz"),
        (lambda path: path.mkdir() or path, "not a readable npz"),
        (lambda path: path, "not a readable npz"),
    ],
)
def test_a_hostile_file_is_refused_before_a_number_is_read(make: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=reason):
        StoredFile(make(tmp_path / "a.npz"))


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"a": np.ones((2, 3))}, "holds no times"),
        ({"times": np.array([1.0, 0.0]), "a": np.ones((2, 3))}, "do not ascend"),
        ({"times": np.array([0.0, np.nan]), "a": np.ones((2, 3))}, "finite seconds"),
        ({"times": np.array([0.0]), "a": np.ones((2, 3))}, "but there are 1 times"),
        ({"times": np.array([0.0]), "a": np.ones((1, 2, 2, 2, 2))}, "has shape"),
        ({"times": np.array([0.0])}, "holds no layer"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(arrays: dict[str, Any], reason: str, tmp_path: Path) -> None:
    write(tmp_path / "a.npz", **arrays)
    with pytest.raises(CorpusError, match=reason):
        actprobe.open_activations(tmp_path)


def test_activations_of_another_recording_are_recognised(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", times=np.array([0.0, 60.0]), a=np.ones((2, 3)))
    frontend = actprobe.open_activations(tmp_path).frontend.of(Path("a.wav"))
    with pytest.raises(CorpusError, match="behind the end of the recording"):
        frontend.example_starts(10 * frontend.sample_rate)


def test_a_file_is_found_by_the_path_of_its_recording(tmp_path: Path) -> None:
    for name in ("a.npz", "drums/a.npz", "b.wav.npz", "b.npz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, times=np.array([0.0]), x=np.ones((1, 1)))
    files = StoredFiles(tmp_path)

    def found(recording: str) -> str:
        return files.file(files.number_of(Path(recording))).path.relative_to(tmp_path).as_posix()

    assert found("/music/drums/a.flac") == "drums/a.npz"
    assert found("/music/voice/a.flac") == "a.npz"
    assert found("b.wav") == "b.wav.npz"
    assert found("b.mp3") == "b.npz"
    with pytest.raises(AudioError, match="there is no npz of it"):
        found("c.wav")


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    for folder, reason in ((tmp_path / "none", "does not exist"), (tmp_path, "holds no npz")):
        with pytest.raises(CorpusError, match=reason):
            actprobe.open_activations(folder)


SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "sample_rate": st.sampled_from([8000, 22050]),
        "n_fft": st.sampled_from([512, 1024]),
        "win_length": st.sampled_from([400, 512]),
        "window": st.sampled_from(["hamming", ("kaiser", 4.0)]),
        "center": st.booleans(),
        "norm": st.sampled_from(["slaney", None]),
        "mel_scale": st.sampled_from(["slaney", "htk"]),
        "power": st.sampled_from([1.0, 2.0]),
        "mean": st.sampled_from([1.5, "example"]),
        "std": st.sampled_from([2.0, list(np.linspace(1, 2, 40))]),
        "padding": st.sampled_from(["zeros", "repeat"]),
    },
)
LOGS = st.sampled_from(
    [{}, {"log": "none"}, {"log": "db", "ref": "max", "top_db": None}, {"log": "db", "top_db": 60.0},
     {"log": "log10_1p", "c": 100.0}, {"log": "log10", "offset": 0.01}, {"log": "ln", "amin": 1e-5}]
)  # fmt: skip


@given(SETTINGS, LOGS)
@settings(max_examples=40, deadline=None)
def test_a_front_end_is_made_again_from_its_description(given: dict[str, Any], log: dict[str, Any]) -> None:
    frontend = LogMelFrontEnd(**given, **log)
    description = json.loads(json.dumps(frontend.describe()))
    again = frontend_described(description)
    assert again is not None
    assert again.describe() == frontend.describe()


def test_a_front_end_that_is_not_known_is_not_guessed() -> None:
    known = WaveformFrontEnd(16000, 8000).describe()
    assert frontend_described(known) is not None
    for description in (None, {}, {"name": "mine"}, {**known, "further": 1}, {**known, "samples": 0}):
        assert frontend_described(description) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("none.py:make", "none.py: does not exist"),
        ("own.py", "own.py:FUNCTION"),
        ("own.py:", "own.py:FUNCTION"),
        ("own.py:missing", "has no function missing; it has broken, front, leaving, nothing, pair"),
        ("own.py:broken", "own.py: ZeroDivisionError: division by zero"),
        ("own.py:nothing", "returned NoneType"),
        ("own.py:front", "returned LogMelFrontEnd"),
        ("own.py:pair", "returned tuple"),
        ("own.py:leaving", "ended with exit status 3"),
        ("wrong.py:make", "wrong.py: SyntaxError"),
    ],
)
def test_a_file_that_gives_no_model_ends_in_a_sentence(
    text: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from actprobe.models.adapters.own_file import model_in_file

    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(
        "from actprobe.frontends import LogMelFrontEnd\nimport sys\n"
        "def broken(): return 1 / 0\ndef nothing(): return None\ndef front(): return LogMelFrontEnd()\n"
        "def pair(): return 1, 2\ndef leaving(): sys.exit(3)\n"
    )
    Path("wrong.py").write_text("def make(:\n")
    with pytest.raises(ActprobeError, match=reason.replace(".", r"\.").replace("(", r"\(")):
        model_in_file(text)
