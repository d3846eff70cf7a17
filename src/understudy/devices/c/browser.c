/* The C file as a WebAssembly module that imports nothing: a page writes `input`, calls predict and reads `scores`. */
#include MODEL_HEADER

MODEL_INPUT input[MODEL_INPUT_COUNT];
float scores[MODEL_CLASSES];

/* Compilers make calls of these out of loops; the volatile keeps them from making such calls out of these. */
void *memset(void *target, int value, size_t size) {
    volatile uint8_t *byte = target;
    while (size--) {
        *byte++ = (uint8_t)value;
    }
    return target;
}

void *memcpy(void *target, const void *source, size_t size) {
    volatile uint8_t *byte = target;
    const uint8_t *next = source;
    while (size--) {
        *byte++ = *next++;
    }
    return target;
}

__attribute__((export_name("predict"))) int predict(size_t length);
int predict(size_t length) {
    return MODEL_PREDICT(input, length, scores);
}
