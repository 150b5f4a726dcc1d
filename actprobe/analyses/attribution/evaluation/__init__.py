"""How far attributions can be believed: faithfulness, randomised weights, and known parts, over a corpus."""
