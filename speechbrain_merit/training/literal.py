"""Between a command line and HyperPyYAML: paths and labels go through as the text that they are."""

import io
import re
from pathlib import Path

import yaml
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from speechbrain_merit.audio.names import readable
from speechbrain_merit.data.text_keys import expanded, stays_text, written
from speechbrain_merit.errors import SettingsError


def settle(hparams_file, overrides):
    """Overrides in which HyperPyYAML leaves paths and labels the text that they are.

    What the YAML itself has in a form that is read as something else is there as well, and what it
    builds of others (``!ref <output_folder>/save``): HyperPyYAML calculates with such texts, and
    ``3 #2/save`` is 3 to it.

    Arguments
    ---------
    hparams_file : str or Path
        The YAML.
    overrides : dict
        What is laid over it.

    Returns
    -------
    dict
        For `load_hyperpyyaml` and its like.

    Raises
    ------
    SettingsError
        If a text cannot stand in a YAML.
    """
    text = Path(hparams_file).read_text(encoding="utf-8")
    nodes = {key.value: node for key, node in yaml.compose(text).value}
    settled = dict(overrides)
    for key in filter(stays_text, nodes):
        if key not in overrides and not _misread(key, nodes[key]):
            continue
        found = _text_of(key, nodes, overrides)
        if found is not None or key in overrides:
            settled[key] = quoted(found, key, referred=f"<{key}>" in text)
    return settled


def without_mappings(hparams_file, overrides):
    """A YAML to read from, in which mappings that the overrides give anew are empty.

    HyperPyYAML would add what is given to what stands there: noise sets that a run was trained
    with, say, to those that it is to be scored on.

    Arguments
    ---------
    hparams_file : str or Path
        The YAML.
    overrides : dict
        What is laid over it.

    Returns
    -------
    io.StringIO
        With the ``name`` of the file, beside which HyperPyYAML looks for what is included.
    """
    text = Path(hparams_file).read_text(encoding="utf-8")
    given = [node for key, node in yaml.compose(text).value if key.value in overrides]
    for node in reversed(given):
        if node.tag == "tag:yaml.org,2002:map":
            text = text[: node.start_mark.index] + "{}\n" + text[node.end_mark.index :]
    stream = io.StringIO(text)
    stream.name = str(hparams_file)
    return stream


def _misread(key, node):
    """Whether a value of the YAML is taken for something else than the text that it is."""
    if not isinstance(node, yaml.ScalarNode):
        return any(_misread(key, part) for part in parts(node))
    if node.tag != "tag:yaml.org,2002:str":
        return node.tag != "tag:yaml.org,2002:null"
    # what is text to YAML 1.1 may be a number to 1.2, and a tuple to HyperPyYAML
    return expanded(key, node.value) != node.value or bool(
        node.style is None and re.match(r"[-+.(\d]", node.value)
    )


def _text_of(key, nodes, overrides):
    """The value of a key that stays text; None where that is for HyperPyYAML to find out."""
    node = nodes[key]
    if key in overrides:
        return overrides[key]
    if node.tag != "!ref":
        return written(key, node) if not node.tag.startswith("!") else None
    text = expanded(key, node.value)
    for name in re.findall(r"<(.*?)>", text):
        if name not in nodes or not isinstance(nodes[name], yaml.ScalarNode):
            return None
        value = overrides.get(name, nodes[name].value)
        if stays_text(name):
            value = _text_of(name, nodes, overrides)
        elif nodes[name].tag == "!ref":
            return None
        if name == "corpus":  # given by its path, it is known by the name of its folder
            value = ",".join(Path(path).name for path in str(value).split(","))
        text = text.replace(f"<{name}>", str(value))
    return text


def parts(node):
    """The nodes in a list, or keys and values of a mapping, of a YAML."""
    return [n for item in node.value for n in (item if isinstance(item, tuple) else (item,))]


def quoted(value, key, referred=False):
    """A value whose texts are read as texts, whatever they look like."""
    if isinstance(value, dict):
        return {quoted(name, key): quoted(v, key, referred) for name, v in value.items()}
    if isinstance(value, list):
        return [quoted(item, key) for item in value]
    if not isinstance(value, str):
        return value
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise SettingsError(f"{key}: {readable(value)!r} is not UTF-8: rename the file or folder.")
    if referred and re.search("<.*>", value, re.DOTALL):
        raise SettingsError(
            f"{key}: {value!r} must not hold <…>, which refers to another key: rename the folder."
        )
    return DoubleQuotedScalarString(value)
