"""Folders of class folders with WAV files: ``recordings/yes/1.wav`` is a sound with the label ``yes``."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from understudy.data.class_folders import entries, listed, relative_names, shown
from understudy.data.image_arrays import Images
from understudy.data.image_folder import check_every_class
from understudy.data.picture import ENDINGS as PICTURE_ENDINGS
from understudy.data.room import TEMPORARY, Room, pieces
from understudy.data.wave_file import ENDINGS, RULE, Heard, listen, samples_of
from understudy.errors import InputError
from understudy.progress import Progress, SilentProgress
from understudy.projections.log_mel import FASTEST_RATE, SLOWEST_RATE, LogMel, frame_samples, pictures

WIDEBAND_RATE = 16_000
"""Above it a rate is not suggested: speech has little there, and a device's time and RAM grow with the rate."""
HELD_SHARE = 0.95
"""Share of the recordings that a suggested length holds whole ..."""
LONGEST_SUGGESTED_SECONDS = 4.0
"""... as long as they are no longer than this."""
FEWEST_FRAMES, MOST_FRAMES = 8, 512


@dataclass(frozen=True)
class Wanted:
    """What a user fixes: samples a second and seconds that are read; None leaves it to the recordings."""

    sample_rate: int | None = None
    seconds: float | None = None


def is_sound_folder(path: Path) -> bool:
    """Return whether ``path`` is a folder whose folders hold WAV files, and no more pictures than these."""
    if not path.is_dir():
        return False
    files = [file for folder in entries(path) if folder.is_dir() for file in entries(folder)]
    sounds = sum(map(_is_wav, files))
    return sounds > 0 and sounds >= sum(file.suffix.lower() in PICTURE_ENDINGS for file in files)


def read_sounds(
    path: Path, *, how: LogMel | Wanted, skip_bad: bool, room: Room = TEMPORARY, progress: Progress | None = None
) -> Images:
    """Return the recordings of ``path``, whose folders are the classes with all that is below them, and their pictures.

    Args:
        path: the folder. Hidden entries are passed over; other files than WAV files are counted and named.
        how: what they are brought to, or what is fixed of it; see ``suggest_log_mel``.
        skip_bad: leave out recordings that cannot be used, in place of refusing the whole folder.
        room: samples and pictures stand there.
        progress: listens.

    Raises:
        InputError: a class without recordings, or bad recordings.
        SetupError: there is no room.
    """
    files, others = listed(path, ENDINGS, without=_without_recordings)
    progress = progress or SilentProgress()
    progress.stage("reading recordings", total=2 * len(files))  # first what they are brought to
    bad: dict[Path, str] = {}
    heard: dict[Path, Heard] = {}
    for file, _ in files:
        try:
            heard[file] = listen(file)
        except ValueError as error:
            bad[file] = str(error)
        progress.advance()
    names = tuple(f"{file.relative_to(path).as_posix()} ({bad[file]})" for file, _ in files if file in bad)
    if names and not skip_bad:
        raise InputError(
            f"{RULE}: received bad={len(names)} of recordings={len(files)} in folder={str(path)!r}: {shown(names)}; "
            "save them anew, or leave them out with --skip-bad"
        )
    check_every_class(
        path, {label for file, label in files} - {label for file, label in files if file in heard}, names, kind="recording"
    )
    log_mel = how if isinstance(how, LogMel) else suggest_log_mel(tuple(heard.values()), how)
    progress.advance(len(names))
    samples = room.empty((len(heard), log_mel.samples), np.int16)
    labels = [label for file, label in files if file in heard]
    for row, file in enumerate(heard):
        samples[row] = samples_of(file, log_mel)
        progress.advance()
    seen = room.empty((len(heard), *log_mel.shape), np.uint8)
    for piece in pieces(samples):
        seen[piece] = pictures(log_mel, samples[piece])
    counts = {
        "recording_left_out": len(names),
        "recording_resampled": sum(each.sample_rate != log_mel.sample_rate for each in heard.values()),
        "recording_cut": sum(each.seconds > log_mel.seconds for each in heard.values()),
        "no_recording": len(others),
    }
    named = {"no_recording": relative_names(others, path)}
    return Images(seen, tuple(labels), counts=counts, left_out=names, samples=samples, log_mel=log_mel, named=named)


def suggest_log_mel(heard: Sequence[Heard], wanted: Wanted) -> LogMel:
    """Return what recordings are brought to.

    The rate is the commonest one, the larger of two that are as common, at most 16 kHz and at least 4 kHz. The length is the
    smallest that holds 95 % of the recordings whole, at most 4 seconds, in whole half frames of about 16 ms.
    """
    common = Counter(each.sample_rate for each in heard).most_common()
    rate = max(rate for rate, count in common if count == common[0][1])
    sample_rate = wanted.sample_rate or min(max(rate, SLOWEST_RATE), WIDEBAND_RATE)
    held = float(np.quantile([each.seconds for each in heard], HELD_SHARE, method="higher"))
    seconds = wanted.seconds or min(held, LONGEST_SUGGESTED_SECONDS)
    assert SLOWEST_RATE <= sample_rate <= FASTEST_RATE
    hop = frame_samples(sample_rate) // 2
    frames = min(max(math.ceil(seconds * sample_rate / hop) - 1, FEWEST_FRAMES), MOST_FRAMES)
    return LogMel((frames + 1) * hop, sample_rate)


def _without_recordings(folder: Path) -> str:
    """Return what is wrong with a class folder that holds no recordings of its own."""
    return (
        f"each class folder holds recordings ({', '.join(ENDINGS)}): received folder={str(folder)!r} without any; "
        "add some or remove the folder"
    )


def _is_wav(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS and path.is_file()
