/* understudy.h: the portable runtime under every generated model.h.
 *
 * C99, one header, static functions only (unused ones vanish). No heap, no stdio, no libm (at most the memset that
 * compilers make of a loop), and no floating-point instruction: the sums, the requantization and the softmax are integer arithmetic, so -ffast-math,
 * -ffp-contract and the missing FPU of a small core change nothing. (Whoever writes a float version must round each
 * float32 product on its own: -ffp-contract=off and no -ffast-math.)
 * Definitions, to the bit: spec/projection.md section 2 and spec/program.md. Numbers in comments cite them ("projection 2.4").
 *
 * All state is static RAM that the generated header declares. Predictions therefore must not run at the same time
 * (interrupts, threads) on one model, and model.h belongs into one source file.
 *
 * The hash coefficients follow from a seed. They are expanded into RAM by the first prediction (9 bytes for each feature,
 * 17 for one of pairs), because storing them would cost 4.5 bytes of flash each and computing them anew most of the time.
 */
#ifndef UNDERSTUDY_H
#define UNDERSTUDY_H

#include <stddef.h>
#include <stdint.h>

#define US_VERSION 1
#define US_ERROR_NULL (-1) /* a null pointer where there must be bytes or scores */

/* Sizes are measured with -Os, where one function must stay one function; elsewhere the compiler may inline as it likes. */
#if defined(__OPTIMIZE_SIZE__) && defined(__clang__)
#define US_FUNCTION static __attribute__((unused, noinline))
#elif defined(__OPTIMIZE_SIZE__) && defined(__GNUC__)
#define US_FUNCTION static __attribute__((unused, noinline, noclone))
#else
#define US_FUNCTION static inline
#endif

/* Hash sums count modulo 16, one byte each, several bytes in a lane: (sum + table * digit) never leaves its byte, because
 * 15 + 15 * 15 < 256. Vector units multiply 16-bit lanes, the others work on 32 bits. Byte order does not matter. */
#if defined(__SSE2__) || defined(__ARM_NEON) || defined(__wasm_simd128__) || defined(_M_X64) || defined(_M_ARM64)
typedef uint16_t us_lane;
#define US_LANE_NIBBLES 0x0F0Fu
#define US_LANE_SUMS 0x3F3Fu
#define US_LANE_ONES 0x0101u
#else
typedef uint32_t us_lane;
#define US_LANE_NIBBLES 0x0F0F0F0Fu
#define US_LANE_SUMS 0x3F3F3F3Fu
#define US_LANE_ONES 0x01010101u
#endif
#define US_LANES(bytes) ((bytes) / sizeof(us_lane))

enum {
    US_DIGITS = 8,              /* digits between the two hash levels */
    US_MAX_ORDER = 8,           /* widest n-gram */
    US_LAST_PUNCTUATION = 32,   /* codes 1..32 are tokens by themselves */
    US_SECOND_LEVEL = 64,       /* first stream of the second level */
    US_FIRST_BLOCK = 8,         /* bytes in a row of a first-level table: one digest */
    US_SECOND_BLOCK = 32,       /* features that are hashed together */
    US_DIGESTS = 4              /* word digests that are remembered, for pairs with up to two tokens between */
};

/* ---- coefficients: projection 1 ---- */

/* Coefficients of one stream: blocks of `inputs + 1` rows (bias first), each a byte for every output of the block. */
typedef struct {
    us_lane *lanes;
    uint16_t outputs;
    uint8_t inputs;
    uint8_t stream;
} us_table;

US_FUNCTION uint32_t us_mix(uint32_t x) {
    x ^= x >> 16;
    x *= 0x7FEB352Du;
    x ^= x >> 15;
    x *= 0x846CA68Bu;
    return x ^ (x >> 16);
}

