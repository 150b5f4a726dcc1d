"""A model on its way into another process."""

from __future__ import annotations

from typing import Any

from actprobe.errors import UsageError
from actprobe.models import Model, load_model
from actprobe.models.keras_model import KerasModel


class ModelHandle:
    """A model that opens itself again where it is unpickled, when it is first asked for.

    Pickled, it is name, weight file or seed, and front end; unpickling loads no TensorFlow.
    """

    def __init__(self, model: Model) -> None:
        self._model: Model | None = model
        self.name = model.name
        self.weights = model.weights
        self.frontend = model.frontend.detached()
        self._own = model.network.build is None
        self._digest = ""

    def __getstate__(self) -> dict[str, Any]:
        """Leave the network itself behind."""
        if self._model is not None and not self._own:
            self._digest = self._model.digest()
        return {**vars(self), "_model": None, "frontend": self.frontend.detached()}

    @property
    def model(self) -> Model:
        """The opened model.

        Raises
        ------
        UsageError
            In another process: a wrapped model, which only the process that made it has, or weights
            that are not what the model was opened with.
        """
        if self._model is None:
            if self._own:
                raise UsageError(
                    f"{self.name} is a model of your own, which other processes cannot open: use "
                    f"--executor=local:N"
                )
            record = self.weights
            file = record.catalog_name if record.kind == "open" else record.path
            model = load_model(self.name, file or None, seed=record.seed or 0)
            if model.digest() != self._digest:
                raise UsageError(
                    f"{self.name} does not have the weights it was opened with ({self.weights}), so other "
                    f"processes cannot open it: use --executor=local:N"
                )
            self._model = KerasModel(model.network, model.keras_model, self.frontend, self.weights)
        return self._model
