"""Prepares TEMPLATE: a folder with recordings and labels.csv. See docs/own_corpus.md."""

from pathlib import Path

from speechbrain_merit.audio.inspection import find_audio
from speechbrain_merit.data.listing import check_folder, read_table, scale_attribute
from speechbrain_merit.data.preparation import check_labels, prepare_speech, write_unmatched
from speechbrain_merit.data.splits import cross_validate, split_by_speaker
from speechbrain_merit.errors import PreparationError

FILE, EMOTION, SPEAKER, SPLIT = "file", "emotion", "speaker", "split"  # columns of labels.csv
ATTRIBUTES, LOWEST, HIGHEST = ["arousal", "valence", "dominance"], 0, 1


def prepare_template(
    data_folder,
    save_json_train,
    save_json_valid,
    save_json_test,
    labels,
    fold=None,
    skip_prep=False,
):
    """Writes the manifests of TEMPLATE; no speaker is in two of them."""
    if skip_prep:
        return
    root = check_folder(data_folder, "Pass the folder with the recordings and labels.csv")
    table = root / "labels.csv"
    manifests = {"train": save_json_train, "valid": save_json_valid, "test": save_json_test}
    utterances, files, split_of = {}, {}, {}
    for row in read_table(table, [FILE, EMOTION, SPEAKER]):
        place, speaker = f"{table}, line {row['line']}", row[SPEAKER]
        if not (row[FILE] and speaker and row[EMOTION]):
            raise PreparationError(f"{place}: {FILE}, {EMOTION} or {SPEAKER} is empty.")
        file = Path(row[FILE].replace("\\", "/"))
        key = str(file.with_suffix("")).replace("/", "-")  # ids become parts of file names
        if key in utterances or file.is_absolute():
            raise PreparationError(f"{place}: {file} is no path within {root}, or is there twice.")
        split = split_of.setdefault(speaker, row.get(SPLIT))
        if split != row.get(SPLIT) or split not in (*manifests, None):
            raise PreparationError(
                f"{place}: {SPLIT} is {row[SPLIT]!r}: take one of {', '.join(manifests)}, the same "
                f"for all recordings of {speaker}."
            )
        utterances[key] = {"wav": root / file, "emo": row[EMOTION], "spk_id": speaker}
        for name in ATTRIBUTES:
            if row.get(name):
                value = scale_attribute(row[name], LOWEST, HIGHEST, f"{place}: {name}")
                utterances[key][name] = value
        files[str(file)] = key
    check_labels(labels, sorted({row["emo"] for row in utterances.values()}), "TEMPLATE")
    recordings = {str(path.relative_to(root)): path for path in find_audio(root)}
    write_unmatched(Path(save_json_train).parent, "TEMPLATE", table, files, recordings)

    splits = {name: [s for s, split in split_of.items() if split == name] for name in manifests}
    if fold or not any(splits.values()):  # by speaker: a fifth to the test, a fifth to valid
        splits = cross_validate({"train": sorted(split_of), "valid": [], "test": []}, fold or 1)
    rows = split_by_speaker("TEMPLATE", utterances, splits, labels)
    prepare_speech("TEMPLATE", root, manifests, rows, labels)
