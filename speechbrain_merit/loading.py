"""The old place of :mod:`speechbrain_merit.export.loading`, which folders exported before name.

The YAML of a pretrained folder holds Python paths: this one has to stay for as long as such a
folder is to load.
"""

from speechbrain_merit.export.loading import StrictPretrainer

__all__ = ["StrictPretrainer"]