US_FUNCTION void us_expand(const us_table *tables, size_t count, uint32_t seed) {
    for (size_t t = 0; t < count; t++) {
        const us_table *table = &tables[t];
        const size_t block = table->stream < US_SECOND_LEVEL ? US_FIRST_BLOCK : US_SECOND_BLOCK;
        const size_t inputs = table->inputs;
        uint32_t counter = us_mix(us_mix(seed) + table->stream);
        for (size_t output = 0; output < table->outputs; output++) {
            uint8_t *column = (uint8_t *)table->lanes + output / block * block * (inputs + 1) + output % block;
            for (size_t input = 0; input <= inputs; input++) {
                const size_t row = input == inputs ? 0 : input + 1;
                column[row * block] = (uint8_t)((us_mix(counter) >> 28) ^ 8u); /* minus 8, modulo 16 */
                counter++;
            }
        }
    }
}

/* ---- text to tokens: projection 2.1 and 2.2 ---- */

typedef struct {
    const uint8_t *bytes;
    size_t length;
    size_t begin; /* the current token */
    size_t end;
    size_t count; /* tokens so far, the current one included */
} us_tokens;

US_FUNCTION unsigned us_code(unsigned byte) {
    if (byte >= 128) {
        return byte;
    }
    if ((byte | 32u) - 'a' < 26u) {
        return (byte | 32u) - 'a' + 43u;
    }
    if (byte - '0' < 10u) {
        return byte - '0' + 33u;
    }
    if (byte <= 32u || byte == 127u) {
        return 0;
    }
    /* punctuation: what stands before the digits, the upper case and the lower case letters closes up */
    return byte - (byte < '0' ? 32u : byte < 'A' ? 42u : byte < 'a' ? 68u : 94u);
}

US_FUNCTION int us_next_token(us_tokens *tokens) {
    size_t end = tokens->end;
    while (end < tokens->length && us_code(tokens->bytes[end]) == 0) {
        end++;
    }
    tokens->begin = end;
    while (end < tokens->length && us_code(tokens->bytes[end]) > US_LAST_PUNCTUATION) {
        end++;
    }
    if (end == tokens->begin && end < tokens->length) {
        end++;
    }
    tokens->end = end;
    tokens->count++;
    return end > tokens->begin;
}

/* ---- tokens to features: projection 2.3 to 2.7 ---- */

/* One partition of the features. */
typedef struct {
    const us_table *second;
    const us_table *first; /* character n-grams: one table for each order; words: the table of their digest */
    us_lane *negative;     /* scratch: how often each sign was negative; all zero between calls */
    int16_t *sums;         /* sums of signs */
    us_lane *digests;      /* words and pairs: the last US_DIGESTS words */
    uint8_t orders;        /* character n-grams: how many orders */
    uint8_t gap;           /* pairs: distance of the two tokens */
} us_group;

/* sum = bias + table * digits, modulo 16 in each byte. Callers give `lanes` as a constant so that compilers vectorise. */
static inline void us_hash(us_lane *sum, const us_lane *table, const uint8_t *digits, size_t inputs, const size_t lanes) {
    for (size_t i = 0; i < lanes; i++) {
        sum[i] = table[i];
    }
    for (size_t k = 0; k < inputs; k++) {
        const us_lane digit = digits[k];
        table += lanes;
        for (size_t i = 0; i < lanes; i++) {
            sum[i] = (us_lane)((sum[i] + (uint32_t)table[i] * digit) & US_LANE_NIBBLES);
        }
    }
}

/* Digest of the n-gram at position `at` of the current token: projection 2.3. */
US_FUNCTION void us_digest(us_lane *digest, const us_table *table, const us_tokens *tokens, size_t at) {
    uint8_t digits[2 * US_MAX_ORDER + 1];
    const size_t order = table->inputs / 2u;
    for (size_t i = 0; i < order; i++) {
        const unsigned code = at + i < tokens->end ? us_code(tokens->bytes[at + i]) : 0;
        digits[i] = (uint8_t)(code >> 4);
        digits[order + i] = (uint8_t)(code & 15u);
    }
    digits[2 * order] = at == tokens->begin;
    us_hash(digest, table->lanes, digits, table->inputs, US_LANES(US_FIRST_BLOCK));
}

