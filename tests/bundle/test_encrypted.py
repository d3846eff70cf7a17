"""An encrypted bundle answers for its recipients as the plain one does, from memory, and for nobody else."""

from __future__ import annotations

import builtins
import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bundles import LABELS, NAME, make_bundle
from command import contents
from image_programs import image_program
from programs import TEXTS, sequence_program
from understudy.bundle import Bundle, encrypt_bundle, write_bundle
from understudy.bundle.manifest import parse_manifest
from understudy.errors import BundleError, InputError, SetupError, VerificationError
from understudy.export.c_sealed import sealed_model
from understudy.export.parity import Verification
from understudy.export.registry import exporter
from understudy.program.interpreter import run
from understudy.projections.text import encode
from understudy.protection.envelope import public_device_key, seal
from understudy.protection.keys import key_id, signing_key, to_pem
from understudy.testing.sound_programs import sound_program

STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wsign-conversion", "-Wshadow")
PHONE, WATCH, STRANGER = (bytes([i] * 32) for i in (1, 2, 3))


def write_keys(folder: Path) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    files = {}
    for name, secret in (("phone", PHONE), ("watch", WATCH), ("stranger", STRANGER)):
        for ending, kind, content in (
            ("key", "private device key", secret),
            ("pub", "public device key", public_device_key(secret)),
        ):
            files[f"{name}.{ending}"] = folder / f"{name}.{ending}"
            files[f"{name}.{ending}"].write_bytes(to_pem(kind, content))
    return files


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("plain") / "16KB", formats=("onnx", "litert", "c", "python"))


@pytest.fixture(scope="module")
def written(plain: Bundle, keys: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encrypted") / "16KB"
    before = contents(plain.folder)
    made = encrypt_bundle(plain, folder, [keys["phone.pub"], keys["watch.pub"]])
    assert made.verified == ("c", "onnx", "litert")
    assert "decrypted in memory only: received format='python'" in made.not_run["python"]
    assert contents(plain.folder) == before
    return folder


@pytest.fixture
def copy(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "copy"))


def test_every_file_with_learned_numbers_is_encrypted(plain: Bundle, written: Path) -> None:
    names = set(contents(written))
    assert names == {
        "manifest.json", "labels.txt", "vectors.npz", "example.c", "understudy.h", "understudy_open.h", "model.h",
        "model.bin.enc", "model.onnx.enc", "model.tflite.enc", "model.py.enc", "program.npz.enc",
    }  # fmt: skip
    manifest = Bundle.open(written).manifest
    assert manifest.formats == ("c", "onnx", "python", "litert")
    assert manifest.encryption is not None
    assert manifest.encryption.plain_digest == plain.manifest.digest != manifest.digest
    assert manifest.encryption.recipients == tuple(key_id(public_device_key(secret)) for secret in (PHONE, WATCH))
    weights = [node.weight.tobytes() for node in sequence_program().linears]
    for content in contents(written).values():
        assert not any(weight in content for weight in weights)
    header = (written / "model.h").read_text()
    assert "static const int8_t" not in header
    assert "static const int32_t" not in header
    assert "_weights ((const int8_t *)" in header


@pytest.mark.parametrize("format_name", ["onnx", "litert", "c"])
@pytest.mark.parametrize("device", ["phone", "watch"])
def test_recipients_have_the_reference_answers(written: Path, keys: dict[str, Path], device: str, format_name: str) -> None:
    bundle = Bundle.open(written, key=keys[f"{device}.key"])
    assert bundle.verify(format_name).verified
    expected = run(sequence_program(), bundle.load(format_name).inputs(TEXTS)).probabilities
    np.testing.assert_allclose(bundle.load(format_name).scores(TEXTS), expected, atol=1e-5)
    assert bundle.program().classes == len(LABELS)


