/* The platform of a Linux program: files in the current folder. The stack is not measured. */
#include "platform.h"

#include <stdio.h>
#include <stdlib.h>

int platform_read(void *target, size_t size) {
    static FILE *file;
    if (file == NULL && (file = fopen("inputs.bin", "rb")) == NULL) {
        exit(2);
    }
    return fread(target, 1, size, file) == size;
}

void platform_write(const void *source, size_t size) {
    static FILE *file;
    if (file == NULL && (file = fopen("answers.bin", "wb")) == NULL) {
        exit(2);
    }
    if (fwrite(source, 1, size, file) != size) {
        exit(2);
    }
}

void platform_paint_stack(void) {}

uint32_t platform_stack_bytes(void) {
    return 0;
}
