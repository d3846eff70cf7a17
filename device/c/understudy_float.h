/* understudy_float.h: what a generated model_float.h needs beside understudy.h, for cores with a floating-point unit.
 *
 * C99, static functions only (unused ones vanish). No heap, no stdio, no libm. Definitions: spec/program.md 27, within 1e-4.
 *
 * Tensors are float, and nothing is rounded between layers. Weights are the integers of the program with a scale for each
 * output, so that they take a byte each; their product is the real weight. The text hash, pixels, standardized numbers and
 * log-mel pictures are those of understudy.h.
 */
#ifndef UNDERSTUDY_FLOAT_H
#define UNDERSTUDY_FLOAT_H

#include "understudy.h"

US_FUNCTION float us_real_within(float value, float least, float largest) {
    return value < least ? least : value > largest ? largest : value;
}

typedef struct {
    const int8_t *input;
    float *output;
    uint32_t count;
    int32_t zero;
    float scale;
} us_real_steps;

/* What the source gives, as real numbers. */
US_FUNCTION void us_real_values(const us_real_steps *steps) {
    for (size_t i = 0; i < steps->count; i++) {
        steps->output[i] = (float)(steps->input[i] - steps->zero) * steps->scale;
    }
}

/* ---- layers: program 3, 10 and 11 ---- */

typedef struct {
    const float *input;    /* [rows, inputs] */
    float *output;         /* [rows, outputs] */
    const int8_t *weights; /* [inputs, outputs]; depthwise [places of the kernel, outputs] */
    const float *scales;   /* [outputs] */
    const float *bias;     /* [outputs] or null */
    uint32_t rows;
    uint32_t inputs;
    uint32_t outputs;
    float least; /* the range of the output's tensor */
    float largest;
} us_real_layer;

/* What the places of a map see of the map before it. */
typedef struct {
    uint16_t height;
    uint16_t width;
    uint16_t channels;
    uint16_t rows;
    uint16_t columns;
    uint16_t kernel_rows;
    uint16_t kernel_columns;
    uint16_t stride;
    uint16_t top;
    uint16_t left;
} us_real_view;

typedef struct {
    us_real_layer layer;
    us_real_view view;
} us_real_conv;

US_FUNCTION void us_real_clear(float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        values[i] = 0.0f;
    }
}

enum {
    US_REAL_BLOCK = 16, /* outputs that are summed together */
    US_REAL_SMALL_BLOCK = 4
};

/* sums += values * weights for `width` outputs, a constant at every call, so that compilers use vectors. */
US_FUNCTION void us_real_add_block(
    float *sums, const float *values, size_t count, const int8_t *weights, size_t outputs, const size_t width
) {
    float block[US_REAL_BLOCK];
    us_real_clear(block, width);
    for (size_t i = 0; i < count; i++, weights += outputs) {
        const float value = values[i];
        for (size_t k = 0; k < width; k++) {
            block[k] += value * (float)weights[k];
        }
    }
    for (size_t k = 0; k < width; k++) {
        sums[k] += block[k];
    }
}

US_FUNCTION void us_real_add_products(
    float *sums, const float *values, size_t count, const int8_t *weights, size_t outputs
) {
    size_t left = outputs;
    while (left > 0) {
        size_t width = 1;
        if (left >= US_REAL_BLOCK) {
            width = US_REAL_BLOCK;
            us_real_add_block(sums, values, count, weights, outputs, US_REAL_BLOCK);
        } else if (left >= US_REAL_SMALL_BLOCK) {
            width = US_REAL_SMALL_BLOCK;
            us_real_add_block(sums, values, count, weights, outputs, US_REAL_SMALL_BLOCK);
        } else {
            us_real_add_block(sums, values, count, weights, outputs, 1);
        }
        sums += width;
        weights += width;
        left -= width;
    }
}

