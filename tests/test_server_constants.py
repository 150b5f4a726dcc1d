"""Weights of a served version become constants, and its answers stay what they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving_support import save_model

from actprobe import backend, load_inverter
from actprobe.serving.export import export
from actprobe.serving.server import constants
from actprobe.serving.server.servable import Servable


def operations(servable: Any) -> list[str]:
    return [operation.type for operation in servable._graph.get_operations()]


@pytest.fixture(scope="module")
def inverter() -> Any:
    return load_inverter("svd", "mp6", checkpoint="svd-open-inverter-mp6")


@pytest.fixture(scope="module")
def version(inverter: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("constants")
    export(inverter, output_dir=folder, name="mp6")
    return next((folder / "models/mp6").iterdir())


def test_a_served_inverter_has_no_variables_and_answers_as_in_python(inverter: Any, version: Any) -> None:
    features = np.random.default_rng(0).standard_normal((3, *inverter.feature_shape)).astype(np.float32)
    servable = Servable(version, "mp6", 1)
    found = servable.run(servable.signature(""), {"features": features})["mel_spectrogram"]
    kinds = operations(servable)
    servable.close()
    assert "VarHandleOp" not in kinds
    assert "Const" in kinds
    np.testing.assert_allclose(found, inverter(features), rtol=0, atol=1e-5)


def test_large_models_keep_their_variables(version: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "MOST_BYTES", 1000)
    servable = Servable(version, "mp6", 1)
    kinds = operations(servable)
    servable.close()
    assert "VarHandleOp" in kinds


def test_a_model_with_a_table_is_run_as_it_is(tmp_path: Path) -> None:
    tf = backend.tf
    module = tf.Module()
    module.scale = tf.Variable(3.0)
    keys, values = tf.constant(["a", "b"]), tf.constant([1.0, 2.0])
    module.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), -1.0)

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[tf.TensorSpec([None], tf.string, "s")], autograph=False
    )
    def look(s: Any) -> dict[str, Any]:
        return {"y": module.scale * module.table.lookup(s)}

    module.look = look
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"serving_default": look})
    servable = Servable(tmp_path / "1", "table", 1)
    found = servable.run(servable.signature(""), {"s": np.array([b"b", b"c"], object)})["y"]
    servable.close()
    assert found.tolist() == [6, -3]


def test_a_model_without_variables_can_be_served(tmp_path: Path) -> None:
    save_model(tmp_path / "1", bias=1.0)
    servable = Servable(tmp_path / "1", "toy", 1)
    four: Any = np.float32(4)
    found = servable.run(servable.signature("scalar"), {"x": four})["y"]
    assert found == 2
    found = servable.run(servable.signature(""), {"x": np.zeros((2, 3), np.float32)})["y"]
    servable.close()
    assert found.tolist() == [[1, 1, 1]] * 2
