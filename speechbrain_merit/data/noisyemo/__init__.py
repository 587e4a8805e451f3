"""NoisyEmo: noisy test sets of corpora that anyone rebuilds, hash for hash."""