/* Count the negative signs of one digest: projection 2.4. */
US_FUNCTION void us_count(const us_group *group, const uint8_t *digits) {
    const us_table *second = group->second;
    const us_lane *table = second->lanes;
    us_lane *negative = group->negative;
    us_lane sum[US_LANES(US_SECOND_BLOCK)];
    for (size_t feature = 0; feature < second->outputs; feature += US_SECOND_BLOCK) {
        us_hash(sum, table, digits, second->inputs, US_LANES(US_SECOND_BLOCK));
        for (size_t i = 0; i < US_LANES(US_SECOND_BLOCK); i++) {
            negative[i] = (us_lane)(negative[i] + ((sum[i] >> 3) & US_LANE_ONES));
        }
        table += (second->inputs + 1u) * US_LANES(US_SECOND_BLOCK);
        negative += US_LANES(US_SECOND_BLOCK);
    }
}

/* Add the signs of the last `counted` digests (at most 255) to the sums. */
US_FUNCTION void us_flush(const us_group *group, int counted) {
    uint8_t *negative = (uint8_t *)group->negative;
    for (size_t feature = 0; feature < group->second->outputs; feature++) {
        group->sums[feature] = (int16_t)(group->sums[feature] + counted - 2 * negative[feature]);
    }
    for (size_t feature = 0; feature < group->second->outputs; feature += US_SECOND_BLOCK) {
        for (size_t i = 0; i < US_SECOND_BLOCK; i++) {
            negative[feature + i] = 0;
        }
    }
}

US_FUNCTION void us_characters(const us_group *group, const us_tokens *tokens) {
    us_lane digest[US_LANES(US_FIRST_BLOCK)];
    int counted = 0;
    for (size_t at = tokens->begin; at < tokens->end; at++) {
        for (size_t order = 0; order < group->orders; order++) {
            us_digest(digest, &group->first[order], tokens, at);
            us_count(group, (const uint8_t *)digest);
            if (++counted == 255) {
                us_flush(group, counted);
                counted = 0;
            }
        }
    }
    us_flush(group, counted);
}

/* Remember the digest of the current token: projection 2.5. */
US_FUNCTION void us_word_digest(const us_group *group, const us_tokens *tokens) {
    us_lane *word = group->digests + tokens->count % US_DIGESTS * US_LANES(US_FIRST_BLOCK);
    us_lane digest[US_LANES(US_FIRST_BLOCK)];
    us_digest(word, group->first, tokens, tokens->begin);
    for (size_t at = tokens->begin + 1; at < tokens->end; at++) {
        us_digest(digest, group->first, tokens, at);
        for (size_t i = 0; i < US_LANES(US_FIRST_BLOCK); i++) {
            word[i] = (us_lane)((word[i] + digest[i]) & US_LANE_SUMS);
        }
    }
    for (size_t i = 0; i < US_LANES(US_FIRST_BLOCK); i++) {
        word[i] = (us_lane)((word[i] >> 2) & US_LANE_NIBBLES);
    }
}

US_FUNCTION void us_words(const us_group *group, const us_tokens *tokens) {
    us_count(group, (const uint8_t *)(group->digests + tokens->count % US_DIGESTS * US_LANES(US_FIRST_BLOCK)));
    us_flush(group, 1);
}

/* Projection 2.6. */
US_FUNCTION void us_pairs(const us_group *group, const us_tokens *tokens) {
    const uint8_t *digests = (const uint8_t *)group->digests;
    uint8_t digits[2 * US_DIGITS];
    if (tokens->count <= group->gap) {
        return;
    }
    for (size_t i = 0; i < US_DIGITS; i++) {
        digits[i] = digests[(tokens->count - group->gap) % US_DIGESTS * US_FIRST_BLOCK + i];
        digits[US_DIGITS + i] = digests[tokens->count % US_DIGESTS * US_FIRST_BLOCK + i];
    }
    us_count(group, digits);
    us_flush(group, 1);
}

US_FUNCTION void us_clear(int16_t *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        values[i] = 0;
    }
}

US_FUNCTION void us_clamp(int16_t *values, size_t count, int low, int high) {
    for (size_t i = 0; i < count; i++) {
        values[i] = (int16_t)(values[i] < low ? low : values[i] > high ? high : values[i]);
    }
}

