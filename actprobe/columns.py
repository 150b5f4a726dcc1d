"""What every column of every table says.

The reference of the documentation is made from this list, and a test holds it against what the runs
write, so that there is no second list that could say something else.
"""

from __future__ import annotations

__all__ = ["TABLES", "VARYING"]

_WHO = {
    "model": "Name of the network.",
    "layer": "Name of the layer, as `actprobe-layers` prints it; `NAME/linear` is what enters a "
    "nonlinearity.",
}

TABLES: dict[str, dict[str, str]] = {
    "neurons.csv": {
        **_WHO,
        "neuron": "Number of the unit of a dense layer, or of the channel of a map (averaged over the map), "
        "from 0.",
        "feature": "Name of the feature that the neuron is held against.",
        "n": "Units that entered: recordings, or excerpts with `--unit=excerpt`, whose feature is known.",
        "r": "Pearson correlation of neuron and feature over the units; empty for a constant neuron.",
        "r_low": "Lower end of the 95 % interval of r (Fisher's z); empty below four recordings.",
        "r_high": "Upper end of that interval.",
        "p": "Two-sided p-value of r against no correlation, for this neuron alone.",
        "q": "False discovery rate over the neurons of the layer (Benjamini and Hochberg, 1995).",
        "p_max": "Family-wise p-value: in how many permutations of the recordings the best neuron of the "
        "layer reaches this neuron's absolute r, the true order counted among them; empty with "
        "`--permutations=0`.",
        "l2": "Euclidean distance of neuron and feature, each divided by its Euclidean norm: 0 for "
        "proportional courses, 1.414 for orthogonal ones.",
        "r_random": "r of the same neuron with random weights, of the seed whose absolute r is the median; "
        "empty with `--random_seeds=0`.",
    },
    "neurons_detail.csv": {
        **_WHO,
        "feature": "As in neurons.csv.",
        "neuron": "As in neurons.csv.",
        "recordings": "Recordings that the units come from.",
        "n_effective": "Independent units that the units are worth; the recordings where every unit is a "
        "recording.",
        "q_permuted": "False discovery rate by permutation: how many of the layer's neurons reach this "
        "absolute r in a permutation on average, as a part of those that do in truth.",
        "spearman": "Spearman's rank correlation.",
        "spearman_p": "Its two-sided p-value.",
        "spearman_q": "Its false discovery rate over the layer.",
        "given": "The feature that the partial correlation is given (`--given`); empty without one.",
        "r_partial": "Correlation of what is left of neuron and feature when `given` is taken out of both, "
        "linearly.",
        "p_partial": "Its two-sided p-value.",
        "q_partial": "Its false discovery rate over the layer.",
        "r_random_0": "r of the same neuron with the first random weights; `r_random_1` and so on for the "
        "others.",
    },
    "layers.csv": {
        **_WHO,
        "feature": "Name of the feature.",
        "weights": "`model` for the network's own weights, `random 0`, `random 1` and so on for the "
        "controls.",
        "n": "Units that entered.",
        "recordings": "Recordings that they come from.",
        "neurons": "Neurons of the layer.",
        "constant": "Neurons that do not respond to any difference; they have no r.",
        "best_neuron": "The neuron with the largest absolute r.",
        "best_r": "Its r.",
        "null_95": "Absolute r that the layer's best neuron stays under in 95 % of the permutations.",
        "p_best": "In how many permutations the best neuron reaches best_r, the true order counted among "
        "them.",
        "above_null": "Neurons with a p_max of 0.05 at most.",
        "above_random": "Neurons stronger than the strongest of every random network; in the row `model` "
        "only.",
        "discoveries": "Neurons with a q of 0.05 at most.",
        "discoveries_permuted": "Neurons with a q_permuted of 0.05 at most.",
        "permutations": "Permutations of the recordings.",
    },
    "maps.csv": {
        **_WHO,
        "channel": "Number of the channel, from 0.",
        "feature": "Name of the feature map.",
        "n": "Recordings that entered; all that follows are means over them.",
        "keypoints_map": "SIFT keypoints of the channel's image, or of its negative where that counts.",
        "keypoints_feature": "SIFT keypoints of the feature's image.",
        "matches": "Matches of a recording, whether they agree on where things are or not.",
        "ratio": "Matches for each that there could be: the keypoints of the image that has fewer.",
        "distance": "Mean Euclidean distance of the matched descriptors; empty without a match.",
        "consistency": "Share of the matches that agree on one shift and scale along each axis.",
        "score": "Twice the agreeing matches over the keypoints of both images, 0 to 1.",
        "score_null": "Mean score of the same maps with the features of other recordings "
        "(`--null_partners`).",
        "p": "Exact one-sided p-value of the own features scoring higher than those of the partners.",
        "q": "False discovery rate over the channels of the layer (Benjamini and Hochberg, 1995).",
    },
    "matches.csv": {
        "recording": "Name of the recording that is drawn.",
        "layer": "Name of the layer.",
        "channel": "Number of the channel, from 0.",
        "feature": "Name of the feature map.",
        "negative": "Whether the negative of the channel's image was matched.",
        "map_keypoint": "Index of the descriptor in the channel's image.",
        "feature_keypoint": "Index of the descriptor in the feature's image.",
        "distance": "Euclidean distance of the two descriptors.",
        "agrees": "Whether the match agrees with the others on where things are.",
        "map_seconds": "Where the keypoint of the channel's image is, in seconds from the start of the "
        "recording.",
        "map_place": "Where it is along frequency, in the unit of place_unit.",
        "feature_seconds": "Where the keypoint of the feature's image is, in seconds.",
        "feature_place": "Where it is along frequency.",
        "place_unit": "`Hz`, or `semitones above C` for pitch classes.",
    },
    "recordings.csv": {
        "path": "Name of the recording in its corpus.",
        "status": "`ok` or `failed`.",
        "reason": "Why it failed; empty when ok.",
        "warning": "What a careful reader should know: a recording that fills little of an example, examples "
        "that are left out, a feature that it does not have.",
        "seconds": "Duration that was decoded.",
        "sample_rate": "The recording's own rate in Hz; not in evaluations of inverters.",
        "examples": "Examples that went through the network and are not left out; excerpts drawn, in "
        "evaluations of inverters.",
        "file": "Its npz file; of `actprobe-activations` only.",
        "FEATURE": "A column for each scalar feature, under the feature's name, empty where it has no "
        "value; of `actprobe-neurons` only.",
    },
    "nre.csv": {
        **_WHO,
        "corpus": "Name of the corpus.",
        "method": "What made the inversions: the loss of the inverter, `inverter` where it is not known, "
        "`gradient`.",
        "nre": "Normalised reconstruction error, the mean over draws: mean distance of an inversion from "
        "its excerpt over the mean distance of two excerpts of the draw.",
        "nre_std": "Standard deviation over the draws.",
        "draws": "Draws.",
        "excerpts": "Excerpts of one draw.",
    },
    "nre_detail.csv": {
        "model": "Name of the network.",
        "layer": "Name of the layer; empty for baselines, which take no layer.",
        "corpus": "Name of the corpus.",
        "method": "As in nre.csv, and the baselines.",
        "against": "For a difference: the method that it is a difference to, over the excerpts both were "
        "judged on.",
        "class": "`all`, `vocal` (somebody sings in the middle of the excerpt) or `nonvocal`.",
        "measure": "`nre`; `feature_nre`, the same between features of the layer; `comparator_nre`, in the "
        "comparator's layer; `agreement`, `balanced_agreement`, `kappa`, `probability_difference`, "
        "`called_sung` and `called_sung_inverted`, what the detector says of excerpt and inversion; "
        "`output_correlation` for networks with several outputs.",
        "value": "The measure.",
        "low": "Lower end of its 95 % interval over recordings.",
        "high": "Upper end.",
        "recordings": "Recordings behind it.",
        "excerpts": "Different excerpts behind it.",
    },
    "playlists.csv": {
        "layer": "Name of the layer.",
        "neuron": "Number of the neuron, from 0.",
        "end": "`top`: the highest values, `bottom`: the lowest.",
        "rank": "1 for the most extreme.",
        "path": "Name of the recording; each is there once at each end.",
        "start_seconds": "Where the excerpt begins.",
        "end_seconds": "Where it ends.",
        "value": "The neuron's value in it.",
        "file": "The excerpt that was cut out (flac); empty where there is none.",
        "reason": "Why not.",
    },
    "alignment.csv": {
        "model_a": "Network of run A.",
        "layer_a": "Its layer.",
        "neuron_a": "Its neuron.",
        "model_b": "Network of run B.",
        "layer_b": "Its layer.",
        "neuron_b": "The neuron of that layer that follows neuron_a best; empty for a constant neuron.",
        "n": "Recordings in common.",
        "r": "Correlation of the two over the recordings.",
        "null_95": "Absolute r that the best of B's neurons exceeds by chance in 5 % of the permutations.",
        "p": "In how many permutations the best of B's neurons reaches r, the true order counted among them.",
        "q": "False discovery rate over A's neurons.",
        "mutual": "Whether neuron_a is in turn the best for its partner.",
    },
    "cka.csv": {
        "model_a": "Network of run A.",
        "layer_a": "Its layer.",
        "model_b": "Network of run B.",
        "layer_b": "Its layer.",
        "n": "Recordings in common.",
        "neurons_a": "Neurons of layer_a.",
        "neurons_b": "Neurons of layer_b.",
        "cka": "Linear centred kernel alignment, the textbook estimate, which is high with few recordings.",
        "cka_debiased": "Its unbiased estimate: 0 on average for layers that have nothing in common.",
    },
}  # fmt: skip

# Columns that stand for several, or for some programs only: not in every table of that name.
VARYING: dict[str, frozenset[str]] = {
    "neurons_detail.csv": frozenset({"r_random_0"}),
    "recordings.csv": frozenset({"sample_rate", "file", "FEATURE"}),
}