/* sums += values * weights, one by one. */
US_FUNCTION void us_real_add_each(float *sums, const float *values, const int8_t *weights, size_t count) {
    size_t i = 0;
    for (; i + US_REAL_BLOCK <= count; i += US_REAL_BLOCK) {
        for (size_t k = 0; k < US_REAL_BLOCK; k++) {
            sums[i + k] += values[i + k] * (float)weights[i + k];
        }
    }
    for (; i < count; i++) {
        sums[i] += values[i] * (float)weights[i];
    }
}

/* Sums of products with integers to what the layer gives. */
US_FUNCTION void us_real_finish(const us_real_layer *layer, float *sums) {
    for (size_t o = 0; o < layer->outputs; o++) {
        const float bias = layer->bias != NULL ? layer->bias[o] : 0.0f;
        sums[o] = us_real_within(sums[o] * layer->scales[o] + bias, layer->least, layer->largest);
    }
}

US_FUNCTION int us_real_any(const float *values, size_t count) {
    size_t i = 0;
    while (i < count && !(values[i] < 0.0f || values[i] > 0.0f)) {
        i++;
    }
    return i < count;
}

US_FUNCTION void us_real_linear(const us_real_layer *layer) {
    const float *input = layer->input;
    float *output = layer->output;
    for (size_t row = 0; row < layer->rows; row++, input += layer->inputs, output += layer->outputs) {
        us_real_clear(output, layer->outputs);
        if (us_real_any(input, layer->inputs)) { /* the rows of absent tokens are zeros */
            us_real_add_products(output, input, layer->inputs, layer->weights, layer->outputs);
        }
        us_real_finish(layer, output);
    }
}

/* The channels that the place (row, column) sees behind (i, j) of its kernel; null in the padding. */
US_FUNCTION const float *us_real_seen(const float *input, const us_real_view *view, size_t row, size_t column, size_t i, size_t j) {
    const size_t y = row * view->stride + i - view->top; /* what is above wraps around */
    const size_t x = column * view->stride + j - view->left;
    return y < view->height && x < view->width ? input + (y * view->width + x) * view->channels : NULL;
}

US_FUNCTION void us_real_convolve(const us_real_conv *conv) {
    const us_real_layer *layer = &conv->layer;
    const us_real_view *view = &conv->view;
    const size_t place = (size_t)view->channels * layer->outputs; /* weights of one place of the kernel */
    float *output = layer->output;
    for (size_t row = 0; row < view->rows; row++) {
        for (size_t column = 0; column < view->columns; column++, output += layer->outputs) {
            /* the columns of the kernel that are not in the padding lie beside each other */
            const size_t before = column * view->stride;
            const size_t first = before < view->left ? view->left - before : 0;
            const size_t behind = view->width + view->left - before;
            const size_t end = behind < view->kernel_columns ? behind : view->kernel_columns;
            us_real_clear(output, layer->outputs);
            for (size_t i = 0; i < view->kernel_rows; i++) {
                const float *seen = us_real_seen(layer->input, view, row, column, i, first);
                if (seen != NULL) {
                    const int8_t *weights = layer->weights + (i * view->kernel_columns + first) * place;
                    us_real_add_products(output, seen, (end - first) * view->channels, weights, layer->outputs);
                }
            }
            us_real_finish(layer, output);
        }
    }
}

US_FUNCTION void us_real_convolve_depthwise(const us_real_conv *conv) {
    const us_real_layer *layer = &conv->layer;
    const us_real_view *view = &conv->view;
    float *output = layer->output;
    for (size_t row = 0; row < view->rows; row++) {
        for (size_t column = 0; column < view->columns; column++, output += layer->outputs) {
            const int8_t *weights = layer->weights;
            us_real_clear(output, layer->outputs);
            for (size_t i = 0; i < view->kernel_rows; i++) {
                for (size_t j = 0; j < view->kernel_columns; j++, weights += layer->outputs) {
                    const float *seen = us_real_seen(layer->input, view, row, column, i, j);
                    if (seen != NULL) {
                        us_real_add_each(output, seen, weights, layer->outputs);
                    }
                }
            }
            us_real_finish(layer, output);
        }
    }
}

