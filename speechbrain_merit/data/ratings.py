"""Ratings as a corpus publishes them: a few lie outside its scale, and nobody can mend them."""

from speechbrain.utils.logger import get_logger

from speechbrain_merit.audio.names import MAX_NAMED
from speechbrain_merit.data.listing import read_rating
from speechbrain_merit.errors import PreparationError

logger = get_logger(__name__)

MAX_SHARE = 0.05  # of the ratings: more is another scale rather than slips of the pen


class PublishedRatings:
    """Scales the ratings of a corpus to 0 … 1, and counts those that are none.

    A rating outside the scale was made by nobody (a mean of ratings from 1 to 5 cannot be 0.5), so
    it is not moved to the nearest end: the utterance counts as not rated.

    Arguments
    ---------
    corpus : str
        Its name, for messages.
    lowest, highest : float
        The ends of the scale.

    Example
    -------
    >>> scaled = PublishedRatings("MY", 1, 5)
    >>> scaled("4", "line 1: arousal"), scaled("0.5", "line 2: arousal"), scaled("", "line 3")
    (0.75, None, None)
    """

    def __init__(self, corpus, lowest, highest):
        self.corpus, self.lowest, self.highest = corpus, lowest, highest
        self.given, self.outside, self.first = 0, 0, None

    def __call__(self, text, place):
        """The rating, 0 for the lowest and 1 for the highest; None where there is none.

        Raises
        ------
        PreparationError
            If it is something else than a number.
        """
        value = read_rating(text, place)
        if value is None:
            return None
        self.given += 1
        if not self.lowest <= value <= self.highest:
            self.outside += 1
            self.first = self.first or f"{value:g} ({place})"
            return None
        return round((value - self.lowest) / (self.highest - self.lowest), 6)

    def report(self):
        """Says how many ratings lay outside the scale; to be called after the last one.

        Raises
        ------
        PreparationError
            If they are so many that the scale must be another.
        """
        scale = f"{self.lowest:g} … {self.highest:g}"
        if self.outside > max(MAX_NAMED, MAX_SHARE * self.given):
            raise PreparationError(
                f"{self.corpus}: {self.outside} of {self.given} ratings lie outside {scale}, such "
                f"as {self.first}: these are not the ratings that the corpus was published with."
            )
        if self.outside:
            logger.warning(
                f"{self.corpus}: {self.outside} of {self.given} ratings lie outside {scale} and "
                f"count as not given, such as {self.first}."
            )