US_FUNCTION void us_binary(int16_t *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        values[i] = values[i] < 0 ? -1 : 1;
    }
}

US_FUNCTION void us_store(const int16_t *values, int8_t *output, size_t count) {
    for (size_t i = 0; i < count; i++) {
        output[i] = (int8_t)values[i];
    }
}

/* ---- requantization: program 2 ---- */

typedef struct {
    int8_t zero; /* zero point of the output */
    int8_t low;  /* -128, with relu the zero point */
} us_range;

/* clamp(zero + rint(float32(accumulator) * s)), both roundings to nearest even, for s = mantissa * 2^-shift with
 * scale = shift << 24 | mantissa. The product has up to 48 bits; float32 would first round it to 24. That matters only where
 * it lands on a tie, so: whatever lies within half a float32 step of a tie is one. */
US_FUNCTION int8_t us_requantize(int32_t accumulator, uint32_t scale, us_range range) {
    const uint32_t magnitude = accumulator < 0 ? 0u - (uint32_t)accumulator : (uint32_t)accumulator;
    const uint64_t product = (uint64_t)magnitude * (scale & 0xFFFFFFu);
    const unsigned shift = (unsigned)(scale >> 24);
    const uint64_t whole = product >> shift;
    int32_t value = 512; /* beyond every clamp */
    if (whole < 512) {
        const uint64_t half = (uint64_t)1 << (shift - 1);
        const uint64_t rest = product & (half + half - 1);
        uint32_t step = (uint32_t)(product >> 24); /* its highest bit is half a float32 step */
        step |= step >> 1;
        step |= step >> 2;
        step |= step >> 4;
        step |= step >> 8;
        step |= step >> 16;
        step -= step >> 1;
        value = (int32_t)whole;
        if (rest > half + step || (rest + step >= half && (value & 1))) {
            value++;
        }
    }
    value = range.zero + (accumulator < 0 ? -value : value);
    return (int8_t)(value < range.low ? range.low : value > 127 ? 127 : value);
}

/* ---- linear, and a window before it: program 3 and 4 ---- */

typedef int32_t (*us_dot)(const uint8_t *weights, const int16_t *values, size_t inputs);

typedef struct {
    const int8_t *input;     /* [rows, inputs / width]; unused where the features are read directly */
    int8_t *output;          /* [rows, outputs] */
    int16_t *values;         /* [inputs + 1]: one input row less its zero point */
    const uint8_t *weights;  /* [outputs, row_bytes] */
    const int32_t *bias;     /* [outputs] or null */
    const uint32_t *scales;  /* [1] or [outputs] */
    us_dot dot;              /* us_dot8 or us_dot4 */
    uint16_t inputs;
    uint16_t outputs;
    uint16_t row_bytes;
    uint16_t rows;
    us_range range;
    int8_t input_zero;
    uint8_t width;       /* rows of the input that are read side by side */
    uint8_t per_channel; /* 1: a scale for every output */
    uint8_t offset;      /* what was added to the stored weights: 8 in 4 bits */
} us_layer;

US_FUNCTION int32_t us_dot8(const uint8_t *weights, const int16_t *values, size_t inputs) {
    const int8_t *signed_weights = (const int8_t *)weights;
    int32_t sum = 0;
    size_t i = 0;
#if !defined(__OPTIMIZE_SIZE__)
    const size_t whole = inputs & ~(size_t)31; /* constant trips, so that compilers vectorise at -O2 */
    for (; i < whole; i += 32) {
        for (size_t j = 0; j < 32; j++) {
            sum += (int32_t)values[i + j] * signed_weights[i + j];
        }
    }
#endif
    for (; i < inputs; i++) {
        sum += (int32_t)values[i] * signed_weights[i];
    }
    return sum;
}

