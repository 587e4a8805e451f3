"""The files that another tool made of a benchmark: found, checked and brought in time."""

import numpy as np
import soundfile as sf
from speechbrain.utils.logger import get_logger
from tqdm import tqdm

from speechbrain_merit import writing
from speechbrain_merit.errors import AudioError
from speechbrain_merit.evaluation.alignment import (
    SURE,
    Delay,
    aligned,
    common_delay,
    find_delay,
    fits,
    likeness,
    too_odd,
)

logger = get_logger(__name__)

RATE = 16000
SUFFIXES = (".flac", ".wav")
#: Where a tool's delay is looked for: here outputs are most like clean speech.
CLEAR = 15  # dB and above
NEAR = 8  # samples, 0.5 ms: filters that follow the signal move the peak by as much


class Enhanced:
    """The files of a tool: found, checked and brought in time, each as it is read.

    Arguments
    ---------
    benchmark : Benchmark
        Whose names they have.
    folder : Path
        Theirs.
    """

    def __init__(self, benchmark, folder):
        self.benchmark, self.folder = benchmark, folder
        self.paths = {item.file: self._find(item) for item in benchmark.items}
        self.problems, self.own = {}, {}
        kinds = {}
        for path in self.paths.values():
            with _opened(path) as file:
                kinds.setdefault((file.format, file.subtype), path)
        if len(kinds) > 1:
            (_, one), (_, other), *_ = kinds.items()
            raise AudioError(
                f"{one} and {other} are of two formats ({', '.join(map(' '.join, kinds))}): are "
                f"these outputs of two tools? Give {folder} the files of one."
            )
        clear = {i.file for i in benchmark.items if _clear(i)}
        delays, items = {}, tqdm(benchmark.items, "Looking for delays")
        for item in items:  # and at every file, before any is scored
            delays[item.file] = self._alike(item)[1]
        self.delay = common_delay(delays[file] for file in clear)
        sure = sum(delays[file].likeness >= SURE for file in clear) > len(clear) / 2
        for item in benchmark.items:
            file, found = item.file, delays[item.file]
            far = found.likeness >= SURE and abs(found.samples - self.delay) > NEAR
            if far and self._has_another(item, found):
                self.own[file] = found.samples
                self._note(file, f"{found.samples} samples late and not {self.delay}, removed")
            elif sure and file in clear and 0 < found.likeness < SURE:
                self._note(file, "hardly like its recording: is it another one's?")
        if self.delay:
            logger.warning(
                f"{folder}: comes {self.delay} samples ({1000 * self.delay / RATE:g} ms) late; "
                "removed before scoring."
            )
        if len(self.own) > len(delays) / 20:
            logger.warning(
                f"{folder}: {len(self.own)} of {len(delays)} files have another delay than the "
                "rest: are these outputs of two tools, or of two versions?"
            )

    def _alike(self, item):
        """What tells the delay of a file, clean speech or what the tool heard; and the delay."""
        wave = self._checked(item)
        references = [self.benchmark.clean]
        if not _clear(item):
            references.insert(0, self.benchmark.noisy)
        found = []
        for reference in (read(item) for read in references):
            found.append((reference, find_delay(reference, wave)))
            if found[-1][1].likeness >= SURE:
                break
        return max(found, key=lambda pair: pair[1].likeness)

    def _has_another(self, item, found):
        """Whether a file comes late by the delay that was found for it, and not as the rest."""
        wave, clean = self._checked(item), self.benchmark.clean(item)
        # What is left of noise can be late alone: it is the speech that has to come in time.
        speech = Delay(found.samples, likeness(clean, wave, found.samples))
        heard = self._alike(item)[0]
        return not (fits(heard, wave, self.delay, found) or fits(clean, wave, self.delay, speech))

    def _find(self, item):
        stem = (self.folder / item.file).with_suffix("")
        found = [p for p in (stem.with_name(stem.name + s) for s in SUFFIXES) if p.is_file()]
        if not found:
            raise AudioError(f"{stem}.wav (or .flac) is missing: enhance {item.file} too.")
        if len(found) > 1:
            raise AudioError(f"{found[0]} and {found[1]} are both there: take one out.")
        return found[0]

    def _checked(self, item):
        """The samples of a file (S'), float32."""
        path = self.paths[item.file]
        with _opened(path) as file:
            if file.samplerate != RATE:
                raise AudioError(f"{path} is at {file.samplerate} Hz: bring it to {RATE} Hz.")
            if file.channels != 1:
                raise AudioError(f"{path} has {file.channels} channels: give one.")
            try:
                wave = file.read(dtype="float32")
            except sf.SoundFileError as error:
                raise AudioError(f"{path} cannot be read: {error} Make it again.") from error
        if not np.isfinite(wave).all():
            raise AudioError(f"{path} holds NaN or infinite samples.")
        if too_odd(len(wave), item.samples):
            raise AudioError(
                f"{path} has {len(wave)} samples and {item.file} has {item.samples}: it is another "
                "recording's, or was cut."
            )
        if not wave.any():
            self._note(item.file, "silent")
        elif len(wave) != item.samples:
            longer = len(wave) - item.samples
            what = "longer, cut" if longer > 0 else "shorter, filled up"
            self._note(item.file, f"{abs(longer)} samples {what}")
        return wave

    def _note(self, file, problem):
        """Remembers once what is odd about a file."""
        self.problems.setdefault(file, {})[problem] = None

    def read(self, item):
        """The wave of an item, in time, (S) float32."""
        delay = self.own.get(item.file, self.delay)
        return aligned(self._checked(item), delay, item.samples)

    def write_problems(self, path):
        """Writes what was odd, a row a file, and says how much it was."""
        rows = [(file, "; ".join(found)) for file, found in sorted(self.problems.items())]
        text = "file,problem\n" + "".join(f'{file},"{problem}"\n' for file, problem in rows)
        writing.write_text(path, text)
        if rows:
            logger.warning(f"{len(rows)} files are odd, such as {': '.join(rows[0])}: see {path}")


def _clear(item):
    return item.noise_set is None or (item.snr_db or 0) >= CLEAR


def _opened(path):
    try:
        return sf.SoundFile(path)
    except (sf.SoundFileError, OSError) as error:
        raise AudioError(f"{path} cannot be read: {error}") from error
