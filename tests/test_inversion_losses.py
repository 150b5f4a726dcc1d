"""The losses of inverters: the original program's numbers, and what reaches which weight."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actprobe.analyses.inversion.networks.arrays import get_arrays, initial_arrays, set_arrays
from actprobe.analyses.inversion.training.losses import LOSSES, Objective, squared_weights
from actprobe.errors import UsageError
from actprobe.models.networks.svd import INVERTERS
from actprobe.training.parts import Judge
from actprobe.training.schedule import published_rate, truncated

MP6 = INVERTERS["mp6"]


@pytest.fixture(scope="module")
def detector(assets: Path) -> Any:
    from actprobe.models import load_model

    return load_model("svd", assets / "golden/svd_random.npz")


@pytest.fixture(scope="module")
def golden(assets: Path) -> dict[str, Any]:
    with np.load(assets / "golden/e_train_mp6.npz") as stored:
        return {name: stored[name] for name in stored.files}


def a_training(detector: Any, golden: Any, loss: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
    """The mp6 inverter of the golden data, its training model and the batch."""
    from actprobe import backend
    from actprobe.analyses.inversion.networks.build import build_inverter
    from actprobe.analyses.inversion.training.comparator import feature_function
    from actprobe.analyses.inversion.training.learner import InverterLearner
    from actprobe.training.model import TrainingModel

    inverter = build_inverter(MP6)
    set_arrays(inverter, [golden[f"init_param{i}"] for i in range(25)], MP6)
    features_of = feature_function(detector, "mp6")
    learner = InverterLearner(
        inverter, Objective(loss, **options), features_of, feature_function(detector, "conv5")
    )
    model = TrainingModel(learner, Judge("valid_input", "validation"))
    model.compile(optimizer=backend.keras.optimizers.Adam(1e-3, epsilon=1e-8))
    excerpts = backend.tf.constant(golden["data"].astype(np.float32))
    return model, {"excerpt": excerpts, "features": features_of(excerpts)}


def gradients(model: Any, batch: Any, term: str = "loss") -> tuple[Any, Any]:
    from actprobe import backend

    with backend.tf.GradientTape() as tape:
        found, _ = model.learner.terms(batch)
    variables = model.inverter.trainable_variables
    return found, tape.gradient(found[term], variables)


def in_the_files_layout(model: Any, values: Any) -> list[Any]:
    """Gradients of trainable variables in the order W, beta, gamma and the layout of Lasagne."""
    by_layer, rest = {}, list(values)
    for name, *_ in MP6.walk():
        by_layer[name] = [rest.pop(0).numpy()]
        by_layer[f"{name}_norm"] = [rest.pop(0).numpy(), rest.pop(0).numpy(), 0, 1]
    from actprobe.analyses.inversion.networks.port import unport

    arrays = list(unport(by_layer, MP6).values())
    return [array for i, array in enumerate(arrays) if i % 5 < 3]


@pytest.mark.parametrize(("mode", "loss"), [("code", "released"), ("paper", "joint")])
def test_the_first_step_is_that_of_the_original(
    detector: Any, golden: dict[str, Any], mode: str, loss: str
) -> None:
    model, batch = a_training(detector, golden, loss)
    found, slopes = gradients(model, batch)
    for ours, theirs in (("input", "input"), ("feature", "feat"), ("l2", "l2")):
        assert float(found[ours]) == pytest.approx(float(golden[f"loss_{theirs}_step0"]), rel=1e-5)
    total = sum(float(golden[f"loss_{name}_step0"]) for name in ("input", "feat", "l2"))
    assert float(found["loss"]) == pytest.approx(total, rel=1e-5)
    arranged = in_the_files_layout(model, slopes)
    assert len(arranged) == 15
    for number, slope in enumerate(arranged):
        theirs = golden[f"grad_{mode}_{number}"]
        assert np.abs(slope - theirs).max() < 1e-3 * np.abs(theirs).max(), number


def three_steps(detector: Any, golden: Any, mode: Any, loss: Any) -> None:
    """Take three steps of Adam; hold losses and parameters against the original's."""
    model, batch = a_training(detector, golden, loss)
    for step in golden[f"{mode}_losses_total_input_feat_l2"]:
        model.reset_metrics()
        found = {name: float(value) for name, value in model.train_step(batch).items()}
        ours = [found[name] for name in ("loss", "input", "feature", "l2")]
        assert ours == pytest.approx(step.tolist(), rel=1e-5)
    after = get_arrays(model.inverter, MP6)
    for number in range(25):
        theirs = golden[f"{mode}_after3_param{number}"]
        # Adam takes the sign of gradients that are nearly nothing; the facts allow 2e-3 for the paper's.
        assert np.abs(after[f"param{number}"] - theirs).max() < (1e-5 if mode == "code" else 2e-3), number


def test_three_steps_of_adam_are_those_of_the_original(detector: Any, golden: dict[str, Any]) -> None:
    three_steps(detector, golden, "code", "released")


