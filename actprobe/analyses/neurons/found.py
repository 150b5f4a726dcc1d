"""What a run and a comparison of two runs found, as figures and summaries read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True)
class NeuronFindings:
    """What a neuron run found.

    Parameters
    ----------
    table, detail, layers, recordings : pandas.DataFrame
        neurons.csv, neurons_detail.csv (the same rows), layers.csv and recordings.csv.
    activity : mapping
        Layer name -> [units, neurons], memory maps.
    features : mapping
        Feature name -> float64 [units], NaN where it is not known.
    record : mapping
        What made the numbers, as run.json has it.
    """

    table: pd.DataFrame
    detail: pd.DataFrame
    layers: pd.DataFrame
    recordings: pd.DataFrame
    activity: Mapping[str, NDArray[Any]]
    features: Mapping[str, NDArray[Any]]
    record: Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """What two runs have in common.

    Parameters
    ----------
    names : tuple of str
        What to call A and B: the network and the folder of the run.
    alignment : pandas.DataFrame
        alignment.csv: for every neuron of every layer of A its partner in each layer of B.
    cka : pandas.DataFrame
        cka.csv: linear CKA of every layer of A with every layer of B, both estimates.
    recordings : int
        Recordings that both have.
    only_a, only_b : list of str
        Recordings that the other run does not have, or could not use.
    """

    names: tuple[str, str]
    alignment: pd.DataFrame
    cka: pd.DataFrame
    recordings: int
    only_a: list[str]
    only_b: list[str]
