#!/bin/sh
# Trains, scores and exports merit-tiny; a little over an hour on two CPU cores.
# SHARED is the folder that holds the corpora, the noise and the encoder.
set -eu
cd "$(dirname "$0")/.."
SHARED=${SHARED:-../shared}
RUN=results/merit-tiny
NOISE=$SHARED/data/noise

python train.py hparams/merit.yaml --corpus RAVDESS,nEMO \
    --data_folder "{RAVDESS: $SHARED/data/speech/RAVDESS, nEMO: $SHARED/data/speech/nEMO}" \
    --encoder "$SHARED/models/whisper-tiny.en-encoder" \
    --noise_train_folder "$NOISE/ambient/train" --noise_valid_folder "$NOISE/ambient/valid" \
    --noise_test_folders "{seen: $NOISE/ambient/test_seen, unseen: $NOISE/esc10}" \
    --passes_per_epoch 1 --expert_hidden 1024 --filter_share 0.3 \
    --band_limit_share 0.15 --test_band_limit True \
    --output_folder $RUN --skip_test True
python evaluate.py $RUN
python -m speechbrain_merit export $RUN pretrained/merit-tiny --precision fp16 --overwrite

{
    printf '\n## How it was made\n\n```\n'
    sed -n '/^SHARED=/,/--precision/p' pretrained/make_merit_tiny.sh  # these very commands
    cat <<'CARD'
```

Test speakers are 21-24 of RAVDESS and MP0 and WR0 of nEMO; checkpoint and temperature were chosen on
17-20 and SM0. *seen*: other sections of the noises in training; *unseen*: ESC-10 types that training
does not hold; *4 kHz*: the mixture as a telephone passes it.

RAVDESS: S. R. Livingstone and F. A. Russo, PLoS ONE 13(5), 2018. nEMO: I. Christop, LREC-COLING 2024.
The encoder started from Whisper-tiny.en by OpenAI (MIT licence) and was trained further.
CARD
} >> pretrained/merit-tiny/README.md
