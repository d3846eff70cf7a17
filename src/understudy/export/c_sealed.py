"""The C format of an encrypted bundle: a header without learned numbers, and the image that is decrypted into its RAM.

Every constant array of the plain header is a place in the image, but the softmax's powers, which follow from one scale, and the
tables of log-mel pictures, which follow from the sample rate.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources

import numpy as np

from understudy.export.c import RUNTIME, CExporter, header_text
from understudy.export.c_source import write_source
from understudy.export.c_writer import Constant, c_identifier
from understudy.program.ops import Program

OPENER = "understudy_open.h"
IMAGE = "model.bin"
"""The name of the image in its envelope."""

_ARRAY = re.compile(r"static const (u?int(?:8|32)_t) (\w+)\[\d+\] = \{(.*)\};", re.DOTALL)
_PUBLIC = ("_powers", "_cosine")
_TYPES = {"int8_t": "<i1", "uint8_t": "<u1", "int32_t": "<i4", "uint32_t": "<u4"}

_MEMORY = """\
#include "{opener}"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the image of an encrypted model is little-endian"
#endif

/* The learned numbers: zero until us_{identifier}_open has decrypted them into this RAM. */
#define US_{upper}_IMAGE_BYTES {size}
static union {{
    uint32_t words[US_{upper}_IMAGE_BYTES / 4];
    uint8_t bytes[US_{upper}_IMAGE_BYTES];
}} us_{identifier}_image;
static int us_{identifier}_is_open;
"""

_OPEN = """\
/* Decrypts the content of {image}.enc with the 32 bytes of a device's private key; call it before the first prediction.
 * 0, or an error of {opener}, also where the model is open already: an error then leaves it open as it was, but
 * for content of another length that was encrypted as this model's: that closes it. */
US_FUNCTION int us_{identifier}_open(const uint8_t *envelope, size_t n, const uint8_t secret[32]) {{
    static const uint8_t digest[32] = {{
        {digest}
    }};
    size_t opened = 0;
    int result;
    result = us_open(envelope, n, secret, digest, "{image}", us_{identifier}_image.bytes, US_{upper}_IMAGE_BYTES, &opened);
    if (result == 0) {{
        us_{identifier}_is_open = opened == US_{upper}_IMAGE_BYTES;
        result = us_{identifier}_is_open ? 0 : US_ERROR_ENVELOPE;
    }}
    return result;
}}

"""

_EXAMPLE = """\
/* Needs {image}.enc and the device's private key as 32 bytes in the working folder:
 *     openssl pkey -in device.key -outform DER | tail -c 32 > device.raw */
static uint8_t envelope[US_{upper}_IMAGE_BYTES + 65536];
static uint8_t secret[32];

static size_t read_file(const char *path, uint8_t *bytes, size_t capacity) {{
    FILE *file = fopen(path, "rb");
    size_t n = 0;
    if (file != NULL) {{
        n = fread(bytes, 1, capacity, file);
        fclose(file);
    }}
    return n;
}}

static int open_model(void) {{
    const size_t n = read_file("{image}.enc", envelope, sizeof envelope);
    if (read_file("device.raw", secret, sizeof secret) != sizeof secret) {{
        return US_ERROR_RECIPIENT;
    }}
    return us_{identifier}_open(envelope, n, secret);
}}

"""


@dataclass(frozen=True)
class SealedModel:
    """A model whose learned numbers stand apart.

    Attributes:
        files: file name to content of what may be read: header, runtime, opener, example.
        image: the learned numbers, to be encrypted.
    """

    files: dict[str, bytes]
    image: bytes


def sealed_model(program: Program, *, name: str, labels: Sequence[str], digest: bytes) -> SealedModel:
    """Return the C format of ``program`` without its learned numbers, and these.

    Args:
        program: an integer program.
        name: any text; ``c_identifier`` turns it into the part of the C names behind ``us_``.
        labels: class names in the order of the scores.
        digest: what the envelope of the image must have been given, 32 bytes.
    """
    identifier = c_identifier(name)
    names = {"identifier": identifier, "upper": identifier.upper(), "image": IMAGE, "opener": OPENER}
    source = write_source(program, identifier)
    image = bytearray()
    constants = tuple(_moved(constant, image, f"us_{identifier}_image") for constant in source.constants)
    header = header_text(program, identifier, replace(source, constants=constants), labels)
    memory = _MEMORY.format(size=len(image), **names)
    numbers = ", ".join(str(byte) for byte in digest)
    opening = _OPEN.format(digest=numbers, **names)
    predict = f"US_FUNCTION int us_{identifier}_predict("
    header = _replaced(header, f'#include "{RUNTIME}"\n', f'#include "{RUNTIME}"\n{memory}')
    before, _, after = header.partition(predict)
    signature, _, body = after.partition("{\n")
    check = f"    if (!us_{identifier}_is_open) {{\n        return US_ERROR_CLOSED;\n    }}\n"
    header = f"{before}{opening}{predict}{signature}{{\n{check}{body}"

    written = CExporter().export(program, name=name, labels=labels)
    example = written["example.c"].decode()
    example = _replaced(example, "int main(", _EXAMPLE.format(**names) + "int main(")
    example = _replaced(example, "    if (best < 0) {", '    if (best < 0) {\n        fprintf(stderr, "error %d\\n", best);')
    example = re.sub(
        r"\n(    best = us_)",
        r"\n    if ((best = open_model()) != 0) {\n        fprintf(stderr, "
        r'"error %d\\n", best);\n        return 1;\n    }\n\1',
        example,
        count=1,
    )
    files = {
        "model.h": header.encode(),
        RUNTIME: written[RUNTIME],
        OPENER: resources.files(__package__).joinpath(OPENER).read_bytes(),
        "example.c": example.encode(),
    }
    return SealedModel(files, bytes(image))


def _moved(constant: Constant, image: bytearray, place: str) -> Constant:
    """Return ``constant`` as a name for where its numbers stand, after adding them to ``image``."""
    found = _ARRAY.fullmatch(constant.text)
    if found is None or found[2].endswith(_PUBLIC):
        return constant
    kind, name, body = found.groups()
    values = [int(item.strip().removesuffix("u"), 0) for item in body.split(",") if item.strip()]
    at = len(image)
    image += np.array(values, np.int64).astype(_TYPES[kind]).tobytes()
    image += bytes(-len(image) % 4)
    where = f"{place}.words + {at // 4}" if kind.endswith("32_t") else f"{place}.bytes + {at}"
    return replace(constant, text=f"#define {name} ((const {kind} *)({where}))")


def _replaced(text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        raise ValueError(f"a template has one {old!r}: received {text.count(old)}")
    return text.replace(old, new)
