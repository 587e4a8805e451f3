"""Sparse MERIT for SpeechBrain: joint speech enhancement and speech emotion recognition."""

__version__ = "0.1.0"