/* Low nibbles hold the first half of a row, high nibbles the second; values[inputs] is 0 where `inputs` is odd. */
US_FUNCTION int32_t us_dot4(const uint8_t *weights, const int16_t *values, size_t inputs) {
    const size_t half = (inputs + 1) / 2;
    const int16_t *second = values + half;
    int32_t sum = 0;
    size_t i = 0;
#if !defined(__OPTIMIZE_SIZE__)
    const size_t whole = half & ~(size_t)31;
    for (; i < whole; i += 32) {
        for (size_t j = 0; j < 32; j++) {
            sum += (int32_t)values[i + j] * (int16_t)(weights[i + j] & 15);
        }
        for (size_t j = 0; j < 32; j++) {
            sum += (int32_t)second[i + j] * (int16_t)(weights[i + j] >> 4);
        }
    }
#endif
    for (; i < half; i++) {
        sum += (int32_t)values[i] * (weights[i] & 15) + (int32_t)second[i] * (weights[i] >> 4);
    }
    return sum;
}

/* One output row from the row that stands in layer->values. */
US_FUNCTION void us_linear_row(const us_layer *layer, size_t row) {
    int8_t *output = layer->output + row * layer->outputs;
    const uint8_t *weights = layer->weights;
    int32_t stored = 0; /* what the offset of the weights adds to every sum */
    layer->values[layer->inputs] = 0;
    for (size_t i = 0; i < layer->inputs; i++) {
        stored += layer->values[i];
    }
    stored *= layer->offset;
    for (size_t o = 0; o < layer->outputs; o++) {
        int32_t sum = layer->dot(weights, layer->values, layer->inputs) - stored;
        if (layer->bias != NULL) {
            sum += layer->bias[o];
        }
        output[o] = us_requantize(sum, layer->scales[layer->per_channel ? o : 0], layer->range);
        weights += layer->row_bytes;
    }
}

US_FUNCTION void us_repeat(const us_layer *layer, size_t row) {
    const size_t end = (size_t)layer->rows * layer->outputs;
    for (size_t i = (row + 1) * layer->outputs; i < end; i++) {
        layer->output[i] = layer->output[i - layer->outputs];
    }
}

/* All rows. A row whose input equals the one before (the rows behind a text's end) is copied, not computed. */
US_FUNCTION void us_linear(const us_layer *layer) {
    const size_t columns = (size_t)layer->inputs / layer->width;
    for (size_t row = 0; row < layer->rows; row++) {
        int changed = row == 0;
        int16_t *value = layer->values;
        for (size_t offset = 0; offset < layer->width; offset++) {
            const size_t source = row + offset - (layer->width - 1u) / 2; /* wraps below zero, past every row */
            for (size_t column = 0; column < columns; column++) {
                const int inside = source < layer->rows;
                const int16_t next = (int16_t)(inside ? layer->input[source * columns + column] - layer->input_zero : 0);
                changed |= *value ^ next;
                *value++ = next;
            }
        }
        if (changed) {
            us_linear_row(layer, row);
        } else {
            for (size_t o = row * layer->outputs; o < (row + 1) * layer->outputs; o++) {
                layer->output[o] = layer->output[o - layer->outputs];
            }
        }
    }
}

/* ---- rows: program 4 to 7 ---- */

typedef struct {
    const int8_t *input; /* [rows, columns] */
    int8_t *output;
    uint32_t scale; /* sum pooling */
    uint16_t rows;
    uint16_t columns;
    us_range range;
    int8_t input_zero;
    uint8_t width; /* window */
} us_rows;

US_FUNCTION void us_max_pool(const us_rows *rows) {
    for (size_t column = 0; column < rows->columns; column++) {
        int8_t best = rows->input[column];
        for (size_t row = 1; row < rows->rows; row++) {
            const int8_t value = rows->input[row * rows->columns + column];
            best = value > best ? value : best;
        }
        rows->output[column] = best;
    }
}

US_FUNCTION void us_sum_pool(const us_rows *rows) {
    for (size_t column = 0; column < rows->columns; column++) {
        int32_t sum = 0;
        for (size_t row = 0; row < rows->rows; row++) {
            sum += rows->input[row * rows->columns + column] - rows->input_zero;
        }
        rows->output[column] = us_requantize(sum, rows->scale, rows->range);
    }
}

