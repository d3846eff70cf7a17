from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

from understudy.errors import InputError, SetupError
from understudy.formats import DEFAULT_FORMATS
from understudy.job import DataSettings, Job, TeacherSettings, job_from_arguments, load_job, name_from
from understudy.job_errors import tables

REPOSITORY = Path(__file__).resolve().parent.parent
BASE = 'budgets = ["16KB"]\n[data]\ntrain = "data.csv"\n'


def write(folder: Path, content: str) -> Path:
    path = folder / "intents.toml"
    path.write_text(content, encoding="utf-8")
    return path


def test_a_small_job_file_is_filled_up(tmp_path: Path) -> None:
    job = load_job(write(tmp_path, BASE))

    assert job.name == "intents"
    assert job.budget_bytes == (16_384,)
    assert job.formats == DEFAULT_FORMATS
    assert job.data.train == tmp_path / "data.csv"
    assert job.training_mode == "distill"
    assert job.time_seconds is None


def test_paths_start_from_the_job_file_and_overrides_from_here(tmp_path: Path) -> None:
    path = write(tmp_path, BASE + 'test = "/data/test.csv"\nvalidation = "../v.tsv"\n[teacher]\nsource = "models/big.onnx"\n')
    job = load_job(path, validation="here.csv", unlabelled=None)

    assert job.data.test == Path("/data/test.csv")
    assert job.data.validation == Path("here.csv")
    assert job.data.unlabelled is None
    assert job.teacher.source == str(tmp_path / "models/big.onnx")
    assert load_job(path).data.validation == tmp_path / "../v.tsv"
    assert load_job(path, teacher="other.npz").teacher.source == "other.npz"
    for source, found in (("m/net.py:load", f"{tmp_path}/m/net.py:load"), ("net:load", "net:load")):
        path = write(tmp_path, BASE + f'[teacher]\nsource = "{source}"\n')
        assert load_job(path).teacher.source == found
        assert load_job(path).digest() == load_job(path, teacher=source.removeprefix("m/")).digest()


def test_overrides_replace_settings_by_option_and_by_key(tmp_path: Path) -> None:
    path = write(tmp_path, "seed = 5\n" + BASE + '[training]\ntemperature = 3.0\nmode = "joint"\n')
    job = load_job(path, budgets=["32KB", "1.5MB"], seed=7, text="t", time="5m", **{"training.mode": "distill"})

    assert job.budget_bytes == (32_768, 1_572_864)
    assert (job.seed, job.data.text, job.time_seconds) == (7, "t", 300.0)
    assert (job.training.mode, job.training.temperature) == ("distill", 3.0)


def test_arguments_alone_make_a_job() -> None:
    job = job_from_arguments(
        "some/Bank intents.csv.gz", budgets=["32KB"], label="intent", teacher="none", formats=["c"], max_drop=0.01
    )

    assert job.name == "bank_intents"
    assert job.data.train == Path("some/Bank intents.csv.gz")
    assert (job.data.label, job.formats, job.max_drop, job.training_mode) == ("intent", ("c",), 0.01, "self")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("data.csv", "data"),
        ("Bank-intents 2.csv.gz", "bank_intents_2"),
        ("2024.tsv", "model_2024"),
        ("ñ.csv", "model"),
        ("x" * 90, "x" * 48),
    ],
)
def test_names_come_from_files(file: str, name: str) -> None:
    assert name_from(file) == name
    assert job_from_arguments(file, budgets=["1KB"]).name == name


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("package.module:teacher", "importable"),
        ("big.onnx", "file"),
        ("a/b:c.npz", "file"),
        ("C:\\big.onnx", "file"),
    ],
)
def test_what_a_teacher_source_names(source: str, kind: str) -> None:
    assert TeacherSettings(source=source).kind == kind


@pytest.mark.parametrize(("written", "typed"), [('"16KB"', "16KB"), ('" 16KB "', "16KB"), ("16384", "16384")])
def test_budgets_stay_as_typed(tmp_path: Path, written: str, typed: str) -> None:
    job = load_job(write(tmp_path, BASE.replace('"16KB"', written)))
    assert job.budgets == (typed,)
    assert job.budget_bytes == (16_384,)


@dataclass(frozen=True)
class Bad:
    content: str
    message: str
    overrides: dict[str, object] = field(default_factory=dict)


