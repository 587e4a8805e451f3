"""Training: the road of a run, its settings, the Brain and its losses."""
