"""One activation map against one feature: what matches, what agrees, and the score.

The score is 2 c / (a + f): c matches that agree on one shift and scale, a keypoints of the map, f of the
feature. It is 1 when every keypoint of either image has its counterpart and 0 when fewer than three agree
(the coefficient of Dice, Ecology 26, 1945). A map of few keypoints cannot score high by one lucky match.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.maps.geometry import Agreement, Tolerance, agreement
from actprobe.analyses.maps.keypoints import Keypoints
from actprobe.analyses.maps.matches import Matches, match

# What is counted for a pair of images; counts of several segments of a recording add up.
COUNTS = ("keypoints_map", "keypoints_feature", "possible", "matches", "distance", "agreeing")


@dataclass(frozen=True, eq=False)  # eq=False: arrays do not compare to one truth value
class Pair:
    """An activation map and a feature, compared.

    Parameters
    ----------
    matches : Matches
        The map's keypoints are the first, the feature's the second.
    agreement : Agreement
        Which of them agree.
    negative : bool
        Whether the negative of the map was matched, because more agreed so.
    counts : numpy.ndarray
        float64, shape [6], as `COUNTS` names them: keypoints of the map and of the feature, the smaller
        of the two, matches, the sum of their distances, and those that agree.
    """

    matches: Matches
    agreement: Agreement
    negative: bool
    counts: NDArray[np.float64]


def compare(activation: Keypoints, feature: Keypoints, tolerance: Tolerance) -> Pair:
    """Compare the keypoints of an activation map with those of a feature.

    The map is matched as it is and as its negative, and the one of which more agrees is taken; of equal
    ones the map as it is.

    Both are keypoints of images on the same pixels.
    """
    found = []
    for matches in match(activation, feature):
        agrees = agreement(activation.points[matches.first], feature.points[matches.second], tolerance)
        found.append((matches, agrees))
    inverted = found[1][1].count > found[0][1].count
    matches, agrees = found[inverted]
    counts = np.array(
        [
            len(activation),
            len(feature),
            min(len(activation), len(feature)),
            len(matches),
            float(matches.distances.sum(dtype=np.float64)),
            agrees.count,
        ],
        np.float64,
    )
    return Pair(matches, agrees, inverted, counts)


def metrics(counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Make the metrics of counts [..., 6], as `COUNTS` names them.

    Returns
    -------
    dict
        Arrays of shape [...]: ``keypoints_map``, ``keypoints_feature``, ``matches``, ``ratio`` (matches
        for each that there could be, the keypoints of the image that has fewer), ``distance`` (mean
        distance of the matched descriptors), ``consistency`` (share of the matches that agree) and
        ``score``. What would be divided by zero is NaN, but the score is 0; of NaN all are NaN.
    """
    of_map, of_feature, possible, matches, distance, agreeing = np.moveaxis(counts, -1, 0)
    keypoints = of_map + of_feature
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "keypoints_map": of_map,
            "keypoints_feature": of_feature,
            "matches": matches,
            "ratio": matches / possible,
            "distance": distance / matches,
            "consistency": agreeing / matches,
            "score": np.where(keypoints == 0, 0.0, 2 * agreeing / keypoints),
        }
