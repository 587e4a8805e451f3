"""From recordings, and from sound as it arrives, to clean speech and its emotions."""

from speechbrain_merit.inference.interface import MeritInterface
from speechbrain_merit.inference.stream import Chunk, MeritStream

__all__ = ["Chunk", "MeritInterface", "MeritStream"]
