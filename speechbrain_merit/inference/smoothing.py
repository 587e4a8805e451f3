"""The emotion that a stream shows, steady enough to be read, by a fixed rule.

1. The probabilities of a piece of sound are those of the 3 s around it, as far as they are heard.
2. They go into a running mean in which a piece of t seconds has the weight 1 − 16^(−t): what is
   a quarter of a second older counts half. Pieces without speech leave it as it is;
   after ``no_speech`` was shown, it starts anew.
3. Wanted is its likeliest emotion, or ``no_speech`` where the 3 s hold no speech.
4. What is wanted is shown, unless what is shown has changed less than a second ago.
"""

import numpy as np

from speechbrain_merit.inference.timeline import NO_SPEECH
from speechbrain_merit.lobes.spectrum import SAMPLE_RATE

HALF_LIFE = 0.25  # seconds; the 3 s are smooth by themselves, and more comes late
SHORTEST_SHOWN = 1  # second


class Smoother:
    """Follows the pieces of a stream.

    Arguments
    ---------
    labels : list of str
        The emotions.

    Example
    -------
    >>> shown, happy, sad = Smoother(["happy", "sad"]), np.array([0.9, 0.1]), np.array([0.3, 0.7])
    >>> pieces = [(happy, True)] * 2 + [(sad, True)] * 4 + [(sad, False)] * 2
    >>> [shown.add(*piece, 8000 * n, 8000 * (n + 1)) for n, piece in enumerate(pieces)]
    ['happy', 'happy', 'sad', 'sad', 'sad', 'sad', 'no_speech', 'no_speech']
    """

    def __init__(self, labels):
        self.labels, self.mean = labels, None
        self.shown = self.since = None

    def add(self, probabilities, speech, begin, end):
        """What is shown for the next piece.

        Arguments
        ---------
        probabilities : numpy.ndarray
            Of the piece (classes).
        speech : bool
            Whether it holds speech.
        begin, end : int
            Where it lies, in samples at 16 kHz.

        Returns
        -------
        str
            An emotion, or ``no_speech``.
        """
        if speech:
            weight = 1 - 0.5 ** ((end - begin) / (HALF_LIFE * SAMPLE_RATE))
            fresh = self.mean is None
            self.mean = probabilities if fresh else self.mean + weight * (probabilities - self.mean)
        wanted = self.labels[int(np.argmax(self.mean))] if speech else NO_SPEECH
        if self.shown is None or begin - self.since >= SHORTEST_SHOWN * SAMPLE_RATE:
            if wanted != self.shown:
                self.shown, self.since = wanted, begin
        if self.shown == NO_SPEECH and not speech:
            self.mean = None
        return self.shown
