"""The rows of finished runs as what a comparison is made of."""

#: Name → how it is written, its decimals, and whether more is better.
METRICS = {
    "f1_macro": ("F1-macro", 3, True),
    "pesq": ("PESQ", 2, True),
    "stoi": ("STOI", 3, True),
    "si_sdr_gain": ("gain in SI-SDR (dB)", 1, True),
    "ssnr_gain": ("gain in segmental SNR (dB)", 2, True),
}
