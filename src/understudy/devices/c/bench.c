/* Runs a generated model over its inputs: the same program on every target that is emulated.
 *
 * inputs.bin holds a uint32 length and that many bytes for each example. answers.bin receives for each of them the int32
 * label, the uint32 bytes of stack and the float scores. MODEL_HEADER, MODEL_PREDICT, MODEL_CLASSES, MODEL_INPUT and
 * MODEL_INPUT_COUNT are defined by the caller.
 */
#include MODEL_HEADER
#include "platform.h"

static MODEL_INPUT input[MODEL_INPUT_COUNT];
static float scores[MODEL_CLASSES];

/* One function of its own name, so that the instruction counter knows where a prediction begins and ends. */
__attribute__((noinline)) int bench_predict(size_t length);
int bench_predict(size_t length) {
    return MODEL_PREDICT(input, length / sizeof input[0], scores);
}

int main(void) {
    uint32_t length;
    while (platform_read(&length, sizeof length)) {
        int32_t label;
        uint32_t stack_bytes;
        if (length > sizeof input || (length > 0 && !platform_read(input, length))) {
            return 1;
        }
        platform_paint_stack();
        label = bench_predict(length);
        stack_bytes = platform_stack_bytes();
        platform_write(&label, sizeof label);
        platform_write(&stack_bytes, sizeof stack_bytes);
        platform_write(scores, sizeof scores);
    }
    return 0;
}
