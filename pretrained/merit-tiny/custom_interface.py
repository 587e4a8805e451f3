"""What SpeechBrain's foreign_class loads; needs ``pip install speechbrain_merit``."""

from speechbrain_merit.inference import MeritInterface


class CustomInterface(MeritInterface):
    """Enhances, classifies and analyses recordings; see MeritInterface."""
