"""Keys whose values stay the text that was written: paths, names of corpora, labels.

YAML makes a number of ``20240105``, a date of ``2024-01-05``, a truth value of ``no``, nothing of
``~``, and takes what follows `` #`` for a comment. A folder or a label of that name is none of it.
"""

import os
import re

import yaml

from speechbrain_merit.errors import SettingsError

LABEL_KEYS = ("labels", "merge_labels")
#: Folders by name may stand here, ``{name: folder, …}``.
MAPPINGS = ("data_folder", "noise_test_folders", "speech_folders")
NULL = ("", "null", "Null", "NULL")  # on a command line; ~ is the home folder there, as in a shell
ENTRY = re.compile(
    r"""\s*(?P<name>"[^"]*"|'[^']*'|[^\s,:{}"'][^,:{}"']*?)\s*:(?:\s+|(?=["'])|$)(?P<folder>.*)""",
    re.DOTALL,
)
BETWEEN = re.compile(r""",\s*(?=(?:"[^"]*"|'[^']*'|[^\s,:{}"'][^,:{}"']*)\s*:(?:\s|["']))""")


class Numbers(yaml.SafeLoader):
    """Reads ``1e-4`` as a number; without a point, YAML 1.1 takes it for text."""


Numbers.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+[eE][-+]?\d+$"), list("-+0123456789")
)


def is_path(key):
    """Whether the value of a key is a path, or a name that may be one.

    Example
    -------
    >>> is_path("rir_folder"), is_path("encoder"), is_path("seed")
    (True, True, False)
    """
    named = key in ("corpus", "encoder", "enhancer", "classifier", "start_from", "train_log")
    return named or key.endswith(("_folder", "_folders", "_annotation"))


def stays_text(key):
    """Whether the value of a key stays the text that was written.

    Example
    -------
    >>> stays_text("labels"), stays_text("lr")
    (True, False)
    """
    return is_path(key) or key in LABEL_KEYS


def read_yaml(text, loader=Numbers):
    """The keys and values of a YAML; where `stays_text` says so, as they were written.

    Arguments
    ---------
    text : str
        A mapping, or nothing.
    loader : type, optional
        Makes the other values.

    Returns
    -------
    dict
        Paths begin with the home folder where they were written with ``~/``.

    Raises
    ------
    SettingsError
        If it is no mapping.
    yaml.YAMLError
        If it is no YAML.

    Example
    -------
    >>> read_yaml("{data_folder: 2024-01-05, labels: [no, 1], merge_labels: {2: 1}, lr: 1e-4}")
    {'data_folder': '2024-01-05', 'labels': ['no', '1'], 'merge_labels': {'2': '1'}, 'lr': 0.0001}
    """
    reader = loader(text)
    try:
        tree = reader.get_single_node()
        if tree is None:
            return {}
        if not isinstance(tree, yaml.MappingNode):
            raise SettingsError(f"{text[:40]!r}: keys and values are wanted, as key: value.")
        values = {}
        for node, value in tree.value:
            key = reader.construct_object(node, deep=True)
            text_key = isinstance(key, str) and stays_text(key)
            values[key] = (
                written(key, value) if text_key else reader.construct_object(value, deep=True)
            )
        return values
    finally:
        reader.dispose()


def written(key, node, within=()):
    """The value of a node of a YAML, every scalar in it as it was written; null is None."""
    if node is None:  # a comment, and nothing before it
        return None
    if isinstance(node, yaml.ScalarNode):
        null = node.tag == "tag:yaml.org,2002:null" and node.style is None
        return None if null else expanded(key, node.value)
    if isinstance(node, yaml.SequenceNode):
        return [item.value if isinstance(item, yaml.ScalarNode) else None for item in node.value]
    if not all(isinstance(name, yaml.ScalarNode) for name, _ in node.value):
        raise SettingsError(f"{key}: the names of a mapping are words, as in {{name: folder}}.")
    within = (*within, node)
    if any(value in within for _, value in node.value):
        raise SettingsError(f"{key}: a mapping cannot hold itself.")
    return {name.value: written(key, value, within) for name, value in node.value}


def from_command_line(key, text):
    """The value of a key that stays text, from the words behind it on a command line.

    Arguments
    ---------
    key : str
        One of which `stays_text`.
    text : str
        Labels are written as in YAML, ``[angry, sad]``; a path as it is, whatever it holds.

    Returns
    -------
    str, list, dict or None
        None for nothing and for ``null``.

    Example
    -------
    >>> from_command_line("rir_folder", "take #2"), from_command_line("labels", "#2")
    ('take #2', None)
    >>> from_command_line("noise_test_folders", "{a: take #2, b: 2024}")
    {'a': 'take #2', 'b': '2024'}
    """
    if text in NULL:
        return None
    if not is_path(key):
        try:
            return written(key, yaml.compose(text, Loader=yaml.SafeLoader))
        except yaml.YAMLError as error:
            why = getattr(error, "problem", None) or error
            example = "[angry, sad]" if key == "labels" else "{excited: happy}"
            raise SettingsError(f"--{key} {text}: {why}. Write it as {example}.") from None
    folders = folders_by_name(text) if key in MAPPINGS else None
    if folders is None:
        return expanded(key, text)
    return {name: folder and expanded(key, folder) for name, folder in folders.items()}


def folders_by_name(text):
    """``{name: folder}`` from the text of it; None if it is none, or the name of a folder itself.

    Example
    -------
    >>> folders_by_name("{a: /x, y/#1, b: D:/z}"), folders_by_name("a: b")
    ({'a': '/x, y/#1', 'b': 'D:/z'}, None)
    """
    if not (text.startswith("{") and text.endswith("}")) or os.path.isdir(text):
        return None
    found = _as_yaml(text)
    if found is not None:
        return found
    entries = [ENTRY.fullmatch(part) for part in BETWEEN.split(text[1:-1])]
    if not all(entries):
        return None
    return {_unquoted(e["name"]): _unquoted(e["folder"].strip()) or None for e in entries}


def _as_yaml(text):
    """The mapping, where YAML understands it as a person would; None otherwise."""
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return None
    nodes = [node for pair in tree.value for node in pair]
    plain = all(isinstance(n, yaml.ScalarNode) and not n.tag.startswith("!") for n in nodes)
    empty = plain and any(not n.value and n.style is None for n in nodes)  # from "a: x, y"
    return None if not plain or empty or "\n" in text else written("", tree)


def _unquoted(text):
    if text[:1] in ("'", '"') and text[-1:] == text[:1] and len(text) > 1:
        try:
            return str(yaml.safe_load(text))
        except yaml.YAMLError:
            return text
    return text


def expanded(key, text):
    """A path with the home folder in place of ``~``; other text as it is."""
    if not is_path(key):
        return text
    if key == "corpus":
        return ",".join(os.path.expanduser(name.strip()) for name in text.split(","))
    return os.path.expanduser(text)