def test_three_steps_with_the_gradient_connected_are_those_of_the_original(assets: Path) -> None:
    """With TensorFlow's own convolutions, in a process of its own.

    Gradients through the comparator differ by up to 3e-5 with oneDNN's convolutions, 1e-5 without, and Adam
    makes of it 1.7e-5 and 2.9e-6 in the loss of the third step (float64: 1.1e-5), whatever the number of
    threads. Rounding next to kinks of leaky ReLUs and poolings, where a gradient has two slopes, would do so.
    """
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import numpy as np, test_inversion_losses as t\n"
        "from actprobe.models import load_model\n"
        f"golden = np.load({str(assets / 'golden/e_train_mp6.npz')!r})\n"
        f"detector = load_model('svd', {str(assets / 'golden/svd_random.npz')!r})\n"
        "t.three_steps(detector, golden, 'paper', 'joint')"
    )
    environment = os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_comparators_gradient_reaches_every_weight_of_joint_and_none_of_released(
    detector: Any, golden: dict[str, Any]
) -> None:
    for loss, reaches in (("joint", True), ("balanced", True), ("eq3", True), ("released", False)):
        model, batch = a_training(detector, golden, loss)
        found, slopes = gradients(model, batch, "feature")
        assert float(found["feature"]) > 0
        if reaches:
            assert all(float(np.abs(slope.numpy()).max()) > 0 for slope in slopes)
        else:
            assert slopes == [None] * 15


def test_without_its_gradient_the_feature_term_changes_only_the_number(
    detector: Any, golden: dict[str, Any]
) -> None:
    with_term, batch = a_training(detector, golden, "released")
    without, _ = a_training(detector, golden, "input")
    ours, slopes = gradients(with_term, batch)
    plain, expected = gradients(without, batch)
    assert float(ours["loss"]) == pytest.approx(float(plain["loss"]) + float(ours["feature"]), rel=1e-6)
    for slope, other in zip(slopes, expected, strict=True):
        assert np.array_equal(slope.numpy(), other.numpy())


def test_the_equations_sums_are_the_means_times_the_values_of_an_example(
    detector: Any, golden: dict[str, Any]
) -> None:
    means, batch = a_training(detector, golden, "joint")
    sums, _ = a_training(detector, golden, "eq3")
    mean, _ = means.learner.terms(batch)
    summed, _ = sums.learner.terms(batch)
    assert float(summed["input"]) == pytest.approx(115 * 80 * float(mean["input"]), rel=1e-5)
    assert float(summed["feature"]) == pytest.approx(33 * 21 * 64 * float(mean["feature"]), rel=1e-5)
    assert float(summed["l2"]) == pytest.approx(float(mean["l2"]), rel=1e-6)


def test_balanced_divides_each_term_by_its_variance(detector: Any, golden: dict[str, Any]) -> None:
    variances = {"input_variance": 4.0, "feature_variance": 0.25}
    model, batch = a_training(detector, golden, "balanced", **variances)
    found, _ = model.learner.terms(batch)
    expected = float(found["input"]) / 4 + float(found["feature"]) / 0.25 + float(found["l2"])
    assert float(found["loss"]) == pytest.approx(expected, rel=1e-6)
    assert Objective("balanced").l2_weight == 1e-6
    assert Objective("joint").l2_weight == 1e-4
    assert replace(Objective("balanced"), l2=1e-3).l2_weight == 1e-3


def test_euclidean_distances_are_means_of_the_examples_root_mean_square_errors() -> None:
    from actprobe import backend

    rng = np.random.default_rng(0)
    found, wanted = rng.standard_normal((2, 4, 5, 6, 3)).astype(np.float32)
    found[1] *= 10
    roots = np.sqrt(((found - wanted).astype(np.float64) ** 2).mean(axis=(1, 2, 3)))
    tf, objective = backend.tf, Objective("input", "euclidean")
    assert float(objective.measure(tf.constant(found), wanted)) == pytest.approx(roots.mean(), rel=1e-6)
    assert objective.each(tf.constant(found), wanted).numpy() == pytest.approx(roots, rel=1e-6)
    assert Objective("input").each(tf.constant(found), wanted).numpy() == pytest.approx(roots**2, rel=1e-6)


