"""Folders of class folders with WAV files: what is read, the rate and length that are found, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recordings import tone, write_wav
from understudy.data.dataset import load_dataset
from understudy.data.image import load_image_dataset
from understudy.data.sound_folder import Wanted, is_sound_folder, read_sounds, suggest_log_mel
from understudy.data.wave_file import Heard
from understudy.errors import InputError
from understudy.job import DataSettings, Job
from understudy.projections.log_mel import LogMel, pictures


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with ten recordings of each of two classes, a second class at another rate."""
    for number in range(10):
        write_wav(tmp_path / "all" / "low" / f"{number}.wav", tone(300 + 20 * number, seconds=0.3, rate=8000), rate=8000)
        rate = 8000 if number else 16_000
        write_wav(tmp_path / "all" / "high" / f"{number}.WAV", tone(2000 + number, seconds=0.2, rate=rate), rate=rate)
    return tmp_path / "all"


def test_folders_are_classes_and_pictures_are_those_of_the_samples(folder: Path) -> None:
    (folder / "low" / "notes.txt").write_text("x")
    (folder / ".hidden").mkdir()
    assert is_sound_folder(folder)
    sounds = read_sounds(folder, how=Wanted(), skip_bad=False)
    assert sounds.labels == ("high",) * 10 + ("low",) * 10
    assert sounds.log_mel == LogMel(2432, 8000)  # 0.3 s in whole half frames
    assert sounds.samples is not None
    assert sounds.samples.shape == (20, 2432)
    np.testing.assert_array_equal(sounds.pixels, pictures(sounds.log_mel, sounds.samples))
    assert sounds.counts == {"recording_left_out": 0, "recording_resampled": 1, "recording_cut": 0, "no_recording": 1}


def test_a_data_set_has_pictures_to_learn_from_and_samples_to_run(folder: Path) -> None:
    data = load_image_dataset(DataSettings(train=folder), seed=1)
    assert data.class_names == ("high", "low")
    assert data.log_mel == LogMel(2432, 8000)
    assert data.shape == data.log_mel.shape
    assert [len(part) for part in (data.train, data.validation, data.test)] == [16, 2, 2]
    assert data.test.samples is not None
    np.testing.assert_array_equal(data.test.content, pictures(data.log_mel, data.test.samples))
    assert data.statistics.variations == ("moved in time", "louder or softer")
    lines = data.statistics.lines()
    assert "each read as 2432 samples, 8000 a second (0.30 s around its middle): 18 frames of 32 mel bands" in lines
    assert "warning: recordings of another rate, resampled: 1" in lines
    other = load_image_dataset(DataSettings(train=folder, seconds=0.25), seed=1)
    assert other.digest != data.digest


def test_a_test_folder_is_brought_to_the_rate_and_length_of_train(folder: Path, tmp_path: Path) -> None:
    write_wav(tmp_path / "test" / "low" / "a.wav", tone(310, seconds=1, rate=44_100), rate=44_100)
    data = load_image_dataset(DataSettings(train=folder, test=tmp_path / "test", sample_rate=4000, seconds=0.5), seed=1)
    assert data.log_mel == LogMel(2048, 4000)
    assert data.test.content.shape == (1, 31, 32, 1)
    assert data.test.labels.tolist() == [1]
    assert data.statistics.warnings["recording_resampled"] == 21