/* A window that something else than a linear layer reads. */
US_FUNCTION void us_window(const us_rows *rows) {
    int8_t *output = rows->output;
    for (size_t row = 0; row < rows->rows; row++) {
        for (size_t offset = 0; offset < rows->width; offset++) {
            const size_t source = row + offset - (rows->width - 1u) / 2;
            for (size_t column = 0; column < rows->columns; column++) {
                *output++ = source < rows->rows ? rows->input[source * rows->columns + column] : rows->input_zero;
            }
        }
    }
}

/* A part of a concatenation that could not be written in its place at once. */
US_FUNCTION void us_copy(const us_rows *rows) {
    for (size_t column = 0; column < rows->columns; column++) {
        rows->output[column] = rows->input[column];
    }
}

/* ---- probabilities: program 8 ---- */

typedef struct {
    const int8_t *logits;
    const uint32_t *powers; /* [8]: exp(-scale * 2^k) = mantissa * 2^-(24 + shift), stored as shift << 24 | mantissa */
    uint16_t classes;
} us_scores;

/* exp(-scale * steps) = result * 2^-(32 + shift) for steps in 0..255: a product of stored powers, relative error below 1e-6. */
US_FUNCTION uint32_t us_exp(const us_scores *scores, unsigned steps, unsigned *shift) {
    uint32_t result = 0xFFFFFFFFu; /* 1, and always at least 2^31 */
    *shift = 0;
    for (size_t k = 0; steps != 0; k++, steps >>= 1) {
        if (steps & 1u) {
            const uint64_t product = (uint64_t)result * (scores->powers[k] & 0xFFFFFFu);
            const unsigned low = product >> 55 == 0;
            *shift += (unsigned)(scores->powers[k] >> 24) + low;
            result = (uint32_t)(product >> (24 - low));
        }
    }
    return result;
}

/* Write the probabilities (0 below 2^-126) and return the first largest logit's index. */
US_FUNCTION int us_softmax(const us_scores *scores, float *probabilities) {
    size_t best = 0;
    uint64_t sum = 0;
    uint64_t inverse = 0; /* 2^63 / sum, where sum was halved `halved` times to 32 bits */
    uint64_t rest = 1;
    unsigned halved = 0;
    unsigned shift;
    for (size_t i = 1; i < scores->classes; i++) {
        best = scores->logits[i] > scores->logits[best] ? i : best;
    }
    for (size_t i = 0; i < scores->classes; i++) {
        const uint32_t power = us_exp(scores, (unsigned)(scores->logits[best] - scores->logits[i]), &shift);
        sum += shift < 32 ? power >> shift : 0;
    }
    for (; sum >> 32 != 0; halved++) {
        sum >>= 1;
    }
    for (size_t bit = 0; bit < 63; bit++) { /* long division: no library call */
        rest <<= 1;
        inverse <<= 1;
        if (rest >= sum) {
            rest -= sum;
            inverse |= 1u;
        }
    }
    for (size_t i = 0; i < scores->classes; i++) {
        const uint32_t power = us_exp(scores, (unsigned)(scores->logits[best] - scores->logits[i]), &shift);
        uint64_t value = power * inverse; /* the probability times 2^(63 + halved + shift), at least 2^62 */
        union {
            uint32_t bits;
            float real;
        } result;
        shift += halved;
        if (value >> 63 == 0) {
            value <<= 1;
            shift++;
        }
        /* a binary32, put together by hand */
        result.bits = shift > 126 ? 0 : (127u - shift) << 23 | ((uint32_t)(value >> 40) & 0x7FFFFFu);
        probabilities[i] = result.real;
    }
    return (int)best;
}

/* ---- images: program 9 to 11 ---- */

#define US_ERROR_SIZE (-2) /* not as many pixels as the model reads */