BAD = [
    Bad(
        "budget = 1\n" + BASE,
        r"^a job has only known keys: received budget=1 in file='.*intents\.toml'; did you mean 'budgets'\?$",
    ),
    Bad(
        "zzz = 1\n" + BASE,
        r"received zzz=1 in file=.*; known keys at the top are name, budgets, devices, formats, encrypt, student, seed, time",
    ),
    Bad(BASE + "[training]\ntempratur = 2\n", r"received training\.tempratur=2 in file=.*; did you mean 'temperature'\?$"),
    Bad(
        BASE + "[training]\nbudgets = 2\n",
        r"received training\.budgets=2 .*; write it at the top of the file, above the first \[table\]",
    ),
    Bad("text = 'a'\n" + BASE, r"received text='a' .*; write it under \[data\]$"),
    Bad(
        BASE + "[training.weights]\nstudent_on_label = 1\n",
        r"received training\.weights\.student_on_label=1 .*did you mean 'student_on_labels'",
    ),
    Bad(BASE, r"received dta=\{'train': 'x'\}.*did you mean 'data'", {"dta.train": "x"}),
    Bad(
        '[data]\ntrain = "a"\n',
        r"^a job needs budgets: received none in file=.*; pass --budget 32KB or --device cortex-m4, or write budgets = ",
    ),
    Bad('budgets = ["1KB"]\n', r"^a job needs data: received none in file=.*; write train = \"data\.csv\" under \[data\]"),
    Bad('budgets = ["1KB"]\n[data]\ntext = "t"\n', r"^a job needs data\.train: received none in file=.*; write train = "),
    Bad("", r"^a job needs data: received none in file="),
    Bad(BASE.replace('["16KB"]', '"16KB"'), r"^budgets is an array: received budgets='16KB' in file=.*; change it$"),
    Bad(BASE.replace('"16KB"', ""), r"^budgets is not empty: received budgets=\[\]"),
    Bad(BASE.replace('"16KB"', "true"), r"^each item of budgets is a string: received budgets=True in"),
    Bad(BASE.replace('"16KB"', "1.5"), r"^each item of budgets is a string: received budgets=1\.5 in"),
    Bad(
        BASE.replace('"16KB"', '"16KB", "lots"'),
        r"^a budget is a positive size such as 16KB, .*: received budget='lots'; write it so, in B, KB or MB$",
    ),
    Bad(BASE.replace("16KB", "0"), r"received budget='0'"),
    Bad(BASE.replace("16KB", "-16KB"), r"received budget='-16KB'"),
    Bad(BASE.replace("16KB", "9" * 400), r"a budget is a positive size"),
    Bad(
        BASE.replace('"16KB"', '"16KB", "16384"'),
        r"^every budget is another size: received budget='16KB' and budget='16384'; remove one of them$",
    ),
    Bad(
        'formats = ["onx"]\n' + BASE,
        r"^each item of formats is 'onnx', 'litert', 'c'.* or '\w+': received formats='onx' in file=.*; did you mean 'onnx'\?$",
    ),
    Bad(
        'formats = ["c", "c"]\n' + BASE, r"^every format is named once: received formats=\['c', 'c'\]; remove the repeated one$"
    ),
    Bad(
        'student = "sgn"\n' + BASE,
        r"^student is 'auto', .*, 'mlp' or 'pruned': received student='sgn' .*; did you mean 'sgnn'\?$",
    ),
    Bad(
        'max_bytes = "aut"\n' + BASE,
        r"^max_bytes is 'auto' or an integer: received max_bytes='aut' in file=.*; did you mean 'auto'\?$",
    ),
    Bad("max_bytes = 3\n" + BASE, r"^max_bytes is 'auto' or at least 8: received max_bytes=3"),
    Bad(
        "max_bytes = 16\nmax_words = 17\n" + BASE,
        r"at most as many words as bytes: received max_words=17 and max_bytes=16; lower max_words",
    ),
    Bad("seed = true\n" + BASE, r"^seed is an integer: received seed=True"),
    Bad("seed = -1\n" + BASE, r"^seed is at least 0: received seed=-1"),
    Bad("seed = 4294967296\n" + BASE, r"^seed is less than 4294967296: received seed=4294967296"),
    Bad("weight_bits = 5\n" + BASE, r"^weight_bits is 'auto', 4 or 8: received weight_bits=5"),
    Bad("trials = 0\n" + BASE, r"^trials is at least 1: received trials=0"),
    Bad("threads = 0\n" + BASE, r"^threads is at least 1: received threads=0"),
    Bad("max_drop = 1.0\n" + BASE, r"^max_drop is less than 1: received max_drop=1\.0"),
    Bad("max_drop = nan\n" + BASE, r"^max_drop is a finite number: received max_drop=nan"),
    Bad('time = "soon"\n' + BASE, r"^a time is a positive duration such as 90s, 5m or 1h: received time='soon'"),
    Bad(
        'name = "my model"\n' + BASE,
        r"^name is made of letters, digits and underscores and begins with a letter: received name='my model'",
    ),
    Bad(BASE.replace('train = "', 'train = 3 # "'), r"^data\.train is a path: received data\.train=3 in file=.*; change it$"),
    Bad("data = 3\n" + BASE[:19], r"^data is a table: received data=3"),
    Bad(BASE + "label = 3\n", r"^data\.label is a string: received data\.label=3"),
    Bad(BASE + "test_fraction = 1\n", r"^data\.test_fraction is less than 1: received data\.test_fraction=1"),
    Bad(
        BASE + "test_fraction = 0.5\nvalidation_fraction = 0.5\n",
        r"leave something to train on: received data\.validation_fraction=0\.5 and data\.test_fraction=0\.5",
    ),
    Bad(
        BASE + '[training]\nmode = "distil"\n',
        r"^training\.mode is 'auto', 'self', 'distill' or 'joint': received training\.mode='distil' .*did you mean 'distill'\?",
    ),
    Bad(
        BASE + '[training]\nmode = "joint"\n',
        r"^training\.mode='joint' needs a teacher: received teacher\.source='none'",
        {"teacher": "none"},
    ),
    Bad(
        BASE + '[training]\nmode = "self"\n',
        r"^training\.mode='self' uses no teacher: received teacher\.source='big\.onnx'",
        {"teacher": "big.onnx"},
    ),
    Bad(
        BASE + "[training.weights]\nstudent_on_labels = 0\nstudent_on_teacher = 0\n",
        r"learns from labels or from the teacher: received training\.weights",
    ),
    Bad(BASE + '[teacher]\nsource = ""\n', r"^teacher\.source .*: received teacher\.source=''"),
    Bad(
        "a = \n",
        r"^a job file is TOML in UTF-8: received file='.*' \(Invalid value \(at line 1, column 5\)\); correct that line$",
    ),
    Bad(BASE, r"^seed is an integer: received seed='x{70,}\.\.\. in --seed; change it$", {"seed": "x" * 500}),
    Bad(BASE, r"received quantization\.max_drop=2\.0 in --max-quantization-drop; change it$", {"max_quantization_drop": 2.0}),
    Bad(BASE, r"received student='foo' in --student; change it$", {"student": "foo"}),
    Bad(BASE, r"received formats='onx' in --format; did you mean 'onnx'\?$", {"formats": ("onx",)}),
    Bad(BASE, r"received data\.test_fraction=7\.0 in the arguments; change it$", {"data.test_fraction": 7.0}),
    Bad(BASE, r"^data\.text is a string: received data\.text=3", {"text": 3}),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.message[:40])
