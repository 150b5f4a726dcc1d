"""Linear probes, on arrays: the closed form, folds, controls, planted truth, false discoveries, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.preprocessing import StandardScaler

from actprobe.analyses.causal.probing.figures import probe_figure
from actprobe.analyses.causal.probing.ridge import STRENGTHS, assign_folds, predict_left_out
from actprobe.analyses.causal.probing.scores import auc, r2
from actprobe.analyses.causal.probing.scoring import Design, Trial, usable_part
from actprobe.analyses.causal.probing.table import PROBE_COLUMNS, probe_table
from actprobe.analyses.causal.probing.targets import Target
from actprobe.columns import TABLES

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

DESIGN = Design(folds=5, permutations=99, seed=0)


def clustered(recordings: int, excerpts: int, neurons: int, seed: int = 0) -> tuple[Floats, Indices, Any]:
    """Excerpts that resemble each other within a recording: values, recordings, and what made them."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(recordings), excerpts)
    return rng.standard_normal((recordings, neurons))[groups], groups, rng


def numbers(values: Any, name: str = "loudness") -> Target:
    return Target(name, (), np.asarray(values, np.float64).reshape(-1, 1))


def binary(values: Any, name: str = "sung") -> Target:
    return Target(name, (name,), np.asarray(values, np.float64).reshape(-1, 1))


def probed(
    layers: dict[str, Floats],
    targets: list[Target],
    groups: Indices,
    *,
    random: Any = None,
    given: Any = None,
) -> pd.DataFrame:
    arrays = {f"model/{name}": values for name, values in layers.items()}
    arrays |= {f"random0/{name}": random for name in layers} | {"input": given}
    sizes = {name: values.shape[1] for name, values in layers.items()}
    return probe_table(
        sizes, targets, groups, arrays.__getitem__, DESIGN,
        random_seeds=int(random is not None), has_input=given is not None,
    ).set_index(["layer", "target"])  # fmt: skip


class TestClosedForm:
    @pytest.mark.parametrize("neurons", [6, 60])
    def test_equals_scikit_learn_with_groups_left_out_inside_the_training_fold(self, neurons: int) -> None:
        x, groups, rng = clustered(12, 4, neurons)
        x = 3 + x + rng.standard_normal(x.shape)
        groups = groups[:-2]  # one group is smaller
        x = x[:-2]
        y = np.column_stack([x[:, 0] + rng.standard_normal(len(x)), x[:, 1] > 3, rng.standard_normal(len(x))])
        folds = assign_folds(groups, 3, seed=0)
        found = predict_left_out(x, y, groups, folds)
        for fold in range(3):
            train, test = folds != fold, folds == fold
            scaler = StandardScaler().fit(x[train])
            inside = scaler.transform(x[train])
            strengths = STRENGTHS * inside.size / min(len(inside) - 1, neurons)
            for column in range(3):
                target = y[train, column]
                errors = [
                    np.square(
                        target
                        - cross_val_predict(
                            Ridge(alpha), inside, target, groups=groups[train], cv=LeaveOneGroupOut()
                        )
                    ).sum()
                    for alpha in strengths
                ]
                best = Ridge(strengths[np.argmin(errors)]).fit(inside, target)
                predicted = best.predict(scaler.transform(x[test]))
                close: Any = {"rtol": 1e-6, "atol": 1e-8}
                np.testing.assert_allclose(found.scores[test, column], predicted - target.mean(), **close)
                np.testing.assert_allclose(found.numbers[test, column], predicted, **close)

    def test_nothing_of_a_fold_decides_what_is_predicted_for_it(self) -> None:
        x, groups, rng = clustered(10, 3, 40)
        y = x[:, :2] + 0.5 * rng.standard_normal((30, 2))
        folds = assign_folds(groups, 5, seed=1)
        test = folds == 2
        other = y.copy()
        other[test] = rng.standard_normal((test.sum(), 2)) * 100
        first, second = (predict_left_out(x, each, groups, folds) for each in (y, other))
        np.testing.assert_array_equal(first.scores[test], second.scores[test])
        np.testing.assert_array_equal(first.numbers[test], second.numbers[test])
        assert not np.allclose(first.scores[~test], second.scores[~test])

    def test_neurons_that_do_not_vary_in_training_are_left_out(self) -> None:
        x, groups, _ = clustered(10, 2, 4)
        folds = assign_folds(groups, 5, seed=0)
        x[:, 3] = np.where(folds == 0, 1e6, 2.0)
        found = predict_left_out(x, x[:, :1], groups, folds)
        same = predict_left_out(x[:, :3], x[:, :1], groups, folds)
        np.testing.assert_allclose(found.scores[folds == 0], same.scores[folds == 0])
        dead = predict_left_out(np.ones((20, 3)), x[:, :1], groups, folds)
        assert not dead.scores.any()


