"""``manifest.json``: what a bundle is, and a digest of every file in it; ``spec/bundle.md`` section 2."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from understudy.errors import BundleError
from understudy.projections.log_mel import FASTEST_RATE, SLOWEST_RATE, LogMel
from understudy.protection import ed25519
from understudy.protection.keys import SigningKey, key_id

FORMAT_VERSION: Final = 1
MANIFEST = "manifest.json"
CARD = "card.md"
"""The only file that no digest covers: the report writes it again."""
LARGEST_MANIFEST_BYTES = 64 * 1024**2

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=255)]
"""A plain name: no folder, no parent, not hidden; so no manifest reaches outside its own folder."""
Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=64)]
"""What may stand in the name of a C function."""
FormatWord = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$", max_length=32)]
"""The word in ``--format``; other packages add some, so a reader may meet one that it cannot run."""


Side = Annotated[int, Field(ge=1, le=65536)]


class SoundInput(BaseModel):
    """What a sound classifier reads: 16-bit PCM of one channel.

    Attributes:
        samples: of a sound; shorter ones stand in the middle of zeros, longer ones are cut around their middle.
        sample_rate: samples a second.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    samples: Annotated[int, Field(ge=1, le=2**20)]
    sample_rate: Annotated[int, Field(ge=SLOWEST_RATE, le=FASTEST_RATE)]

    @property
    def log_mel(self) -> LogMel:
        """How such a sound becomes a picture."""
        return LogMel(self.samples, self.sample_rate)


class ManifestFile(BaseModel):
    """One file of the bundle.

    Attributes:
        sha256: digest of its content.
        size_bytes: bytes on disk.
        format: the format whose model this is; None for the files beside it.
        budget_bytes: what counts against the budget, for model files: the file, for C the constants and the code of its ops.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: Sha256
    size_bytes: Annotated[int, Field(ge=0)]
    format: FormatWord | None = None
    budget_bytes: Annotated[int, Field(ge=0)] | None = None


class Signature(BaseModel):
    """Who vouches for the manifest; ``spec/bundle.md`` section 2.1.

    Attributes:
        public_key: the signer's Ed25519 public key, 64 hexadecimal digits.
        value: the signature, 128 hexadecimal digits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    public_key: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    value: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]


