"""Scores of emotional attributes (arousal, valence, dominance): concordance with the raters."""

import numpy as np

from speechbrain_merit.measures import concordance_parts


def concordance(truth, predicted):
    """Concordance correlation coefficient: 1 where two series agree in shape, scale and level.

    Arguments
    ---------
    truth, predicted : numpy.ndarray
        Values (N); where the truth is NaN, nobody rated, and the pair does not count.

    Returns
    -------
    float or None
        −1 … 1; None where fewer than two utterances are rated or nothing varies.

    Example
    -------
    >>> round(concordance(np.array([0.0, 0.5, 1.0]), np.array([0.1, 0.5, 0.9])), 3)
    0.976
    """
    truth, predicted = np.asarray(truth, float), np.asarray(predicted, float)
    rated = np.isfinite(truth)
    truth, predicted = truth[rated], predicted[rated]
    if len(truth) < 2:
        return None
    agreement, spread = concordance_parts(truth, predicted)
    return float(agreement / spread) if spread > 0 else None


def attribute_scores(truth, predicted, attributes):
    """The concordance of each attribute, and their mean.

    Arguments
    ---------
    truth, predicted : numpy.ndarray
        Values (N, A); NaN in the truth where nobody rated.
    attributes : list of str
        Names of the A attributes.

    Returns
    -------
    dict
        ``ccc``, the mean over the attributes that have one (None where none has), and
        ``ccc_by_attribute``, ``{name: value or None}``.

    Example
    -------
    >>> truth = np.array([[0.0], [1.0]])
    >>> attribute_scores(truth, truth, ["arousal"])
    {'ccc': 1.0, 'ccc_by_attribute': {'arousal': 1.0}}
    """
    columns = zip(np.asarray(truth, float).T, np.asarray(predicted, float).T)
    values = {name: concordance(*pair) for name, pair in zip(attributes, columns, strict=True)}
    known = [value for value in values.values() if value is not None]
    return {"ccc": float(np.mean(known)) if known else None, "ccc_by_attribute": values}