class TestScores:
    def test_are_those_of_scikit_learn(self) -> None:
        rng = np.random.default_rng(0)
        y, scores = rng.standard_normal(50), rng.integers(0, 8, 50).astype(np.float64)  # with ties
        groups, once = np.arange(50), np.ones((1, 50))
        assert r2(y, scores, groups, once)[0] == pytest.approx(r2_score(y, scores))
        assert auc(1.0 * (y > 0), scores, groups, once)[0] == pytest.approx(roc_auc_score(y > 0, scores))

    @pytest.mark.parametrize("score", [r2, auc])
    def test_a_group_that_is_sampled_twice_counts_twice(self, score: Callable[..., Floats]) -> None:
        rng = np.random.default_rng(1)
        y = rng.integers(0, 2, 30).astype(np.float64)
        scores, groups = y + rng.standard_normal(30), np.repeat(np.arange(10), 3)
        weights = np.array([[2, 0, 1, 1, 3, 0, 1, 1, 0, 1]], np.float64)
        again = np.repeat(np.arange(30), weights[0, groups].astype(int))
        once = np.ones((1, len(again)))
        assert score(y, scores, groups, weights)[0] == pytest.approx(
            score(y[again], scores[again], np.arange(len(again)), once)[0]
        )


@pytest.fixture(scope="module")
def table() -> Any:
    x, groups, rng = clustered(60, 3, 12)
    x = x + 0.3 * rng.standard_normal(x.shape)
    linear = x @ rng.standard_normal((12, 20))
    in_input, in_layer = x[:, 0] + 0.05 * rng.standard_normal(len(x)), x[:, 1] ** 2
    layers = {
        "early": linear,
        "late": np.column_stack([linear, in_layer]),
        "other": rng.standard_normal(x.shape),
    }
    targets = [
        numbers(in_input, "in_input"), numbers(in_layer, "in_layer"), binary(x[:, 1] ** 2 > 0.5, "loud"),
        numbers(rng.standard_normal(60)[groups], "nothing"),
    ]  # fmt: skip
    return probed(layers, targets, groups, random=np.maximum(linear[:, :8], 0), given=x)


class TestPlanted:
    def test_what_is_linear_in_a_layer_is_read_and_nothing_out_of_others(self, table: Any) -> None:
        assert table.loc[("late", "in_layer"), "value"] > 0.95
        assert table.loc[("early", "in_layer"), "value"] < 0.2
        assert (table.loc["other", "value"].drop("loud") < 0.1).all()
        assert table.loc[("late", "loud"), "value"] > 0.95
        assert abs(table.loc[("other", "loud"), "value"] - 0.5) < 0.15
        assert (table["q"] <= 0.05).loc["late"].drop("nothing").all()
        assert not (table["q"] <= 0.05).loc[:, "nothing"].any()
        assert not (table["q"] <= 0.05).loc["other"].any()

    def test_what_the_input_has_is_not_added_by_the_layer(self, table: Any) -> None:
        row = table.loc[("early", "in_input")]
        assert row["value"] > 0.9
        assert row["input"] > 0.9
        assert row["over_input_low"] <= 0.01
        added = table.loc[("late", "in_layer")]
        assert added["over_input_low"] > 0.5
        assert added["over_random_low"] > 0.3

    def test_intervals_hold_the_value_and_differences_are_paired(self, table: Any) -> None:
        known = table.drop(index=("other", "nothing"))
        assert (known["low"] < known["value"]).all()
        assert (known["value"] < known["high"]).all()
        row = table.loc[("late", "in_input")]
        assert row["over_input_high"] - row["over_input_low"] < row["high"] - row["low"]
        assert table["n"].eq(180).all()
        assert table["n_recordings"].eq(60).all()

    def test_permuted_targets_are_at_chance(self, table: Any) -> None:
        assert table.loc[(slice(None), "loud"), "permuted"].between(0.45, 0.55).all()
        assert table["permuted"].loc[:, ["in_input", "in_layer", "nothing"]].between(-0.1, 0.0).all()

    def test_columns(self, table: Any) -> None:
        assert tuple(table.reset_index()[list(PROBE_COLUMNS)].columns) == tuple(TABLES["probe.csv"])

    def test_a_figure_has_a_panel_for_each_target(self, table: Any) -> None:
        figure = probe_figure(table.reset_index(), ["in_input", "loud"])
        first, second = figure.axes
        assert [label.get_text() for label in first.get_xticklabels()] == ["early", "late", "other"]
        assert (first.get_ylabel(), second.get_ylabel()) == ("R2", "area under the ROC curve")


