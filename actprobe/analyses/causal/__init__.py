"""Does the network use it: ablation, tuning curves, dissection and probes, each with its controls."""
