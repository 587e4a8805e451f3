"""What clients send, as jobs: in files whose names are the service's own, looked at before heard.

The name that a client gives is shown in the answer and nowhere used as a path.
"""

import re
import shlex
import shutil
import tempfile

from speechbrain_merit.audio.containers import converted
from speechbrain_merit.audio.reading import Recording
from speechbrain_merit.errors import AudioError
from speechbrain_merit.inference.jobs import FileJob
from speechbrain_merit.inference.results import described

SHOWN = 200  # characters of a client's name for its file
#: Samples of all channels a second: what is beyond is no recording of speech, and a block of it
#: would not fit into memory.
MOST_SAMPLES = 16 * 192_000
#: Channels that are heard each by itself: each costs as much as a recording of its own.
MOST_APART = 8


class TooLongError(AudioError):
    """A recording that lasts longer than the service hears."""


class Upload(FileJob):
    """A file that a client sent.

    Arguments
    ---------
    file : file object
        Its content.
    name : str
        As the client calls it.
    folder : str or Path
        Of the service, where the content lies while it is needed.
    channels : str
        ``mix`` or ``separate``.

    Example
    -------
    >>> import io
    >>> upload = Upload(io.BytesIO(b"no sound"), "../../etc/call.wav", getfixture("tmpdir"))
    >>> upload.name, str(upload.path.parent) == str(getfixture("tmpdir"))
    ('call.wav', True)
    >>> upload.check(max_seconds=60)
    Traceback (most recent call last):
    ...
    speechbrain_merit.errors.AudioError: ...: no recording that can be read: ...
    """

    def __init__(self, file, name, folder, channels="mix"):
        with tempfile.NamedTemporaryFile(dir=folder, prefix="upload", delete=False) as own:
            super().__init__(own.name, channels=channels, keep=False)
            try:
                shutil.copyfileobj(file, own)
                own.flush()
            except BaseException:  # a full disk would stay full
                self.release()
                raise
        self.name = shown(name)

    def check(self, max_seconds):
        """Raises AudioError for what is no recording, TooLongError for one that lasts too long.

        The length is that of the sound and not what its header promises: of a file that unpacks to
        hours no more is decoded than is needed to see that.
        """
        recording = Recording(self.path)
        if recording.n_channels * recording.rate > MOST_SAMPLES:
            raise AudioError(
                f"{self.path}: {recording.n_channels} channels at {recording.rate} Hz are more "
                "than is heard here: make them fewer."
            )
        if self.channels == "separate" and recording.n_channels > MOST_APART:
            raise AudioError(
                f"{self.path}: {recording.n_channels} channels are more than the {MOST_APART} that "
                "are heard apart here: make them fewer, or send channels=mix."
            )
        most, frames = round(max_seconds * recording.rate), 0
        if (recording.frames or 0) <= most:
            frames = sum(len(block) for block in recording.blocks(stop=most + 1))
        if max(frames, recording.frames or 0) > most:
            raise TooLongError(
                f"{self.path}: lasts longer than the {max_seconds:g} s that are heard here: cut it."
            )

    def about(self):
        """What is known of it, as the JSON of ``merit analyse`` has it."""
        analyses = self.analyses()
        for analysis in analyses:
            analysis.path = self.name
        return described(analyses, self.channels)

    def sentence(self, error):
        """What is wrong with it, under the client's own name."""
        text = str(error).replace(str(self.path), self.name)
        own = shlex.quote(converted(self.path).name), shlex.quote(self.path.name)
        clients = shlex.quote(converted(self.name).name), shlex.quote(self.name)
        for mine, theirs in zip(own, clients):  # in a command that converts it
            text = text.replace(mine, theirs)
        return text

    def release(self):
        """Deletes the file."""
        self.path.unlink(missing_ok=True)


def shown(name):
    r"""The last part of a client's name for a file, without what no screen shows.

    Example
    -------
    >>> shown("C:\\calls\\a\0\n.wav"), shown("..")
    ('a.wav', 'recording')
    """
    last = re.split(r"[/\\]", name or "")[-1]
    text = "".join(letter for letter in last if letter.isprintable()).strip(". ")
    return text[-SHOWN:] or "recording"


def own_folder():
    """A folder of the service's own, deleted when it ends."""
    return tempfile.TemporaryDirectory(prefix="merit-", ignore_cleanup_errors=True)