class Encryption(BaseModel):
    """What an encrypted bundle was made from, and who can read it; ``spec/encryption.md``.

    Attributes:
        plain_digest: digest of the manifest of the bundle that was encrypted.
        recipients: ids of the device keys that open its files.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    plain_digest: Sha256
    recipients: Annotated[tuple[Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")], ...], Field(min_length=1)]


class Manifest(BaseModel):
    """What a bundle is. It holds no time stamp: the same job gives the same bytes.

    Attributes:
        format_version: version of this layout.
        understudy: version of the package that wrote it.
        name: the name in the C functions ``us_<name>_predict``.
        task: what the model does.
        labels: class names in the order of the scores.
        max_bytes: texts: L, bytes of text that the model reads.
        image_shape: images: height, width and channels.
        sound: sounds: samples, and samples a second.
        input_shape: vectors: how many numbers; windows: steps and channels.
        columns: vectors from tables: the names of these numbers, in order.
        float_islands: what computes in float between integers, and where; None where every format gives the same bits.
        threshold: the best score below which the answer is "none of these"; None when it was not calibrated.
        recipe: how the student was made.
        data_digest: digest of the training and validation texts.
        files: file name to digest.
        encryption: who can read the files; None where they are plain.
        digest: digest of all the fields above; it names the bundle.
        signature: of the digest; None until it is signed, which whatever is read has been.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = FORMAT_VERSION
    understudy: str
    name: Identifier
    task: Literal["text-classification", "image-classification", "vector-classification", "sound-classification"] = (
        "text-classification"
    )
    labels: Annotated[tuple[str, ...], Field(min_length=2)]
    max_bytes: Annotated[int, Field(ge=1, le=65536)] | None = None
    image_shape: tuple[Side, Side, Side] | None = None
    sound: SoundInput | None = None
    input_shape: tuple[Side] | tuple[Side, Side] | None = None
    columns: tuple[str, ...] | None = None
    float_islands: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    threshold: Annotated[float, Field(ge=0, le=1)] | None
    recipe: dict[str, JsonValue]
    data_digest: str
    files: dict[FileName, ManifestFile]
    encryption: Encryption | None = None
    digest: Sha256 | Literal[""] = ""
    signature: Signature | None = None

    @field_validator("labels")
    @classmethod
    def _labels_can_be_told_apart(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(labels)) != len(labels):
            raise ValueError("labels must differ from each other")
        if not all(_is_unicode(label) for label in labels):
            raise ValueError("labels must be Unicode, without halves of surrogate pairs")
        return labels

    @field_validator("files")
    @classmethod
    def _one_file_for_each_format(cls, files: dict[str, ManifestFile]) -> dict[str, ManifestFile]:
        formats = [entry.format for entry in files.values() if entry.format]
        if not formats or len(set(formats)) != len(formats):
            raise ValueError("files must hold one model file for each format, and at least one")
        if {MANIFEST, CARD} & set(files):
            raise ValueError(f"files must not list {MANIFEST} or {CARD}")
        return files

    @model_validator(mode="after")
    def _input_is_of_the_task(self) -> Self:
        fields = {"text": self.max_bytes, "image": self.image_shape, "vector": self.input_shape, "sound": self.sound}
        if [f"{kind}-classification" for kind, value in fields.items() if value is not None] != [self.task]:
            raise ValueError("texts have max_bytes, images have image_shape, vectors have input_shape, sounds have sound")
        if self.columns is not None and (
            self.input_shape != (len(self.columns),)
            or len(set(self.columns)) < len(self.columns)
            or not all(map(_is_unicode, self.columns))
        ):
            raise ValueError("columns are of vectors: a name of its own, in Unicode, for each number")
        return self

    @property
    def examples(self) -> str:
        """What it reads, in the plural."""
        if self.sound is not None:
            return "sounds"
        if self.input_shape is None:
            return "texts" if self.image_shape is None else "images"
        return "vectors" if len(self.input_shape) == 1 else "windows"

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats that the bundle holds, in the order of its files."""
        return tuple(entry.format for entry in self.files.values() if entry.format)

    @property
    def signer(self) -> str:
        """The id of the key that signed it."""
        assert self.signature is not None
        return key_id(bytes.fromhex(self.signature.public_key))

    def signed(self, key: SigningKey) -> Manifest:
        """Return this manifest with its own digest, signed by ``key``."""
        digest = self._digest_of_content()
        public, value = key.public, ed25519.sign(key.secret, _message(digest))
        return self.model_copy(update={"digest": digest, "signature": Signature(public_key=public.hex(), value=value.hex())})

    def check(self) -> None:
        """Raise ValueError unless the digest fits the content and the signature the digest."""
        if self.digest != self._digest_of_content():
            raise ValueError("its digest does not match its content")
        found = self.signature
        if found is None:
            raise ValueError("it has no signature")
        if not ed25519.is_signed(bytes.fromhex(found.public_key), _message(self.digest), bytes.fromhex(found.value)):
            raise ValueError("its signature does not match its digest")

    def to_json(self) -> bytes:
        """Return the bytes of ``manifest.json``: ASCII, sorted keys, a line feed at the end."""
        return (json.dumps(self._fields(), indent=2, sort_keys=True) + "\n").encode()

    def _fields(self) -> dict[str, JsonValue]:
        """Return plain values; what only other tasks have is missing, and so is protection that is not there."""
        optional = ("max_bytes", "image_shape", "input_shape", "columns", "sound", "float_islands", "encryption", "signature")
        absent = {name for name in optional if getattr(self, name) is None}
        return self.model_dump(mode="json", exclude=absent)

    def _digest_of_content(self) -> str:
        content = {name: value for name, value in self._fields().items() if name not in ("digest", "signature")}
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _message(digest: str) -> bytes:
    """Return what is signed."""
    return b"understudy manifest " + digest.encode()


def parse_manifest(content: bytes, *, folder: str) -> Manifest:
    """Return the manifest that ``content`` holds.

    Raises:
        BundleError: not JSON, another format version, a field that breaks its rule, a digest or signature that does not fit, or
            no signature.
    """
    try:
        version = _version(content)
        if version is not None and version != FORMAT_VERSION:
            raise BundleError(
                f"a bundle has format version {FORMAT_VERSION} here: received format_version={version!r} in "
                f"bundle={folder!r}; install the understudy that wrote it"
            )
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise altered_bundle(folder, f"{MANIFEST}: {where}: {first['msg']}") from None
    try:
        manifest.check()
    except ValueError as error:
        raise altered_bundle(folder, f"{MANIFEST}: {error}") from None
    return manifest


def _version(content: bytes) -> object:
    """Return the format version that ``content`` claims, or None when it claims none."""
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return parsed.get("format_version") if isinstance(parsed, dict) else None


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def altered_bundle(folder: str, what: str) -> BundleError:
    """Return the error for a bundle whose content is not what was written."""
    line = " ".join(what.split())
    return BundleError(
        f"a bundle must be as it was written: received bundle={folder!r} with {line}; copy the whole folder again "
        "or run understudy compress again"
    )


def escape_label(label: str) -> str:
    r"""Return ``label`` on one line: backslash, line feed, carriage return, tab as ``\\``, ``\n``, ``\r``, ``\t``."""
    return label.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
