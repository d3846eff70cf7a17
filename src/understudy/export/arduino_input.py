"""What differs between the Arduino libraries of classifiers for texts, images, numbers and sounds.

Every text here is a template with ``{library}`` and ``{upper}``.
"""

from __future__ import annotations

from dataclasses import dataclass

from understudy.program.ops import Image, Program, ProjectText, Sound, Standardize


@dataclass(frozen=True)
class ArduinoInput:
    """One kind of input.

    Attributes:
        what: in every file's first line.
        reads: what goes in, for the library manager.
        parameter: the first one of the classify function.
        argument: its name.
        comment: lines of the header that say what stands there, and what the function returns.
        call: that parameter as the C model takes it.
        sketch: the example.
    """

    what: str
    reads: str
    parameter: str
    argument: str
    comment: str
    call: str
    sketch: str


def _serial_sketch(comment: str, *, kind: str, array: str, elements: str, byte: str, whole: str, length: str) -> str:
    """Return the sketch that fills an array from the serial port and classifies it.

    Args:
        comment: its first lines.
        kind: C type of the elements.
        array: its name.
        elements: how many it has.
        byte: the expression that the next byte is written to.
        whole: how many bytes it has.
        length: what the classify function is given.
    """
    return f"""\
{comment}
#include <{{library}}.h>

static {kind} {array}[{elements}];
static float scores[{{upper}}_CLASSES];
static size_t length = 0;

void setup() {{{{
    Serial.begin(115200);
}}}}

void loop() {{{{
    while (Serial.available() > 0) {{{{
        {byte} = (unsigned char)Serial.read();
        if (length < {whole}) {{{{
            continue;
        }}}}
        const int best = {{library}}_classify({array}, {length}, scores);
        Serial.print({{library}}_label(best));
        Serial.print('\\t');
        Serial.println(scores[best], 4);
        length = 0;
    }}}}
}}}}
"""


_TEXT = ArduinoInput(
    what="a text",
    reads="Raw UTF-8 text",
    parameter="const char *text",
    argument="text",
    comment="""\
/* Write the probability of each class to `scores` and return the best class's index, or -1 where a pointer is null.
 * `text` is UTF-8, `length` bytes; the first {upper}_MAX_BYTES are read. Not reentrant. */""",
    call="(const uint8_t *)text",
    sketch="""\
// Type a line into the serial monitor; the board answers with the best class and its probability.
#include <{library}.h>

static char line[{upper}_MAX_BYTES + 1];
static float scores[{upper}_CLASSES];
static size_t length = 0;

void setup() {{
    Serial.begin(115200);
}}

void loop() {{
    while (Serial.available() > 0) {{
        const char letter = (char)Serial.read();
        if (letter != '\\n') {{
            if (length < {upper}_MAX_BYTES) {{
                line[length++] = letter;
            }}
            continue;
        }}
        const int best = {library}_classify(line, length, scores);
        Serial.print({library}_label(best));
        Serial.print('\\t');
        Serial.println(scores[best], 4);
        length = 0;
    }}
}}
""",
)

_IMAGE = ArduinoInput(
    what="an image",
    reads="Raw pixels",
    parameter="const unsigned char *pixels",
    argument="pixels",
    comment="""\
/* Write the probability of each class to `scores` and return the best class's index, -1 where a pointer is null, or -2 where
 * `length` is not {upper}_PIXELS. `pixels` is an image, row by row, the channels of a pixel beside each other.
 * Not reentrant. */""",
    call="pixels",
    sketch=_serial_sketch(
        """\
// Send images over the serial port, {upper}_PIXELS bytes each: row by row, the channels of a pixel beside each other. The board
// answers with the best class and its probability. With a camera, fill `pixels` from its frame instead.""",
        kind="unsigned char",
        array="pixels",
        elements="{upper}_PIXELS",
        byte="pixels[length++]",
        whole="{upper}_PIXELS",
        length="length",
    ),
)

_SOUND = ArduinoInput(
    what="a sound",
    reads="Raw 16-bit samples",
    parameter="const short *samples",
    argument="samples",
    comment="""\
/* Write the probability of each class to `scores` and return the best class's index, -1 where a pointer is null, or -2 where
 * `length` is not {upper}_SAMPLES. `samples` are 16-bit PCM, one channel, {upper}_SAMPLE_RATE a second. Not reentrant. */""",
    call="samples",
    sketch=_serial_sketch(
        """\
// Send sounds over the serial port: {upper}_SAMPLES samples of 16 bits, the lower byte first, {upper}_SAMPLE_RATE a second. The
// board answers with the best class and its probability. With a microphone, fill `samples` from its buffer instead.""",
        kind="short",
        array="samples",
        elements="{upper}_SAMPLES",
        byte="((unsigned char *)samples)[length++]",
        whole="sizeof samples",
        length="{upper}_SAMPLES",
    ),
)


_VECTOR = ArduinoInput(
    what="a vector",
    reads="Numbers",
    parameter="const float *values",
    argument="values",
    comment="""\
/* Write the probability of each class to `scores` and return the best class's index, -1 where a pointer is null, or -2 where
 * `length` is not {upper}_VALUES. `values` are numbers in the units of the training data; of a window the channels of one step
 * stand beside each other. Not reentrant. */""",
    call="values",
    sketch=_serial_sketch(
        """\
// Send numbers over the serial port, {upper}_VALUES of them as float32, the lowest byte first. The board answers with the best
// class and its probability. With a sensor, fill `values` from its readings instead.""",
        kind="float",
        array="values",
        elements="{upper}_VALUES",
        byte="((unsigned char *)values)[length++]",
        whole="sizeof values",
        length="{upper}_VALUES",
    ),
)


def arduino_input(program: Program) -> ArduinoInput:
    """Return what ``program`` reads."""
    return {ProjectText: _TEXT, Image: _IMAGE, Sound: _SOUND, Standardize: _VECTOR}[type(program.source)]