def test_nothing_decrypted_is_written(
    written: Path, keys: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that Python writes while the files are opened and run is looked at, the C compiler's input among it."""
    seen: list[bytes] = []
    real_bytes, real_text, real_open = Path.write_bytes, Path.write_text, builtins.open

    def write_bytes(self: Path, content: bytes) -> int:
        seen.append(bytes(content))
        return real_bytes(self, content)

    def write_text(self: Path, content: str, **options: str) -> int:
        seen.append(content.encode())
        return real_text(self, content, **options)

    def opened(file: object, mode: str = "r", *rest: object, **options: object) -> object:
        assert "w" not in mode and "a" not in mode, file
        return real_open(file, mode, *rest, **options)

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    bundle = Bundle.open(written, key=keys["phone.key"])
    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    monkeypatch.setattr(Path, "write_text", write_text)
    monkeypatch.setattr(builtins, "open", opened)
    for name in ("onnx", "litert", "c"):
        bundle.predict(["hello"], format=name)
    assert len(seen) == 1  # the driver that includes model.h
    assert b"driver_predict" in seen[0]
    assert contents(tmp_path) == {}


def test_others_have_nothing(written: Path, keys: dict[str, Path]) -> None:
    for name in ("onnx", "litert", "c"):
        with pytest.raises(InputError, match="with a private key of a device: received bundle=.* and no key; add --key"):
            Bundle.open(written).load(name)
        with pytest.raises(InputError, match=f"received key='{key_id(public_device_key(STRANGER))}', which is no recipient"):
            Bundle.open(written, key=keys["stranger.key"]).load(name)
    with pytest.raises(InputError, match="a private device key is a PEM file .* with a public device key"):
        Bundle.open(written, key=keys["phone.pub"])
    with pytest.raises(SetupError, match="decrypted in memory only: received format='python'"):
        Bundle.open(written, key=keys["phone.key"]).load("python")
    assert Bundle.open(written).vectors().inputs.shape == (64, 64)


def resealed(folder: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    """Change an envelope and sign the bundle anew, as somebody without the device's key could."""
    content = change((folder / name).read_bytes())
    (folder / name).write_bytes(content)
    before = parse_manifest((folder / "manifest.json").read_bytes(), folder=str(folder))
    entry = before.files[name].model_copy(update={"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)})
    after = before.model_copy(update={"files": {**before.files, name: entry}}).signed(signing_key())
    (folder / "manifest.json").write_bytes(after.to_json())


def test_advice_names_only_what_the_bundle_holds(keys: dict[str, Path], tmp_path: Path) -> None:
    step = {
        ("c_float", "python_float"): "run the plain bundle that it was made from",
        ("c_float", "onnx_float", "c"): "run the c or onnx_float file",
    }
    for i, (formats, said) in enumerate(step.items()):
        plain = make_bundle(tmp_path / f"plain {i}", formats=formats)
        encrypt_bundle(plain, tmp_path / f"{i}", [keys["phone.pub"]])
        bundle = Bundle.open(tmp_path / f"{i}", key=keys["phone.key"])
        with pytest.raises(SetupError, match=f"received format='c_float', whose runtime reads files; {said}$"):
            bundle.load("c_float")
        assert {"model_float.h.enc", "understudy_float.h"} <= set(bundle.manifest.files)
        assert "example_float.c" not in contents(bundle.folder)
    with pytest.raises(SetupError, match="none of which runs here; run the plain bundle that it was made from$"):
        Bundle.open(tmp_path / "0", key=keys["phone.key"]).load()


@pytest.mark.parametrize("name", ["model.bin.enc", "model.onnx.enc", "model.tflite.enc"])
@pytest.mark.parametrize("at", [0, 10, 50, 75, 90, 150, -1])
def test_an_altered_envelope_in_a_bundle_that_was_signed_anew(copy: Path, keys: dict[str, Path], name: str, at: int) -> None:
    def flipped(content: bytes) -> bytes:
        changed = bytearray(content)
        changed[at] ^= 1
        return bytes(changed)

    resealed(copy, name, flipped)
    bundle = Bundle.open(copy, key=keys["watch.key"])
    with pytest.raises(BundleError, match=f"an encrypted file must be as it was encrypted: received '{name[:-4]}', "):
        bundle.load(bundle.manifest.files[name].format)


def test_an_envelope_of_another_file_or_bundle_does_not_open(copy: Path, keys: dict[str, Path], tmp_path: Path) -> None:
    resealed(copy, "model.onnx.enc", lambda _: (copy / "model.tflite.enc").read_bytes())
    with pytest.raises(BundleError, match=r"received 'model\.onnx', the envelope of another file"):
        Bundle.open(copy, key=keys["phone.key"]).load("onnx")
    other = make_bundle(tmp_path / "other", formats=("c",), threshold=0.5)
    encrypt_bundle(other, tmp_path / "other encrypted", [keys["phone.pub"]])
    resealed(copy, "model.bin.enc", lambda _: (tmp_path / "other encrypted" / "model.bin.enc").read_bytes())
    with pytest.raises(BundleError, match=r"received 'model\.bin', the envelope of another file"):
        Bundle.open(copy, key=keys["phone.key"]).load("c")


def test_what_cannot_be_encrypted(plain: Bundle, written: Path, keys: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="for different keys, at least one: received none; "):
        encrypt_bundle(plain, tmp_path / "e", [])
    with pytest.raises(InputError, match="for different keys, at least one: received .{16}, .{16}; name every key once$"):
        encrypt_bundle(plain, tmp_path / "e", [keys["phone.pub"], keys["phone.pub"]])
    with pytest.raises(InputError, match="a public device key is a PEM file .* with a private device key"):
        encrypt_bundle(plain, tmp_path / "e", [keys["phone.key"]])
    with pytest.raises(InputError, match="an encrypted bundle is a copy: received out="):
        encrypt_bundle(plain, plain.folder / ".." / plain.folder.name, [keys["phone.pub"]])
    with pytest.raises(InputError, match="encrypting takes a plain bundle: received bundle=.*, which is encrypted"):
        encrypt_bundle(Bundle.open(written), tmp_path / "e", [keys["phone.pub"]])
    assert contents(tmp_path) == {}


def test_a_file_that_answers_differently_is_not_written(
    plain: Bundle, keys: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Verification(0.5, 0.1, False, "labels differ in 32 of 64 rows", np.zeros((0, 7), np.float32))
    monkeypatch.setattr(Bundle, "verify", lambda *_: wrong)
    with pytest.raises(VerificationError, match="a decrypted c file must reproduce the reference: received a file where"):
        encrypt_bundle(plain, tmp_path / "e", [keys["phone.pub"]])
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("name", ["text with 4-bit weights", "image", "sound"])
def test_other_programs_in_c(name: str, keys: dict[str, Path], tmp_path: Path) -> None:
    program = {"image": image_program, "sound": sound_program}.get(name, lambda: sequence_program(bits=4))()
    labels = [f"label {i}" for i in range(program.classes)]
    write_bundle(
        tmp_path / "plain",
        program=program,
        exports={"c": exporter("c").export(program, name=NAME, labels=labels)},
        name=NAME,
        labels=labels,
        threshold=None,
        recipe={},
        data_digest="",
    )
    bundle = Bundle.open(tmp_path / "plain")
    assert encrypt_bundle(bundle, tmp_path / "e", [keys["phone.pub"]]).verified == ("c",)


@pytest.mark.parametrize(
    ("compiler", "options"),
    [("gcc", ()), ("clang", ()), ("gcc", ("-DUS_VECTOR=0",)), ("arm-none-eabi-gcc", ("-mcpu=cortex-m4", "-mthumb"))],
)
def test_the_header_compiles_without_a_warning(compiler: str, options: tuple[str, ...], tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} on this machine")
    for i, program in enumerate((sequence_program(), sequence_program(bits=4), image_program(), sound_program())):
        folder = tmp_path / str(i)
        folder.mkdir()
        model = sealed_model(program, name=NAME, labels=["a"] * program.classes, digest=bytes(range(32)))
        assert len(model.image) >= sum(node.weight.size * node.bits // 8 for node in program.linears)
        for file_name, content in model.files.items():
            (folder / file_name).write_bytes(content)
        command = [compiler, *STRICT, *options, "-Os", "-c", "example.c", "-o", "example.o"]
        done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_example_in_c_opens_and_answers(copy: Path) -> None:
    def example(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["./example", *arguments], cwd=copy, check=False, capture_output=True, text=True)

    subprocess.run(
        ["cc", "-std=c99", "-DUS_VECTOR=0", "-fsanitize=address,undefined", "-o", "example", "example.c"], cwd=copy, check=True
    )
    assert example("hello").stderr == "error -12\n"
    (copy / "device.raw").write_bytes(STRANGER)
    assert example("hello").stderr == "error -12\n"
    (copy / "device.raw").write_bytes(WATCH)
    answer = run(sequence_program(), encode(["hello"], max_bytes=64)).probabilities[0]
    assert example("hello").stdout.splitlines()[0] == f"best {LABELS[int(answer.argmax())]}"
    whole = (copy / "model.bin.enc").read_bytes()
    (copy / "model.bin.enc").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert example("hello").stderr == "error -13\n"
    (copy / "model.bin.enc").write_bytes(whole[:90])
    assert example("hello").stderr == "error -11\n"


AGAIN = """
#include <stdio.h>
#include "model.h"
static uint8_t envelope[US_TINY_IMAGE_BYTES + 65536], secret[32];
static float before[US_TINY_CLASSES], after[US_TINY_CLASSES];
static int same(void) {
    int equal = us_tiny_predict((const uint8_t *)"hello", 5, after) >= 0;
    for (int i = 0; i < US_TINY_CLASSES; i++) {
        equal = equal && before[i] == after[i];
    }
    return equal;
}
int main(void) {
    FILE *file = fopen("model.bin.enc", "rb");
    const size_t n = fread(envelope, 1, sizeof envelope, file);
    fclose(file);
    file = fopen("device.raw", "rb");
    fread(secret, 1, sizeof secret, file);
    fclose(file);
    printf("%d", us_tiny_open(envelope, n, secret));
    us_tiny_predict((const uint8_t *)"hello", 5, before);
    printf(" %d %d", us_tiny_open(envelope, n, secret), same());
    printf(" %d %d", us_tiny_open(envelope, 10, secret), same());
    printf(" %d %d", us_tiny_open(envelope, 0, secret), same());
    envelope[n - 1] ^= 1;
    printf(" %d %d", us_tiny_open(envelope, n, secret), same());
    secret[0] ^= 8;
    printf(" %d %d", us_tiny_open(envelope, n, secret), same());
    return 0;
}
"""


def test_opening_again_checks_again_and_leaves_an_open_model_as_it_was(copy: Path) -> None:
    (copy / "again.c").write_text(AGAIN)
    (copy / "device.raw").write_bytes(WATCH)
    command = ["cc", "-std=c99", "-DUS_VECTOR=0", "-fsanitize=address,undefined", "-o", "again", "again.c"]
    subprocess.run(command, cwd=copy, check=True, capture_output=True)
    said = subprocess.run(["./again"], cwd=copy, check=True, capture_output=True, text=True).stdout
    assert said == "0 0 1 -11 1 -11 1 -13 1 -12 1"


def test_content_of_another_length_closes_the_model(tmp_path: Path) -> None:
    program, digest = sequence_program(), bytes(range(32))
    model = sealed_model(program, name=NAME, labels=["a"] * program.classes, digest=digest)
    for file_name, content in model.files.items():
        (tmp_path / file_name).write_bytes(content)
    for name, content in (("whole", model.image), ("short", model.image[:-4])):
        sealed = seal(content, name="model.bin", digest=digest, recipients=[public_device_key(WATCH)])
        (tmp_path / name).write_bytes(sealed)
    (tmp_path / "device.raw").write_bytes(WATCH)
    begin, _, _ = AGAIN.partition("    printf(")
    reopen = """    printf("%d", us_tiny_open(envelope, n, secret));
    file = fopen("short", "rb");
    printf(" %d", us_tiny_open(envelope, fread(envelope, 1, sizeof envelope, file), secret));
    fclose(file);
    printf(" %d", us_tiny_predict((const uint8_t *)"hello", 5, before));
    return same();
}
"""
    (tmp_path / "again.c").write_text(begin.replace("model.bin.enc", "whole") + reopen)
    subprocess.run(["cc", "-std=c99", "-O1", "-o", "again", "again.c"], cwd=tmp_path, check=True, capture_output=True)
    assert subprocess.run(["./again"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout == "0 -11 -10"


def test_a_model_that_was_not_opened_answers_with_an_error(copy: Path) -> None:
    (copy / "closed.c").write_text(
        '#include "model.h"\nfloat scores[US_TINY_CLASSES];\n'
        'int main(void) { return us_tiny_predict((const uint8_t *)"a", 1, scores) == US_ERROR_CLOSED ? 0 : 1; }\n'
    )
    subprocess.run(["cc", "-std=c99", "-O1", "-o", "closed", "closed.c"], cwd=copy, check=True)
    assert subprocess.run(["./closed"], cwd=copy, check=False).returncode == 0
