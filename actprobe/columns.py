"""The meaning of every column of every table.

The reference of the documentation is made from this list. A test compares its names with the columns that
runs write.
"""

from __future__ import annotations

__all__ = ["TABLES", "VARYING"]

_WHO = {
    "model": "Name of the network.",
    "layer": "Name of the layer, as `actprobe-layers` prints it; `NAME/linear` is the input of a "
    "nonlinearity.",
}

TABLES: dict[str, dict[str, str]] = {
    "neurons.csv": {
        **_WHO,
        "neuron": "Number of the unit of a dense layer, or of the channel of a map (averaged over the map), "
        "from 0.",
        "feature": "Name of the feature that the neuron is compared with.",
        "n": "Units: recordings, or excerpts with `--unit=excerpt`, that have a value of the feature.",
        "r": "Pearson correlation of neuron and feature over the units; empty for a constant neuron.",
        "r_low": "Lower end of the 95 % interval of r (Fisher's z); empty below four recordings.",
        "r_high": "Upper end of that interval.",
        "p": "Two-sided p-value of r against no correlation, for this neuron alone.",
        "q": "False discovery rate over the neurons of the layer (Benjamini and Hochberg, 1995).",
        "p_max": "Family-wise p-value: share of the permutations of the recordings in which the best neuron "
        "of the layer reaches this neuron's absolute r, the true order included; empty with "
        "`--permutations=0`.",
        "l2": "Euclidean distance of neuron and feature, each divided by its Euclidean norm: 0 for "
        "proportional values, 1.414 for orthogonal ones.",
        "r_random": "r of the same neuron with random weights, for the seed with the median absolute r; "
        "empty with `--random_seeds=0`.",
    },
    "neurons_detail.csv": {
        **_WHO,
        "feature": "As in neurons.csv.",
        "neuron": "As in neurons.csv.",
        "recordings": "Recordings that the units come from.",
        "n_effective": "Effective number of independent units; equal to recordings if every unit is a "
        "recording and none are grouped (`--group_by`).",
        "q_permuted": "False discovery rate by permutation: the mean number of the layer's neurons that "
        "reach this absolute r in a permutation, divided by the number that reach it in truth.",
        "spearman": "Spearman's rank correlation.",
        "spearman_p": "Its two-sided p-value.",
        "spearman_q": "Its false discovery rate over the layer.",
        "given": "The feature that the partial correlation conditions on (`--given`); empty without one.",
        "r_partial": "Correlation of the residuals of neuron and feature after linear regression on `given`.",
        "p_partial": "Its two-sided p-value.",
        "q_partial": "Its false discovery rate over the layer.",
        "r_random_0": "r of the same neuron with the first random weights; `r_random_1` and so on for the "
        "other seeds.",
    },
    "layers.csv": {
        **_WHO,
        "feature": "Name of the feature.",
        "weights": "`model` for the weights of the network, `random 0`, `random 1` and so on for the "
        "controls.",
        "n": "Units.",
        "recordings": "Recordings that the units come from.",
        "neurons": "Neurons of the layer.",
        "constant": "Neurons that are constant over all units; they have no r.",
        "best_neuron": "The neuron with the largest absolute r.",
        "best_r": "Its r.",
        "null_95": "95th percentile of the largest absolute r of the layer under permutation of the "
        "recordings.",
        "p_best": "Share of the permutations in which the best neuron reaches best_r, the true order "
        "included.",
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
        "n": "Recordings; the columns that follow are means over them.",
        "keypoints_map": "SIFT keypoints of the channel's image, or of its negative if that matches better.",
        "keypoints_feature": "SIFT keypoints of the feature's image.",
        "matches": "Matches of a recording, before the check for agreement.",
        "ratio": "Matches divided by the largest possible number: the keypoints of the image with fewer "
        "keypoints.",
        "distance": "Mean Euclidean distance of the matched descriptors; empty without a match.",
        "consistency": "Share of the matches that agree on one shift and scale along each axis.",
        "score": "Twice the agreeing matches over the keypoints of both images, 0 to 1.",
        "score_null": "Mean score of the same maps with the features of other recordings "
        "(`--null_partners`).",
        "p": "Exact one-sided p-value against the hypothesis that the features of other recordings score as "
        "high.",
        "q": "False discovery rate over the channels of the layer (Benjamini and Hochberg, 1995).",
    },
    "matches.csv": {
        "recording": "Name of the recording in the figure.",
        "layer": "Name of the layer.",
        "channel": "Number of the channel, from 0.",
        "feature": "Name of the feature map.",
        "negative": "Whether the negative of the channel's image was matched.",
        "map_keypoint": "Index of the descriptor in the channel's image.",
        "feature_keypoint": "Index of the descriptor in the feature's image.",
        "distance": "Euclidean distance of the two descriptors.",
        "agrees": "Whether the match agrees with the others on one shift and scale along each axis.",
        "map_seconds": "Time of the keypoint of the channel's image, in seconds from the start of the "
        "recording.",
        "map_place": "Its position along frequency, in the unit of place_unit.",
        "feature_seconds": "Time of the keypoint of the feature's image, in seconds.",
        "feature_place": "Its position along frequency.",
        "place_unit": "`Hz`, or `semitones above C` for pitch classes.",
    },
    "recordings.csv": {
        "path": "Name of the recording in its corpus.",
        "status": "`ok` or `failed`.",
        "reason": "Why it failed; empty when ok.",
        "warning": "What to consider: a recording that fills little of an example, examples that are left "
        "out, a feature that could not be computed.",
        "seconds": "Duration that was decoded.",
        "sample_rate": "Sample rate of the file in Hz; not in evaluations of inverters.",
        "examples": "Examples that were used; in evaluations of inverters, the excerpts that were sampled.",
        "file": "Its npz file; `actprobe-activations` only.",
        "FEATURE": "One column per scalar feature, under the feature's name, empty where it has no value; "
        "`actprobe-neurons` and `actprobe-probe` only.",
    },
    "attributions.csv": {
        "recording": "Name of the recording.",
        "start_seconds": "Start of the excerpt in the recording.",
        "target": "The neuron that is explained, `LAYER/UNIT`.",
        "method": "Method of attribution.",
        "fill": "What stands for an absent part; empty for methods that take nothing away.",
        "output": "The target's value in the excerpt, behind its nonlinearity: a probability of an output.",
        "share_positive": "Sum of the positive values divided by the sum of all absolute values; empty where "
        "all are 0.",
        "share_PART": "One column for each known part, such as `share_voice`: the share of the positive "
        "values in the bins that this part dominates.",
        "component_PART": "Of components: the Shapley value of each part.",
        "completeness_error": "Of integrated gradients: difference of the sum of the attribution and the "
        "change of the target from fill to excerpt, divided by that change.",
        "stability": "Of LIME: correlation of the weights of two fits with other masks.",
    },
    "attribution_scores.csv": {
        "method": "Method of attribution; `random` (noise), `input_magnitude` (absolute difference of "
        "excerpt and fill) and `chance` are controls, in rows of their own.",
        "metric": "`deletion`, `insertion`: area under the output while bins are removed from the excerpt, "
        "or inserted into the fill, the highest attribution first; `average_drop`, `average_gain`, "
        "`average_increase`, `input_fidelity`, `faithfulness`: the output with the positive attribution as a "
        "mask on the excerpt, or with what the mask leaves; `sparseness` (Gini index), `complexity` (entropy "
        "in nats); `truth_share`, `truth_auc`, `truth_pointing`: comparison with the bins that a known part "
        "dominates; `randomisation_signed`, `randomisation_absolute`, `randomisation_partial`: Spearman's "
        "correlation with the attribution for random weights.",
        "fill": "What stands for an absent part, in metric and method.",
        "n": "Recordings that have a value.",
        "value": "Mean over the excerpts of these recordings; empty where the metric is not defined, such as "
        "`average_drop` of outputs that are no probabilities.",
        "low": "Lower end of the 95 % interval over recordings (bootstrap); empty below three recordings.",
        "high": "Upper end of that interval.",
        "random": "The same of random attribution.",
        "input_magnitude": "The same of the absolute difference of excerpt and fill.",
        "random_weights": "The same of the method on random weights, scored on the trained network; the mean "
        "over the seeds. For `randomisation_...`: of two random weights, empty with `--random_seeds=1`.",
    },
    "attribution_differences.csv": {
        "method": "Method of attribution.",
        "metric": "As in attribution_scores.csv, of metrics with a good side.",
        "fill": "As in attribution_scores.csv.",
        "against": "The control that is subtracted: `random`, `input_magnitude`, `random_weights` (the seed "
        "with the best score) or, of the truth, `chance`.",
        "n": "Recordings that have both.",
        "difference": "Method minus control, mean over the excerpts.",
        "low": "Lower end of the 95 % interval over recordings (bootstrap); empty below three recordings.",
        "high": "Upper end of that interval.",
        "better": "Whether the interval lies on the good side of 0.",
    },
    "attribution_randomisation.csv": {
        "method": "Method of attribution.",
        "layers_randomised": "How many layers have random weights, counted from the target down.",
        "layer": "The last of them.",
        "signed": "Spearman's correlation with the attribution for trained weights, mean over excerpts.",
        "absolute": "That of the absolute values.",
        "partial": "That without what both have of the input's magnitude: a partial correlation of ranks.",
        "n": "Recordings, one excerpt each.",
    },
    "probe.csv": {
        "layer": _WHO["layer"],
        "target": "What is predicted: a feature, a label column, `voice_activity` or `frames:TRACK`.",
        "metric": "`r2` for numbers: the coefficient of determination. `auc` for classes: the area under the "
        "ROC curve; of several classes, the mean of each against the rest.",
        "value": "The cross-validated metric, over the pooled predictions of all folds; empty if the target "
        "cannot be probed.",
        "low": "Lower end of the 95 % interval over recordings, or groups of them (bootstrap).",
        "high": "Upper end of that interval.",
        "permuted": "Mean of the metric over permutations of the targets of whole recordings.",
        "random_weights": "The metric of the same layer with random weights, mean over the seeds; empty "
        "with `--random_seeds=0` and for stored activations.",
        "input": "The metric of the input itself, described by the mean and standard deviation over time of "
        "each band of the example; empty where examples are not stored.",
        "n": "Units: recordings, or excerpts with `--unit=excerpt`, for which the target is known.",
        "p": "Share of the permutations that reach the value, the true order included.",
        "q": "False discovery rate over the layers of the target (Benjamini and Hochberg, 1995).",
        "n_recordings": "Recordings that the units come from, or groups of recordings with `--group_by`.",
        "dimensions": "Neurons of the layer.",
        "over_random_low": "Lower end of the 95 % interval of value minus random_weights, over the same "
        "resampled recordings; a control below an R2 of 0 or an AUC of 0.5 counts as 0 or 0.5.",
        "over_random_high": "Upper end of that interval.",
        "over_input_low": "Lower end of the 95 % interval of value minus input.",
        "over_input_high": "Upper end of that interval.",
        "note": "Why the target cannot be probed, or which of its classes are excluded.",
    },
    "tuning.csv": {
        "layer": _WHO["layer"],
        "neuron": "Number of the unit of a dense layer, or of the channel of a map (averaged over the map), "
        "from 0.",
        "factor": "The property of the sound that was changed.",
        "n": "Variants of the stimulus, or recordings.",
        "preferred": "Dose with the highest mean response, in the factor's unit, refined by a parabola "
        "through its neighbours unless it is the first or the last dose. This and the following columns are "
        "empty for a neuron that is constant or not finite.",
        "selectivity": "Sparseness of the mean responses above the lowest (Vinje and Gallant, 2000): 0 for a "
        "flat curve, 1 for a response to a single dose.",
        "monotonicity": "Spearman's correlation of dose and mean response, -1 to 1.",
        "r2": "Share of the neuron's variance within variants that the dose explains, 0 to 1; 1 / n on "
        "average under the null. Empty with one variant or recording.",
        "p": "Family-wise p-value: share of the permutations of the doses within each variant in which the "
        "best neuron of the layer reaches this r2, the true order included; empty with `--permutations=0`.",
        "q": "False discovery rate over the neurons of the layer, from the same permutations.",
        "random": "r2 of the same neuron with random weights, median over the seeds; empty with "
        "`--random_seeds=0`.",
        "share": "Share of the neuron's variance within and between variants that the dose explains.",
        "deviation": "Standard deviation of the neuron over all variants and doses.",
        "deviation_random": "The same with random weights.",
    },
    "tuning_curves.parquet": {
        "layer": "As in tuning.csv.",
        "neuron": "As in tuning.csv.",
        "factor": "As in tuning.csv.",
        "dose": "The dose, in the factor's unit.",
        "mean": "Mean response over the variants or recordings.",
        "low": "Lower end of its 95 % interval over variants or recordings (bootstrap); empty below three.",
        "high": "Upper end of that interval.",
        "random": "Mean response of the same neuron with random weights, median over the seeds.",
    },
    "tuning_layers.csv": {
        "layer": "As in tuning.csv.",
        "factor": "As in tuning.csv.",
        "share": "Share of the variance of all neurons of the layer, within and between variants, that the "
        "dose explains, 0 to 1.",
        "low": "Lower end of its 95 % interval over variants or recordings (bootstrap); empty below three.",
        "high": "Upper end of that interval.",
        "random": "The share with random weights, median over the seeds.",
        "n": "Variants of the stimulus, or recordings.",
        "neurons": "Neurons of the layer.",
        "constant": "Neurons that are constant or not finite; they have no tuning.",
        "tuned": "Neurons with a q of 0.05 at most.",
        "above_random": "Tuned neurons with a higher r2 than the same neuron with random weights.",
        "null_95": "95th percentile of the share under permutation of the doses within each variant.",
        "p": "Share of the permutations that reach the layer's share, the true order included.",
    },
    "nre.csv": {
        **_WHO,
        "corpus": "Name of the corpus.",
        "method": "Method of inversion: the loss of the inverter, `inverter` if it is not known; `gradient`; "
        "`oracle`, the same started at the excerpt's mean spectrum; or `linear readout`, ridge regression "
        "from the features of the layer to the excerpt. Of several trainings of one method there is the "
        "mean.",
        "nre": "Normalised reconstruction error, mean over the samples: mean distance between an inversion "
        "and its excerpt, divided by the mean distance between two excerpts of the sample.",
        "nre_std": "Standard deviation over the samples.",
        "draws": "Samples of excerpts, `--draws`.",
        "excerpts": "Excerpts of one sample.",
    },
    "nre_detail.csv": {
        "model": "Name of the network.",
        "layer": "Name of the layer; empty for baselines.",
        "corpus": "Name of the corpus.",
        "method": "As in nre.csv, and the baselines.",
        "against": "For a difference: the method that is subtracted, over the excerpts that both inverted. "
        "The NRE has a row with `mean excerpt`, too.",
        "class": "`all`, `vocal` (singing in the middle of the excerpt) or `nonvocal`.",
        "measure": "`nre`; `feature_nre`, the same between features of the layer; `comparator_nre`, in the "
        "comparator's layer; `agreement`, `balanced_agreement`, `kappa`, `probability_difference`, "
        "`called_sung` and `called_sung_inverted`, the detector's outputs for excerpt and inversion; "
        "`output_correlation` for networks with several outputs; `nre_trainings_std`, the standard deviation "
        "of `nre` over several trainings of the method.",
        "value": "The measure, mean over the trainings of the method.",
        "low": "Lower end of its 95 % interval over recordings, and over trainings where there are several.",
        "high": "Upper end.",
        "recordings": "Recordings behind it.",
        "excerpts": "Different excerpts behind it.",
    },
    "ablation.csv": {
        "layer": _WHO["layer"],
        "units": "Numbers of the units that are replaced together, separated by spaces; empty for `random`.",
        "kind": "`unit`: each unit alone; `top`, `least`: the k units that follow the feature most and "
        "least; `random`: summary of the random sets of k other units with variances similar to those of "
        "`top`.",
        "feature": "Feature of the neuron run; empty for single units.",
        "k": "Number of units that are replaced together.",
        "fill": "What replaces them: `mean`, their mean activation over the corpus at each position; "
        "`zero`; `resample`, their activations in an excerpt of another recording.",
        "n": "Recordings.",
        "change": "Output with the units replaced minus original output, mean over recordings; for `random` "
        "the median over the sets.",
        "low": "Lower end of the 95 % interval over recordings (bootstrap), empty below three; for `random` "
        "the 2.5th percentile over the sets.",
        "high": "Upper end, or the 97.5th percentile.",
        "metric": "`auc`, `balanced_accuracy` at the detector's threshold, or `average_precision`, over the "
        "excerpts with known labels; empty if there are none.",
        "metric_change": "Metric with the units replaced minus original metric.",
        "metric_low": "Lower end, as `low`.",
        "metric_high": "Upper end, as `high`.",
        "target": "Layer and number of the output.",
        "label": "Its label.",
        "absolute_change": "Mean absolute change of the output over the excerpts; for `random` the median "
        "over the sets.",
        "p": "Single units: family-wise p of the change over the layer's units, by sign flips of recordings. "
        "`top`: share of the random sets that change the output at least as much, the set itself included.",
        "q": "Single units: false discovery rate over the layer's units.",
        "metric_value": "The metric with the units replaced.",
        "metric_p": "As `p`, for the change of the metric.",
        "metric_q": "As `q`, for the change of the metric.",
        "fill_distance": "Distance of zero from the units' mean activation, in standard deviations; 0 for "
        "the other fills, empty for `random`.",
    },
    "ablation_sets.parquet": {
        "layer": _WHO["layer"],
        "feature": "As in ablation.csv.",
        "k": "Number of units of the set.",
        "fill": "As in ablation.csv.",
        "target": "Layer and number of the output.",
        "units": "Numbers of the units of this random set.",
        "change": "Change of the output, mean over recordings.",
        "metric": "As in ablation.csv.",
        "metric_change": "Change of the metric.",
    },
    "evidence.csv": {
        "model": "Name of the network.",
        "layer": _WHO["layer"],
        "neuron": "Number of the neuron, from 0.",
        "feature": "The feature of neurons.csv that it follows most.",
        "r": "Correlation with this feature.",
        "p_max": "As in neurons.csv.",
        "follows": "Whether `p_max` is at most 0.05 (without permutations, `q` of neurons.csv). Empty: not "
        "compared.",
        "factor": "The factor of tuning.csv that changes this feature; if none was run, the factor with the "
        "highest r2.",
        "r2": "As in tuning.csv.",
        "tuning_q": "As `q` in tuning.csv.",
        "tuning_random": "As `random` in tuning.csv.",
        "responds": "Whether `tuning_q` is at most 0.05. Empty: not tested.",
        "concept": "The concept of dissection.csv that it detects, or the one with the highest IoU.",
        "iou": "IoU with this concept.",
        "dissection_q": "As `q` in dissection.csv.",
        "detects": "Whether it is a detector. Empty: not tested.",
        "target": "The output of ablation.csv with the smallest q when the neuron is ablated.",
        "metric": "The metric of that output; empty if no labels are known.",
        "change": "Change of the metric, or of the output if there is none, when the neuron is ablated with "
        "the first fill of the run.",
        "ablation_q": "False discovery rate of that change, times the number of outputs.",
        "matters": "Whether `ablation_q` is at most 0.05. Empty: not tested.",
        "verdict": "Summary of the four tests in words.",
    },
    "excited.csv": {
        "layer": _WHO["layer"],
        "unit": "Number of the unit, or of the channel of a map (averaged over the map), from 0.",
        "label": "Label of the output; empty for other neurons.",
        "method": "`ascent` to the input, or `latent`, to the features of an inverter.",
        "space": "Layer whose features the inverter takes; empty for `ascent`.",
        "start": "`mean`: the search starts from the mean excerpt (`latent`: from the mean features); "
        "`noise`: from uniform noise between the bounds.",
        "steps": "Steps of the search.",
        "value_start": "The neuron's value of the start.",
        "value": "The neuron's value of the excited input.",
        "percentile": "Share of the excerpts of the recordings with a lower value, in %.",
        "corpus_p95": "95th percentile of the neuron's values over the excerpts.",
        "best_excerpt_value": "The highest of these values.",
        "best_recording": "Name of the recording that this excerpt is of.",
        "best_start_seconds": "Where in the recording it begins.",
        "within_bounds": "Share of the excited input's values within what recordings reach: in each band "
        "from the 1st percentile of half of the recordings to the highest 99th percentile. 1 for `ascent`.",
        "random_weights_value": "The neuron's value, with the network's weights, of the input that the same "
        "search finds with random weights.",
        "random_weights_r": "Correlation of the two inputs, each minus its start: the share of the picture "
        "that is due to the procedure; empty if one is its start.",
    },
    "dissection.csv": {
        "layer": _WHO["layer"],
        "unit": "Number of the channel, from 0.",
        "concept": "Concept of sound.",
        "threshold": "Threshold of the map: the unit's mask covers the positions above it.",
        "iou": "Intersection over union of the masks of unit and concept over the corpus.",
        "iou_null": "Mean IoU with the concepts of other recordings (`--permutations`).",
        "p": "Share of the permutations of the recordings that reach the IoU, the true order included.",
        "q": "False discovery rate over the units of the layer, from the same permutations, each unit "
        "measured in standard deviations of its own null.",
        "n": "Recordings for which the concept is known, whether it occurs in them or not.",
        "random_weights": "IoU of the same unit with random weights, median over the seeds; empty with "
        "`--random_seeds=0`.",
        "detector": "Whether iou is above `--iou_threshold` and q is 0.05 at most.",
        "iou_max": "Highest possible IoU of two masks of these sizes.",
    },
    "dissection_concepts.csv": {
        "layer": _WHO["layer"],
        "concept": "Concept of sound.",
        "n": "Recordings for which the concept is known.",
        "share": "Share of the positions of these recordings that the concept covers.",
        "iou_max": "Highest possible IoU of any unit, given the sizes of the masks.",
        "layer_units": "Units of the layer.",
        "above_iou": "Units with an IoU above `--iou_threshold`.",
        "above_iou_null": "Mean number of such units under permutation.",
        "above_iou_random": "Number of such units with random weights, median over the seeds.",
        "significant": "Units with a q of 0.05 at most.",
        "detectors": "Units that meet both conditions.",
        "above_random": "Detectors whose IoU exceeds that of every unit with every set of random weights.",
    },
    "playlists.csv": {
        "layer": "Name of the layer.",
        "neuron": "Number of the neuron, from 0.",
        "end": "`top`: the highest values, `bottom`: the lowest.",
        "rank": "1 for the most extreme.",
        "path": "Name of the recording; each is there once at each end.",
        "start_seconds": "Start of the excerpt.",
        "end_seconds": "End of the excerpt.",
        "value": "The neuron's value in the excerpt.",
        "file": "The excerpt as a flac file; empty if it could not be written.",
        "reason": "Why it could not be written.",
    },
    "alignment.csv": {
        "model_a": "Network of run A.",
        "layer_a": "Its layer.",
        "neuron_a": "Its neuron.",
        "model_b": "Network of run B.",
        "layer_b": "Its layer.",
        "neuron_b": "The neuron of that layer with the largest absolute r; empty for a constant neuron.",
        "n": "Recordings in common.",
        "r": "Correlation of the two over the recordings.",
        "null_95": "95th percentile of the absolute r of the best of B's neurons under permutation.",
        "p": "Share of the permutations in which the best of B's neurons reaches r, the true order included.",
        "q": "False discovery rate over A's neurons.",
        "mutual": "Whether neuron_a is also the best for its partner.",
    },
    "cka.csv": {
        "model_a": "Network of run A.",
        "layer_a": "Its layer.",
        "model_b": "Network of run B.",
        "layer_b": "Its layer.",
        "n": "Recordings in common.",
        "neurons_a": "Neurons of layer_a.",
        "neurons_b": "Neurons of layer_b.",
        "cka": "Linear centred kernel alignment, the textbook estimate, which is too high with few "
        "recordings.",
        "cka_debiased": "Its unbiased estimate: 0 on average for unrelated layers.",
    },
}  # fmt: skip

# Columns that stand for several, or for some programs only: not in every table of that name.
VARYING: dict[str, frozenset[str]] = {
    "neurons_detail.csv": frozenset({"r_random_0"}),
    "attributions.csv": frozenset({"share_PART", "component_PART", "completeness_error", "stability"}),
    "recordings.csv": frozenset({"sample_rate", "file", "FEATURE"}),
}