/* ---- rows, places and values: program 4 to 7, 16, 17, 20 and 21 ---- */

typedef struct {
    const float *input; /* [rows, columns]; of a recurrence twice as many columns */
    float *output;
    uint32_t rows;
    uint32_t columns;
    uint32_t step; /* values from a row of the output to the next; of a window its rows */
    float multiplier;
    float least;
    float largest;
} us_real_rows;

US_FUNCTION void us_real_copy_row(const float *input, float *output, size_t count) {
    for (size_t i = 0; i < count; i++) {
        output[i] = input[i];
    }
}

US_FUNCTION void us_real_copy(const us_real_rows *rows) {
    for (size_t row = 0; row < rows->rows; row++) {
        us_real_copy_row(rows->input + row * rows->columns, rows->output + row * rows->step, rows->columns);
    }
}

/* Each row beside its neighbours, zeros around them. */
US_FUNCTION void us_real_window(const us_real_rows *rows) {
    float *output = rows->output;
    for (size_t row = 0; row < rows->rows; row++) {
        for (size_t place = 0; place < rows->step; place++, output += rows->columns) {
            const size_t from = row + place - (rows->step - 1) / 2; /* what is before wraps around */
            if (from < rows->rows) {
                us_real_copy_row(rows->input + from * rows->columns, output, rows->columns);
            } else {
                us_real_clear(output, rows->columns);
            }
        }
    }
}

US_FUNCTION void us_real_max_pool(const us_real_rows *rows) {
    float *output = rows->output;
    us_real_copy_row(rows->input, output, rows->columns);
    for (size_t row = 1; row < rows->rows; row++) {
        for (size_t i = 0; i < rows->columns; i++) {
            const float value = rows->input[row * rows->columns + i];
            output[i] = value > output[i] ? value : output[i];
        }
    }
}

US_FUNCTION void us_real_sum_pool(const us_real_rows *rows) {
    float *output = rows->output;
    us_real_clear(output, rows->columns);
    for (size_t row = 0; row < rows->rows; row++) {
        for (size_t i = 0; i < rows->columns; i++) {
            output[i] += rows->input[row * rows->columns + i];
        }
    }
    for (size_t i = 0; i < rows->columns; i++) {
        output[i] = us_real_within(output[i] * rows->multiplier, rows->least, rows->largest);
    }
}

/* A gate of -1 keeps the state, one near 1 takes the candidate. */
US_FUNCTION void us_real_scan(const us_real_rows *rows) {
    const size_t columns = rows->columns;
    for (size_t row = 0; row < rows->rows; row++) {
        const float *gates = rows->input + row * 2 * columns;
        for (size_t i = 0; i < columns; i++) {
            const float state = row ? rows->output[(row - 1) * columns + i] : 0.0f;
            rows->output[row * columns + i] = state + (gates[i] + 1.0f) * 0.5f * (gates[columns + i] - state);
        }
    }
}

typedef struct {
    const float *input;
    float *output;
    us_real_view view;
} us_real_pool;

/* What lies outside does not count: a padding is less than a kernel, so that every place sees something. */
US_FUNCTION void us_real_local_max_pool(const us_real_pool *pool) {
    const us_real_view *view = &pool->view;
    float *output = pool->output;
    for (size_t row = 0; row < view->rows; row++) {
        for (size_t column = 0; column < view->columns; column++, output += view->channels) {
            int empty = 1;
            for (size_t i = 0; i < view->kernel_rows; i++) {
                for (size_t j = 0; j < view->kernel_columns; j++) {
                    const float *seen = us_real_seen(pool->input, view, row, column, i, j);
                    for (size_t c = 0; seen != NULL && c < view->channels; c++) {
                        if (empty || seen[c] > output[c]) {
                            output[c] = seen[c];
                        }
                    }
                    empty = empty && seen == NULL;
                }
            }
        }
    }
}