def test_excerpts_that_nearly_repeat_each_other_do_not_leak() -> None:
    x, groups, rng = clustered(40, 6, 100)
    x = x + 0.01 * rng.standard_normal(x.shape)
    label = [binary(rng.permutation(np.arange(40) % 2)[groups])]
    together = probed({"fc": x}, label, groups).iloc[0]
    assert together["low"] < 0.5 < together["high"]
    assert together["p"] > 0.05
    apart = probed({"fc": x}, label, np.arange(len(x))).iloc[0]
    assert apart["value"] > 0.95  # what a split of excerpts would have reported


def test_pooled_scores_are_not_below_chance() -> None:
    """With the mean of the training fold in the score, small corpora without a signal are far below 0.5."""
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        y = binary(rng.permutation(np.arange(20) % 2))
        found.append(Trial([y], np.ones(20, np.bool_), np.arange(20), DESIGN).probe(
            rng.standard_normal((20, 3)), permuted=False
        )[0].value)  # fmt: skip
    assert abs(np.mean(found) - 0.5) < 3 * np.std(found) / np.sqrt(60)
    assert abs(np.mean(found) - 0.5) < 0.05


def test_over_20_random_networks_nothing_is_found_more_often_than_the_named_rate() -> None:
    found = 0
    for seed in range(20):
        x, groups, rng = clustered(30, 2, 10, seed)
        x = x + 0.5 * rng.standard_normal(x.shape)
        layers = {}
        for name in ("one", "two", "three"):
            x = np.maximum(x @ rng.standard_normal((x.shape[1], 16)) / 4, 0)
            layers[name] = x
        targets = [
            numbers(rng.standard_normal(30)[groups]),
            binary((np.arange(30) % 2)[rng.permutation(30)][groups]),
        ]
        table = probed(layers, targets, groups)
        found += int((table["q"] <= 0.05).groupby("target").any().sum())
    assert found <= stats.binom.ppf(0.99, 40, 0.05)


def test_classes_are_judged_one_against_the_rest_and_rare_ones_left_out() -> None:
    x, groups, rng = clustered(50, 2, 5)
    kind = x[:, :3].argmax(axis=1)
    values = np.stack([kind == i for i in range(3)] + [groups == 7], axis=1).astype(np.float64)
    genre = Target("genre", ("a", "b", "c", "rare"), values)
    part, note = usable_part(genre, groups, DESIGN)
    assert part is not None
    assert part.classes == ("a", "b", "c")
    assert note == "left out, not in the training part of every fold: rare"
    together = probed({"fc": x}, [genre], groups).iloc[0]
    alone = probed({"fc": x}, [binary(values[:, i], str(i)) for i in range(3)], groups)
    assert together["value"] == pytest.approx(alone["value"].mean())
    assert together["permuted"] == pytest.approx(alone["permuted"].mean())
    assert together["value"] > 0.85
    assert rng is not None


class TestRefused:
    groups = np.repeat(np.arange(10), 2)

    def refusal(self, target: Target) -> str:
        part, note = usable_part(target, self.groups, DESIGN)
        assert part is None
        return note

    def test_too_few_recordings(self) -> None:
        values = np.where(self.groups < 4, self.groups, np.nan)
        assert self.refusal(numbers(values)) == "known for 4 independent recordings, 5 folds need 5"
        assert (
            self.refusal(numbers(np.full(20, np.nan))) == "known for 0 independent recordings, 5 folds need 5"
        )

    def test_a_constant(self) -> None:
        assert self.refusal(numbers(np.full(20, 0.25))) == "is 0.25 wherever it is known"
        assert "the class and what is not of it are not in the training part of every fold" in self.refusal(
            binary(np.ones(20))
        )

    def test_a_class_that_is_in_one_fold_alone(self) -> None:
        assert "take fewer folds or another seed" in self.refusal(binary(self.groups == 3))

    def test_what_is_unknown_costs_only_its_units_and_only_its_target(self) -> None:
        x, groups, _ = clustered(20, 2, 3)
        half = np.where(groups < 12, x[:, 0], np.nan)
        table = probed(
            {"fc": x},
            [numbers(half, "half"), numbers(x[:, 1], "all"), numbers(groups * np.nan, "no")],
            groups,
        )
        row = table.loc["fc"]
        assert row["n"].to_dict() == {"half": 24, "all": 40, "no": 0}
        assert row["n_recordings"].to_dict() == {"half": 12, "all": 20, "no": 0}
        assert (row.loc[["half", "all"], "value"] > 0.99).all()
        assert row["value"].isna().to_dict() == {"half": False, "all": False, "no": True}
        assert row["note"].to_dict() == {
            "half": "", "all": "", "no": "known for 0 independent recordings, 5 folds need 5",
        }  # fmt: skip
