"""From a job to its data, of any kind."""

from __future__ import annotations

from understudy.data.image import ImageDataset, ImageExamples, has_pictures, is_picture_folder, load_image_dataset
from understudy.data.kind import kind_of
from understudy.data.room import TEMPORARY, Room
from understudy.data.sound_folder import is_sound_folder
from understudy.data.text import Examples, TextDataset, load_text_dataset
from understudy.data.vector import VectorDataset, VectorExamples, load_vector_dataset
from understudy.errors import InputError
from understudy.job import Job
from understudy.progress import Progress

Dataset = TextDataset | ImageDataset | VectorDataset
AnyExamples = Examples | ImageExamples | VectorExamples


def load_dataset(
    job: Job,
    *,
    room: Room = TEMPORARY,
    progress: Progress | None = None,
    picture_shape: tuple[int, int, int] | None = None,
) -> Dataset:
    """Return the data of ``job``: of the kind that ``kind_of`` tells.

    Images, sounds and arrays of numbers stand in ``room``; ``progress`` counts files. Pictures of a folder are brought to
    ``picture_shape`` where the job names no size.

    Raises:
        InputError: a file, column, array or row that cannot be used, fewer than two classes, a class or part left empty.
        SetupError: a file may not be read, its format needs an extra, or data larger than memory need more room on disk.
    """
    if job.data.skip_bad and not is_picture_folder(job.data.train):
        raise InputError(
            "data.skip_bad is for folders of pictures or recordings: received data.skip_bad=true with "
            f"file={str(job.data.train)!r}; remove it"
        )
    if job.data.image_size is not None and not has_pictures(job.data.train):
        raise InputError(
            f"data.image_size is for folders of pictures: received data.image_size={job.data.image_size} with "
            f"file={str(job.data.train)!r}; remove it, and resize arrays before they are given"
        )
    if (job.data.sample_rate, job.data.seconds) != (None, None) and not is_sound_folder(job.data.train):
        raise InputError(
            f"data.sample_rate and data.seconds are for sounds: received data.sample_rate={job.data.sample_rate} and "
            f"data.seconds={job.data.seconds} with file={str(job.data.train)!r}; remove them"
        )
    kind = kind_of(job.data, room=room)
    if kind == "image":
        return load_image_dataset(job.data, seed=job.seed, room=room, progress=progress, picture_shape=picture_shape)
    if kind == "vector":
        return load_vector_dataset(job.data, seed=job.seed, room=room)
    return load_text_dataset(job.data, seed=job.seed, max_bytes=job.max_bytes, max_words=job.max_words)