typedef struct {
    const float *first;
    const float *second;
    float *output;
    uint32_t count;
    uint32_t period; /* so many values of the second one are met again and again */
    float least;
    float largest;
} us_real_pairs;

US_FUNCTION void us_real_add(const us_real_pairs *pairs) {
    for (size_t i = 0; i < pairs->count; i++) {
        pairs->output[i] = us_real_within(pairs->first[i] + pairs->second[i], pairs->least, pairs->largest);
    }
}

US_FUNCTION void us_real_multiply(const us_real_pairs *pairs) {
    for (size_t begin = 0; begin < pairs->count; begin += pairs->period) {
        for (size_t i = 0; i < pairs->period; i++) {
            const float product = pairs->first[begin + i] * pairs->second[i];
            pairs->output[begin + i] = us_real_within(product, pairs->least, pairs->largest);
        }
    }
}

/* ---- curves: program 19 ---- */

typedef union {
    float real;
    uint32_t bits;
} us_real_bits;

/* 2^n e^r with r within half a ln 2, where eight terms of the series are enough for float. */
US_FUNCTION float us_real_exp(float x) {
    us_real_bits power;
    float r, sum = 1.0f;
    int n;
    if (x < -87.0f) {
        return 0.0f;
    }
    x = x > 88.0f ? 88.0f : x;
    n = (int)(x * 1.44269504f + (x < 0.0f ? -0.5f : 0.5f));
    r = x - (float)n * 0.693359375f; /* ln 2 in two parts, the first of few bits, so that n times it is exact */
    r -= (float)n * -2.12194440e-4f;
    for (int k = 8; k > 0; k--) {
        sum = 1.0f + sum * r / (float)k;
    }
    power.bits = (uint32_t)(n + 127) << 23;
    return sum * power.real;
}

/* n ln 2 + 2 artanh((m - 1) / (m + 1)) for x = 2^n m. */
US_FUNCTION float us_real_log(float x) {
    us_real_bits number;
    float s, square;
    int n;
    if (!(x >= 1.17549435e-38f)) {
        return -3.40282347e38f;
    }
    number.real = x;
    n = (int)(number.bits >> 23) - 127;
    number.bits = (number.bits & 0x7FFFFFu) | 0x3F800000u;
    if (number.real > 1.41421356f) {
        number.real *= 0.5f;
        n++;
    }
    s = (number.real - 1.0f) / (number.real + 1.0f);
    square = s * s;
    s *= 2.0f + square * (0.666666667f + square * (0.4f + square * (0.285714286f + square * 0.222222222f)));
    return (float)n * 0.693147181f + s;
}

US_FUNCTION float us_real_sigmoid(float x) {
    return 1.0f / (1.0f + us_real_exp(-x));
}

US_FUNCTION float us_real_tanh(float x) {
    return 2.0f * us_real_sigmoid(2.0f * x) - 1.0f;
}

/* x times the share of a normal distribution below x; erf by Abramowitz and Stegun 7.1.26, within 1.5e-7. */
US_FUNCTION float us_real_gelu(float x) {
    const float z = (x < 0.0f ? -x : x) * 0.707106781f;
    const float t = 1.0f / (1.0f + 0.3275911f * z);
    const float series = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    const float above = 0.5f * series * us_real_exp(-z * z);
    return x * (x < 0.0f ? above : 1.0f - above);
}

/* ---- softmax: program 8 ---- */

US_FUNCTION int us_real_softmax(const float *logits, float *scores, size_t classes) {
    size_t best = 0;
    float total = 0.0f;
    for (size_t i = 1; i < classes; i++) {
        best = logits[i] > logits[best] ? i : best;
    }
    for (size_t i = 0; i < classes; i++) {
        scores[i] = us_real_exp(logits[i] - logits[best]);
        total += scores[i];
    }
    for (size_t i = 0; i < classes; i++) {
        scores[i] /= total;
    }
    return (int)best;
}

#endif
