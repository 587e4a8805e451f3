"""Synthesises MiniMERIT and writes its manifests: :mod:`speechbrain_merit.data.synthetic`."""

from speechbrain_merit.data.synthetic import prepare_minimerit

__all__ = ["prepare_minimerit"]