def test_the_gradient_of_euclidean_distances_is_that_of_the_formula() -> None:
    """An example that is perfect has none; the others have the same length, however far off they are."""
    from actprobe import backend

    tf = backend.tf
    rng = np.random.default_rng(1)
    found, wanted = (tf.constant(each) for each in rng.standard_normal((2, 3, 5, 6)).astype(np.float32))
    found = tf.concat([found[:1] * 100, found[1:2], wanted[2:]], 0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(found)
        ours = 3.0 * Objective("input", "euclidean").measure(found, wanted)
        plain = 3.0 * tf.reduce_mean(tf.sqrt(tf.reduce_mean((found[:2] - wanted[:2]) ** 2, (1, 2)))) * 2 / 3
    slopes = tape.gradient(ours, found).numpy()
    assert slopes == pytest.approx(tape.gradient(plain, found).numpy(), rel=1e-5, abs=1e-9)
    lengths = np.linalg.norm(slopes.reshape(3, -1), axis=1)
    assert lengths == pytest.approx([1 / np.sqrt(30), 1 / np.sqrt(30), 0], rel=1e-5)


def test_balanced_divides_euclidean_distances_by_deviations(detector: Any, golden: dict[str, Any]) -> None:
    variances = {"input_variance": 4.0, "feature_variance": 0.25}
    model, batch = a_training(detector, golden, "balanced", distance="euclidean", **variances)
    found, slopes = gradients(model, batch, "feature")
    expected = float(found["input"]) / 2 + float(found["feature"]) / 0.5 + float(found["l2"])
    assert float(found["loss"]) == pytest.approx(expected, rel=1e-6)
    assert all(float(np.abs(slope.numpy()).max()) > 0 for slope in slopes)


def test_what_is_published_or_printed_with_squares_is_refused_without() -> None:
    for name in ("eq3", "released"):
        with pytest.raises(UsageError, match=f"there is no euclidean {name}"):
            Objective(name, "euclidean")
    with pytest.raises(UsageError, match="there is squared, euclidean"):
        Objective("input", "manhattan")


def test_weights_of_the_terms_count(detector: Any, golden: dict[str, Any]) -> None:
    model, batch = a_training(detector, golden, "joint", input_weight=2.0, feature_weight=0.5)
    found, _ = model.learner.terms(batch)
    expected = 2 * float(found["input"]) + 0.5 * float(found["feature"]) + float(found["l2"])
    assert float(found["loss"]) == pytest.approx(expected, rel=1e-6)


def test_the_squared_weights_are_those_of_kernels_and_gammas() -> None:
    from actprobe.analyses.inversion.networks.build import build_inverter

    plan = INVERTERS["fc8"]
    inverter = build_inverter(plan)
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(array.shape).astype(np.float32) for array in initial_arrays(plan, 0)]
    set_arrays(inverter, arrays, plan)
    # W, beta, gamma, mean, inverse deviation for ten steps; W and bias of the last
    counted = [array for i, array in enumerate(arrays) if (i % 5 in (0, 2) and i < 50) or i == 50]
    expected = sum(float((array.astype(np.float64) ** 2).sum()) for array in counted)
    assert float(squared_weights(inverter.trainable_variables)) == pytest.approx(expected, rel=1e-5)


def test_a_loss_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="there is joint, input, eq3, released, balanced"):
        Objective("mse")
    assert len(LOSSES) == 5


def test_the_adversarial_term_moves_both_networks(detector: Any, golden: dict[str, Any]) -> None:
    from actprobe import backend
    from actprobe.analyses.inversion.networks.build import build_inverter
    from actprobe.analyses.inversion.training.comparator import feature_function
    from actprobe.analyses.inversion.training.learner import InverterLearner
    from actprobe.training.model import TrainingModel

    inverter = build_inverter(MP6)
    learner = InverterLearner(
        inverter, Objective("input"), feature_function(detector, "mp6"), None, adversarial_weight=0.1
    )
    model = TrainingModel(learner, Judge("valid_input", "validation"))
    model.compile(optimizer=backend.keras.optimizers.Adam(1e-3, epsilon=1e-8))
    before = [each.numpy().copy() for each in model.discriminator.trainable_variables]
    batch = {"excerpt": backend.tf.constant(golden["data"].astype(np.float32))}
    found = {name: float(value) for name, value in model.train_step(batch).items()}
    plain = found["input"] + found["l2"]
    assert found["loss"] == pytest.approx(plain + 0.1 * found["adversarial"], rel=1e-5)
    assert all(
        not np.array_equal(old, new.numpy())
        for old, new in zip(before, model.discriminator.trainable_variables, strict=True)
    )


# Schedule


def test_the_published_schedule_is_that_of_the_authors_logs(assets: Path) -> None:
    runs = json.loads((assets / "golden/d_lr_schedule_runs.json").read_text())
    assert len(runs) == 12
    for run in runs:
        rate, previous, rates, decayed = 1e-3, 0.0, [], []
        for loss in run["train_loss"]:
            rates.append(round(rate, 6))
            following = published_rate(rate, previous, loss)
            decayed.append(following < rate)
            rate, previous = following, loss
        assert decayed == run["decayed"]
        assert rates == pytest.approx(run["lr"], abs=1.1e-6)


def test_losses_are_cut_not_rounded() -> None:
    assert truncated(0.529) == truncated(0.5201) == 0.52
    assert published_rate(1e-3, 0.5299, 0.5201) == 5e-4
    assert published_rate(1e-3, 0.5301, 0.5299) == 1e-3
