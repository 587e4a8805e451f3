"""What figures share: text that a font can draw."""


def plain(text, longest=60):
    r"""Text as matplotlib shows it literally, cut where it would leave no room for the plot.

    A dollar sign would start a formula.

    Arguments
    ---------
    text : str
        Any text.
    longest : int
        Number of characters to keep.

    Returns
    -------
    str
        Escaped text.

    Example
    -------
    >>> plain("5 $")
    '5 \\$'
    """
    text = str(text)
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    return text.replace("$", r"\$")
