"""What differs between the headers of classifiers for texts, images, numbers and sounds: what they say of the input.

Every text here is a template with ``{upper}`` and ``{identifier}``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from understudy.program.ops import Image, Program, ProjectText, Sound, Standardize


@dataclass(frozen=True)
class CInput:
    """One kind of input.

    Attributes:
        what: in the first line of the header.
        argument: name of the pointer.
        kind: the C type that it points to.
        reading: lines of the comment that say what stands there.
        first_call: what the comment says about the first prediction.
        checks: the first lines of the predict function.
        example: usage, declarations, and the lines that read the input of ``example.c``.
    """

    what: str
    argument: str
    kind: str
    reading: str
    first_call: str
    checks: str
    example: tuple[str, str, str]


TEXT = CInput(
    what="a text",
    argument="bytes",
    kind="uint8_t",
    reading="""\
 * `bytes` is UTF-8 text (any bytes are valid) of `n` bytes, of which the first US_{upper}_MAX_BYTES are read.
 * `scores` receives probabilities in the order of labels.txt. The result is the best label's index, or US_ERROR_NULL.""",
    first_call=" The first one also expands the hash coefficients.",
    checks="""\
    us_tokens tokens = {{bytes, n, 0, 0, 0 US_VECTOR_FIELDS((const uint8_t *)us_{identifier}_ram.blocks)}};
    size_t row;
    if (scores == NULL || (bytes == NULL && n > 0)) {{
        return US_ERROR_NULL;
    }}
    if (n > US_{upper}_MAX_BYTES) {{
        tokens.length = US_{upper}_MAX_BYTES;
    }}""",
    example=(
        """\
/* cc -std=c99 -O2 -o example example.c && ./example "some text"
 *
 * Prints the scores of its argument, or of one line from standard input; the best label comes first.
 */
#include <stdio.h>
#include <string.h>""",
        """\
    static char line[US_{upper}_MAX_BYTES + 2];
    static float scores[US_{upper}_CLASSES];
    const char *text = line;
    size_t length;
    int best;""",
        """\
    if (argc > 1) {{
        text = argv[1];
    }} else if (fgets(line, (int)sizeof line, stdin) == NULL) {{
        line[0] = 0;
    }}
    length = strlen(text);
    best = us_{identifier}_predict((const uint8_t *)text, length, scores);""",
    ),
)


def _array_input(*, what: str, argument: str, kind: str, file: str, reading: str, usage: str) -> CInput:
    """Return an input that is an array of as many values as ``US_<NAME>_<ARGUMENT>`` says, and is read from a file."""
    count = f"US_{{upper}}_{argument.upper()}"
    return CInput(
        what=what,
        argument=argument,
        kind=kind,
        reading=f"""\
{reading.replace("{count}", count)}
 * `scores` receives probabilities in the order of labels.txt. The result is the best label's index, US_ERROR_NULL or
 * US_ERROR_SIZE.""",
        first_call=" The first one also lays out the weights for vectors.",
        checks=f"""\
    if (scores == NULL || {argument} == NULL) {{{{
        return US_ERROR_NULL;
    }}}}
    if (n != {count}) {{{{
        return US_ERROR_SIZE;
    }}}}""",
        example=(
            f"""\
/* cc -std=c99 -O2 -o example example.c && ./example {file}
 *
{usage}
 */
#include <stdio.h>""",
            f"""\
    static {kind} {argument}[{count} + 1];
    static float scores[US_{{upper}}_CLASSES];
    FILE *file = stdin;
    size_t length;
    int best;""",
            f"""\
    if (argc > 1 && (file = fopen(argv[1], "rb")) == NULL) {{{{
        return 2;
    }}}}
    length = fread({argument}, sizeof {argument}[0], sizeof {argument} / sizeof {argument}[0], file);
    if (file != stdin) {{{{
        fclose(file);
    }}}}
    best = us_{{identifier}}_predict({argument}, length, scores);""",
        ),
    )


IMAGE = _array_input(
    what="an image",
    argument="pixels",
    kind="uint8_t",
    file="pixels.bin",
    reading="""\
 * `pixels` is an image, row by row, the channels of a pixel beside each other; `n` must be {count}.""",
    usage="""\
 * Prints the scores of the image in the file that is its argument, or in standard input: bytes, row by row, channels beside
 * each other. The best label comes first.""",
)

VECTOR = _array_input(
    what="a vector",
    argument="values",
    kind="float",
    file="values.bin",
    reading="""\
 * `values` are the numbers in the units of the training data; of a window the channels of one step stand beside each other.
 * NaN counts as the mean. `n` must be {count}.""",
    usage="""\
 * Prints the scores of the numbers in the file that is its argument, or in standard input: float32 as this machine stores
 * them. The best label comes first.""",
)

SOUND = _array_input(
    what="a sound",
    argument="samples",
    kind="int16_t",
    file="samples.raw",
    reading="""\
 * `samples` are 16-bit PCM, one channel, US_{upper}_SAMPLE_RATE a second; `n` must be {count}. Center a shorter
 * sound between zeros and cut a longer one around its center: the model learned from such.""",
    usage="""\
 * Prints the scores of the sound in the file that is its argument, or in standard input: 16-bit samples as this machine stores
 * them, without a header. The best label comes first.""",
)


def c_input(program: Program) -> CInput:
    """Return what ``program`` reads."""
    return {ProjectText: TEXT, Image: IMAGE, Sound: SOUND, Standardize: VECTOR}[type(program.source)]


def size_lines(program: Program, upper: str) -> str:
    """Return the header's definitions of how large an input is."""
    source = program.source
    if isinstance(source, Sound):
        rate = f"#define US_{upper}_SAMPLE_RATE {source.log_mel.sample_rate} /* samples a second */"
        return f"{rate}\n#define US_{upper}_SAMPLES {source.log_mel.samples} /* of a sound */"
    if isinstance(source, Standardize):
        shape = "" if len(source.shape) == 1 else "#define US_{0}_STEPS {1}\n#define US_{0}_CHANNELS {2}\n"
        count = f"#define US_{upper}_VALUES {math.prod(source.shape)} /* numbers that are read */"
        return shape.format(upper, *source.shape) + count
    if not isinstance(source, Image):
        return f"#define US_{upper}_MAX_BYTES {source.projection.max_bytes}"
    height, width, channels = source.shape
    shape = f"#define US_{upper}_HEIGHT {height}\n#define US_{upper}_WIDTH {width}\n#define US_{upper}_CHANNELS {channels}"
    return f"{shape}\n#define US_{upper}_PIXELS {height * width * channels} /* bytes of an image */"
