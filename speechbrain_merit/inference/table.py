"""The analyses of many recordings, and the table that pandas makes of them."""

from speechbrain_merit.errors import SettingsError
from speechbrain_merit.inference.summary import columns, failed, rows


class Analyses(list):
    """Analyses in the order of the recordings; of one that failed, ``error`` says why.

    Example
    -------
    >>> from speechbrain_merit.inference.analysis import Analysis
    >>> found = Analyses([Analysis(2.0, "sad", {"sad": 0.9, "happy": 0.1}, path="a.wav")])
    >>> found.to_frame()[["file", "emotion", "probability", "p_happy"]]
        file emotion  probability  p_happy
    0  a.wav     sad          0.9      0.1
    """

    def to_frame(self):
        """A row for each, with the columns of ``summary.csv``; what is not known is missing.

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        SettingsError
            pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise SettingsError(
                'to_frame needs pandas: pip install "speechbrain_merit[pandas]".'
            ) from error
        lines = []
        for analysis in self:
            name = "" if analysis.path is None else analysis.path
            if analysis.error is None:
                lines += rows(name, analysis.to_dict())
            else:
                lines += failed({name: analysis.error})
        known = [{key: None if value == "" else value for key, value in line.items()}
                 for line in lines]  # fmt: skip
        return pandas.DataFrame(known, columns=columns(lines))