def test_what_breaks_a_rule_is_one_line_with_key_value_and_next_step(tmp_path: Path, bad: Bad) -> None:
    path = write(tmp_path, bad.content)
    with pytest.raises(InputError, match=bad.message) as caught:
        load_job(path, **bad.overrides)
    assert "\n" not in str(caught.value)
    assert "; " in str(caught.value)


def test_arguments_that_break_a_rule_are_named() -> None:
    with pytest.raises(
        InputError, match=r"^a job has only known keys: received budgest=3 in the arguments; did you mean 'budgets'\?$"
    ):
        job_from_arguments("data.csv", budgets=["1KB"], budgest=3)
    with pytest.raises(InputError, match=r"^a job needs budgets: received none in the arguments; pass --budget 32KB"):
        job_from_arguments("data.csv")


def test_a_job_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        InputError,
        match=r"a job file exists and is a file: received file='.*none\.toml'; check .*: understudy init",
    ):
        load_job(tmp_path / "none.toml")
    path = tmp_path / "latin.toml"
    path.write_bytes(b'name = "caf\xe9"\n')
    with pytest.raises(InputError, match=r"a job file is TOML in UTF-8: received file="):
        load_job(path)

    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(
        SetupError, match=r"a job file can be read: received file=.*\(Permission denied\); check its permissions"
    ):
        load_job(path)


def test_a_job_does_not_change() -> None:
    job = job_from_arguments("data.csv", budgets=["1KB"])
    with pytest.raises(ValidationError, match="frozen"):
        job.seed = 2  # type: ignore[misc]


