"""From recordings to clean speech and its emotions: :class:`MeritInterface`."""

from speechbrain_merit.inference.interface import MeritInterface

__all__ = ["MeritInterface"]
