/* What a target offers to bench.c: texts in, answers out. */
#ifndef PLATFORM_H
#define PLATFORM_H

#include <stddef.h>
#include <stdint.h>

/* Read `size` bytes of texts.bin; 0 at its end. */
int platform_read(void *target, size_t size);
/* Append `size` bytes to answers.bin. */
void platform_write(const void *source, size_t size);
/* Fill the free stack with a pattern; returns at once where the stack is not measured. */
void platform_paint_stack(void);
/* Return how many bytes of the stack, counted from its top, no longer hold the pattern; 0 where it is not measured. */
uint32_t platform_stack_bytes(void);

#endif