LEFT_OUT: dict[str, object] = {
    "budgets": ["17KB"],
    "time": "1m",
    "trials": 3,
    "max_drop": 0.1,
    "threads": 1,
    "encrypt": ("phone.pub",),
    "train": "x.csv",
    "validation": "x.csv",
    "test": "x.csv",
    "unlabelled": "x.csv",
    "out_of_scope": "x.csv",
    "text": "t",
    "label": "l",
    "kind": "image",
    "columns": ("a",),
    "skip_bad": True,
    "show_examples": 3,
    "image_size": 96,
    "sample_rate": 8000,
    "seconds": 1.0,
    "data.validation_fraction": 0.2,
    "data.test_fraction": 0.2,
    "quantization.max_drop": 0.5,
    "training.processor": "cpu",
}
"""Settings that do not decide what a training gives, or whose effect the digest of the data covers."""
COVERED: dict[str, object] = {
    "name": "other",
    "devices": ["cortex-m4"],
    "formats": ["c"],
    "student": "sgnn",
    "seed": 2,
    "max_bytes": 64,
    "max_words": 8,
    "max_macs": "10M",
    "max_latency": "2ms",
    "weight_bits": 4,
    "teacher": "none",
    "teacher.minimum_gain": 0.0,
    "training.mode": "joint",
    "training.temperature": 1.0,
    "training.distillation": "decoupled",
    "training.label_smoothing": 0.0,
    "training.class_weights": "balanced",
    "training.distortion": 0.0,
    "training.augmented_views": 1,
    "training.recombined_texts": 0,
    "training.variations": ("cutout",),
    "training.epochs": 1,
    "training.refit": False,
    "training.precision": "bfloat16",
    "training.weights.teacher_on_labels": 0.5,
    "training.weights.student_on_labels": 0.5,
    "training.weights.student_on_teacher": 0.5,
    "quantization.mode": "ptq",
    "quantization.weight_range": "min-max",
    "quantization.activation_range": "percentile",
}


def test_the_digest_covers_every_setting_but_those_named(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    base = load_job(write(tmp_path, BASE))
    assert load_job(write(tmp_path / "other", BASE)).digest() == base.digest()
    arguments = {
        "teacher.source": "teacher",
        **{
            f"data.{name}": name
            for name in (
                "train",
                "validation",
                "test",
                "unlabelled",
                "out_of_scope",
                "text",
                "label",
                "kind",
                "columns",
                "skip_bad",
                "show_examples",
                "image_size",
                "sample_rate",
                "seconds",
            )
        },
    }
    every_key = {
        f"{table}.{name}".lstrip(".")
        for table, model in tables(Job).items()
        for name in model.model_fields
        if f"{table}.{name}".lstrip(".") not in tables(Job)
    }
    assert {arguments.get(key, key) for key in every_key} == {*LEFT_OUT, *COVERED}
    for key, value in LEFT_OUT.items():
        assert load_job(tmp_path / "intents.toml", **{key: value}).digest() == base.digest(), key
    digests = {load_job(tmp_path / "intents.toml", **{key: value}).digest() for key, value in COVERED.items()}
    assert len({base.digest(), *digests}) == len(COVERED) + 1


def test_a_teacher_file_counts_by_name_and_a_python_object_in_full() -> None:
    def digest(source: str) -> str:
        return job_from_arguments("data.csv", budgets=["1KB"], teacher=source).digest()

    assert digest("here/big.onnx") == digest("there/big.onnx") != digest("here/small.onnx")
    assert digest("here.module:name") != digest("there.module:name")


def test_a_job_follows_the_published_schema(tmp_path: Path) -> None:
    published = json.loads((REPOSITORY / "spec" / "job.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(load_job(write(tmp_path, BASE)).model_dump(mode="json"), published)
    with pytest.raises(jsonschema.ValidationError, match="sed"):
        jsonschema.validate({"name": "a", "budgets": ["1KB"], "data": {"train": "a.csv"}, "sed": 1}, published)


def test_every_setting_is_described() -> None:
    for table, model in tables(Job).items():
        for name, setting in model.model_fields.items():
            assert (setting.description or "").endswith("."), f"{table}.{name}"


@pytest.mark.parametrize(
    ("given", "kept", "sides"),
    [(96, 96, (96, 96)), ("96", 96, (96, 96)), ("96x96", 96, (96, 96)), ("48x64", "48x64", (48, 64)), (None, None, None)],
)
def test_a_size_of_images_is_kept_in_one_way(given: int | str | None, kept: int | str | None, sides: object) -> None:
    settings = DataSettings(train=Path("photos"), image_size=given)
    assert settings.image_size == kept
    assert settings.image_sides == sides


@pytest.mark.parametrize("given", [3, 513, "3x20", "20x513", "large", "96x", "96x96x3", "-8", ""])
def test_another_size_of_images_is_refused(given: int | str) -> None:
    with pytest.raises(InputError, match=r"a side of 4 to 512 pixels, or two: received data\.image_size=.*; write it as 96"):
        DataSettings(train=Path("photos"), image_size=given)


def test_profiles_of_devices_start_from_the_file_and_count_by_name(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    devices = 'devices = ["board.toml", "cortex-m4"]\nmax_latency = "2ms@board.toml"\n'
    write(tmp_path / "sub", devices + BASE)
    job = load_job(tmp_path / "sub" / "intents.toml")
    board = str(tmp_path / "sub" / "board.toml")
    assert (job.devices, job.max_latency) == ((board, "cortex-m4"), f"2ms@{board}")
    write(tmp_path, devices + BASE)
    assert load_job(tmp_path / "intents.toml").digest() == job.digest()
    assert load_job(tmp_path / "intents.toml", max_latency="2ms@cortex-m4").max_latency == "2ms@cortex-m4"