@pytest.mark.parametrize(
    ("heard", "wanted", "found"),
    [
        ([Heard(1.0, 8000)] * 3 + [Heard(1.0, 16_000)] * 2, Wanted(), LogMel(8064, 8000)),
        ([Heard(1.0, 8000), Heard(1.0, 16_000)], Wanted(), LogMel(16_128, 16_000)),  # the larger of two as common
        ([Heard(1.0, 44_100)], Wanted(), LogMel(16_128, 16_000)),
        ([Heard(1.0, 44_100)], Wanted(sample_rate=44_100), LogMel(44_544, 44_100)),
        ([Heard(1.0, 2000)], Wanted(), LogMel(4032, 4000)),
        ([Heard(0.01, 8000)], Wanted(), LogMel(9 * 128, 8000)),  # eight frames at least
        ([Heard(60.0, 8000)], Wanted(), LogMel(32_000, 8000)),  # four seconds at most
        ([Heard(60.0, 8000)], Wanted(seconds=8), LogMel(64_000, 8000)),
        ([Heard(0.5, 8000)] * 19 + [Heard(3.0, 8000)], Wanted(), LogMel(24_064, 8000)),
        ([Heard(0.5, 8000)] * 40 + [Heard(3.0, 8000)], Wanted(), LogMel(4096, 8000)),  # 95 % are whole
    ],
)
def test_the_rate_and_length_that_are_found(heard: list[Heard], wanted: Wanted, found: LogMel) -> None:
    assert suggest_log_mel(heard, wanted) == found


def test_bad_recordings_are_named_and_left_out_only_when_asked(folder: Path) -> None:
    (folder / "low" / "3.wav").write_bytes(b"RIFF")
    (folder / "high" / "5.WAV").write_bytes((folder / "high" / "6.WAV").read_bytes()[:200])
    with pytest.raises(InputError, match=r"bad=2 of recordings=20 in folder=.*: high/5.WAV \(.*\), low/3.wav \(no WAV"):
        read_sounds(folder, how=Wanted(), skip_bad=False)
    sounds = read_sounds(folder, how=Wanted(), skip_bad=True)
    assert len(sounds) == 18
    assert sounds.counts["recording_left_out"] == 2
    assert [name.partition(" ")[0] for name in sounds.left_out] == ["high/5.WAV", "low/3.wav"]


def test_recordings_in_folders_inside_a_class_folder_are_of_that_class(folder: Path) -> None:
    (folder / "low" / "more").mkdir()
    (folder / "low" / "9.wav").rename(folder / "low" / "more" / "9.wav")
    (folder / "high" / "notes.txt").write_text("x")
    sounds = read_sounds(folder, how=Wanted(), skip_bad=False)
    assert sounds.labels == ("high",) * 10 + ("low",) * 10
    assert sounds.named == {"no_recording": ("high/notes.txt",)}
    (folder / "low" / "gone.wav").symlink_to("nowhere.wav")
    with pytest.raises(InputError, match=r"bad=1 of recordings=21 .*: low/gone.wav \("):
        read_sounds(folder, how=Wanted(), skip_bad=False)


def test_what_is_no_folder_of_sounds_is_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match="each class folder holds recordings .* received folder='.*empty' without any"):
        read_sounds(folder, how=Wanted(), skip_bad=False)
    write_wav(tmp_path / "one" / "only" / "a.wav", tone(300, seconds=0.2, rate=8000), rate=8000)
    with pytest.raises(InputError, match="at least two classes: received label='only'"):
        load_image_dataset(DataSettings(train=tmp_path / "one"), seed=1)
    (tmp_path / "bad" / "a").mkdir(parents=True)
    (tmp_path / "bad" / "a" / "x.wav").write_bytes(b"")
    with pytest.raises(
        InputError,
        match=r"recording that can be used: received folder=.*a' with bad ones alone: a/x.wav \(the file is empty\); save",
    ):
        read_sounds(tmp_path / "bad", how=Wanted(), skip_bad=True)
    np.savez(tmp_path / "images.npz", x=np.zeros((9, 8, 8), np.uint8), y=np.arange(9))
    np.savez(tmp_path / "vectors.npz", x=np.zeros((9, 8), np.float32), y=np.arange(9))
    (tmp_path / "texts.csv").write_text("text,label\na,b\nc,d\n")
    for name in ("images.npz", "vectors.npz", "texts.csv"):
        with pytest.raises(InputError, match=r"data.sample_rate and data.seconds are for sounds: .* data.seconds=1.0 with"):
            load_dataset(Job(name="x", data=DataSettings(train=tmp_path / name, seconds=1.0), budgets=["8KB"]))
        assert not is_sound_folder(tmp_path / name)