/* A convolution; images are [rows, columns, channels]. */
typedef struct {
    const int8_t *input;
    int8_t *output;
    int16_t *values;        /* [patch] where every channel sees all others: one place's inputs less their zero point */
    const int8_t *weights;  /* [outputs, patch], or [outputs, kernel_rows, kernel_columns] where each channel is alone */
    const int32_t *bias;    /* [outputs] or null */
    const uint32_t *scales; /* [1] or [outputs] */
    uint16_t rows;          /* of the input */
    uint16_t columns;
    uint16_t channels;
    uint16_t output_rows;
    uint16_t output_columns;
    uint16_t outputs;
    us_range range;
    int8_t input_zero;
    uint8_t kernel_rows;
    uint8_t kernel_columns;
    uint8_t stride;
    uint8_t top; /* rows of real zeros above the input */
    uint8_t left;
    uint8_t per_channel; /* 1: a scale for every output */
} us_conv;

/* Pixels 0..255 become -128..127. */
US_FUNCTION void us_pixels(const uint8_t *pixels, int8_t *output, size_t count) {
    for (size_t i = 0; i < count; i++) {
        output[i] = (int8_t)((int)pixels[i] - 128);
    }
}

/* Every output sees every channel. */
US_FUNCTION void us_convolve(const us_conv *conv) {
    const size_t run = (size_t)conv->kernel_columns * conv->channels;
    const size_t patch = run * conv->kernel_rows;
    int8_t *output = conv->output;
    for (size_t row = 0; row < conv->output_rows; row++) {
        for (size_t column = 0; column < conv->output_columns; column++) {
            const int8_t *weights = conv->weights;
            int16_t *value = conv->values;
            for (size_t i = 0; i < conv->kernel_rows; i++) {
                const size_t y = row * conv->stride + i - conv->top; /* wraps below zero, past every row */
                for (size_t j = 0; j < conv->kernel_columns; j++) {
                    const size_t x = column * conv->stride + j - conv->left;
                    const int inside = y < conv->rows && x < conv->columns;
                    const int8_t *input = conv->input + (inside ? (y * conv->columns + x) * conv->channels : 0);
                    for (size_t c = 0; c < conv->channels; c++) {
                        *value++ = (int16_t)(inside ? input[c] - conv->input_zero : 0);
                    }
                }
            }
            for (size_t o = 0; o < conv->outputs; o++) {
                int32_t sum = conv->bias != NULL ? conv->bias[o] : 0;
                for (size_t i = 0; i < patch; i++) {
                    sum += (int32_t)conv->values[i] * weights[i];
                }
                weights += patch;
                *output++ = us_requantize(sum, conv->scales[conv->per_channel ? o : 0], conv->range);
            }
        }
    }
}

/* Each channel for itself. */
US_FUNCTION void us_convolve_depthwise(const us_conv *conv) {
    const size_t line = (size_t)conv->columns * conv->channels;
    int8_t *output = conv->output;
    for (size_t row = 0; row < conv->output_rows; row++) {
        /* the part of the kernel that lies inside the input */
        const size_t up = row * conv->stride;
        const size_t i_begin = up < conv->top ? conv->top - up : 0;
        const size_t below = conv->rows + conv->top - up;
        const size_t i_end = below < conv->kernel_rows ? below : conv->kernel_rows;
        for (size_t column = 0; column < conv->output_columns; column++) {
            const size_t across = column * conv->stride;
            const size_t j_begin = across < conv->left ? conv->left - across : 0;
            const size_t beside = conv->columns + conv->left - across;
            const size_t j_end = beside < conv->kernel_columns ? beside : conv->kernel_columns;
            const int8_t *weights = conv->weights;
            for (size_t o = 0; o < conv->outputs; o++) {
                int32_t sum = conv->bias != NULL ? conv->bias[o] : 0;
                for (size_t i = i_begin; i < i_end; i++) {
                    const int8_t *input = conv->input + (up + i - conv->top) * line + o;
                    for (size_t j = j_begin; j < j_end; j++) {
                        const int value = input[(across + j - conv->left) * conv->channels] - conv->input_zero;
                        sum += value * weights[i * conv->kernel_columns + j];
                    }
                }
                weights += (size_t)conv->kernel_rows * conv->kernel_columns;
                *output++ = us_requantize(sum, conv->scales[conv->per_channel ? o : 0], conv->range);
            }
        }
    }
}

#endif
