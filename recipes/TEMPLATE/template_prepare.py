"""Prepares TEMPLATE: a folder with recordings and labels.csv. See docs/own_corpus.md."""

from speechbrain_merit.data.listing import check_folder, read_table, scale_attribute
from speechbrain_merit.data.own_table import prepare_own_table

FILE, EMOTION, SPEAKER, SPLIT = "file", "emotion", "speaker", "split"  # columns of labels.csv
ATTRIBUTES, LOWEST, HIGHEST = ["arousal", "valence", "dominance"], 0, 1


def prepare_template(
    data_folder,
    save_json_train,
    save_json_valid,
    save_json_test,
    labels,
    merge_labels=None,
    fold=None,
    skip_prep=False,
):
    """Writes the manifests of TEMPLATE."""
    if skip_prep:
        return
    root = check_folder(data_folder, "Pass the folder with the recordings and labels.csv")
    table, rows = root / "labels.csv", []
    for line in read_table(table, [FILE, EMOTION, SPEAKER], [SPLIT, *ATTRIBUTES]):
        row = {"line": line["line"], "file": line[FILE], "emo": line[EMOTION]}
        row |= {"spk_id": line[SPEAKER], "split": line.get(SPLIT)}
        for name in ATTRIBUTES:
            place = f"{table}, line {line['line']}: {name}"
            row[name] = scale_attribute(line.get(name, ""), LOWEST, HIGHEST, place)
        rows.append(row)
    manifests = {"train": save_json_train, "valid": save_json_valid, "test": save_json_test}
    prepare_own_table("TEMPLATE", table, rows, manifests, labels, merge_labels, fold)
