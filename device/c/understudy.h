/* understudy.h: the portable runtime under every generated model.h.
 *
 * C99, one header, static functions only (unused ones vanish). No heap, no stdio, no libm: at most memset and memcpy.
 * Definitions, to the bit: spec/projection.md sections 2 and 4, spec/program.md. Numbers in comments cite them ("projection 2.4").
 *
 * There are two ways to the same integers, chosen by the compiler's target (US_VECTOR):
 * - Plain C for small cores: little code, little RAM, and no floating-point instruction. The sums, the requantization and the
 *   softmax are integer arithmetic, so -ffast-math, -ffp-contract and a missing FPU change nothing. Dot products take two
 *   values at once where an Arm core has the DSP instructions (Cortex-M4, M7, M33), eight where it has Helium (M55).
 * - Vectors, where the target has them (SSE2 and up, AVX2, AVX-512 with VNNI, NEON with dot products): tables of every multiple
 *   of a coefficient, unpacked weights, words that are remembered. Requantization rounds as the vector unit does by default,
 *   to nearest even. On x86-64 -O2 is enough: the processor chooses when it runs (US_CHOICE), and us_unit() says what.
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

/* Bytes of a vector, 0 for none: then the code is plain C and the static RAM smallest. Define US_VECTOR 0 to ask for that.
 * Vectors trade RAM for time: hash tables and weights are unpacked once, into US_<NAME>_RAM_BYTES of static RAM.
 *
 * US_CHOICE: on x86-64 without flags of a processor, what vectors need is compiled once for each unit up to US_WIDEST bytes, and
 * the processor that runs it decides. Flags that allow AVX2 or a defined US_VECTOR leave one unit. */
#if !defined(US_WIDEST)
#define US_WIDEST 64
#endif
#if !defined(US_VECTOR)
#if !defined(__GNUC__) || defined(__OPTIMIZE_SIZE__)
#define US_VECTOR 0
#elif defined(__AVX512BW__) && defined(__AVX512VL__)
#define US_VECTOR 64
#elif defined(__AVX2__)
#define US_VECTOR 32
#elif defined(__SSE2__) || defined(__aarch64__)
#define US_VECTOR 16
#if defined(__x86_64__) && __STDC_HOSTED__ && US_WIDEST > 16
#if defined(__clang__) ? __clang_major__ >= 9 : __GNUC__ >= 9
#define US_CHOICE
#endif
#endif
#else
#define US_VECTOR 0
#endif
#endif

#if US_VECTOR
#define US_EITHER(vector, plain) vector
#define US_VECTOR_FIELDS(...) , __VA_ARGS__
#define US_PLAIN_FIELD(field)
#if defined(__SSE2__)
#include <immintrin.h>
#else
#include <arm_neon.h>
#endif
#define US_INLINE static inline __attribute__((always_inline))
#define US_ACCUMULATORS 8 /* vectors of outputs that are summed together; 16 registers hold them and what they read */
/* Before a loop of at most 16 trips, as many as the compiler knows: sums stay in registers. */
#if defined(__clang__)
#define US_UNROLL _Pragma("clang loop unroll(full)")
#else
#define US_UNROLL _Pragma("GCC unroll 16")
#endif
/* What is added to an activation, so that its sign is the one that the machine's dot product takes. */
#if defined(__SSE2__)
#define US_UNSIGNED 128
#else
#define US_UNSIGNED 0
#endif
/* 64 bytes, whatever the vectors: what tables and weights are laid out in. */
typedef struct {
    uint8_t bytes[64];
} __attribute__((aligned(64))) us_block;
#else
#define US_EITHER(vector, plain) plain
#define US_VECTOR_FIELDS(...)
#define US_PLAIN_FIELD(field) field,
/* What microcontrollers multiply with: eight products at once, or two. */
#if defined(__ARM_FEATURE_MVE) && !defined(__ARM_BIG_ENDIAN)
#define US_HELIUM
#include <arm_mve.h>
#elif defined(__ARM_FEATURE_DSP) && defined(__ARM_FEATURE_SIMD32) && !defined(__ARM_BIG_ENDIAN)
#define US_PAIRED
#include <arm_acle.h>
#endif
#endif

/* Without vectors, hash sums count modulo 16, one byte each, four bytes in a lane: (sum + table * digit) never leaves its
 * byte, because 15 + 15 * 15 < 256. Byte order does not matter. */
typedef uint32_t us_lane;
#define US_LANE_NIBBLES 0x0F0F0F0Fu
#define US_LANE_SUMS 0x3F3F3F3Fu
#define US_LANE_ONES 0x01010101u
#define US_LANES(bytes) ((bytes) / sizeof(us_lane))

enum {
    US_DIGITS = 8,              /* digits between the two hash levels */
    US_MAX_ORDER = 8,           /* widest n-gram */
    US_LAST_PUNCTUATION = 32,   /* codes 1..32 are tokens by themselves */
    US_SYMBOL = 0xE2,           /* begins a symbol of three bytes, behind which a token begins */
    US_SECOND_LEVEL = 64,       /* first stream of the second level */
    US_FIRST_BLOCK = 8,         /* bytes in a row of a first-level table: one digest */
    US_SECOND_BLOCK = 32,       /* features that are hashed together */
    US_BLOCK = 64,              /* bytes of a us_block */
    US_WORDS = 1024,            /* words that are remembered: a power of two */
    US_WORD_BYTES = 16,         /* longest of them */
    US_WAYS = 4,                /* places that a word may have */
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
#if US_VECTOR
    const uint8_t *codes; /* [256] */
#endif
} us_tokens;

US_FUNCTION unsigned us_code(unsigned byte) {
    if (byte >= 128) {
        return byte == 0xC2u || byte == US_SYMBOL || byte == 0xF0u ? 0 : byte;
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

static inline unsigned us_code_at(const us_tokens *tokens, size_t at) {
    return US_EITHER(tokens->codes[tokens->bytes[at]], us_code(tokens->bytes[at]));
}

US_FUNCTION int us_next_token(us_tokens *tokens) {
    size_t end = tokens->end;
    while (end < tokens->length && us_code_at(tokens, end) == 0) {
        end++;
    }
    tokens->begin = end;
    while (end < tokens->length && us_code_at(tokens, end) > US_LAST_PUNCTUATION &&
           !(end > tokens->begin && end >= 3 && tokens->bytes[end - 3] == US_SYMBOL)) {
        end++;
    }
    if (end == tokens->begin && end < tokens->length) {
        end++;
    }
    tokens->end = end;
    tokens->count += end > tokens->begin;
    return end > tokens->begin;
}

/* ---- tokens to features: projection 2.3 to 2.7 ---- */

/* One partition of the features. */
typedef struct {
    const us_table *second;
    const us_table *first; /* character n-grams: one table for each order; words: the table of their digest */
#if !US_VECTOR
    us_lane *negative;     /* scratch: how often each sign was negative; all zero between calls */
#endif
    int16_t *sums;         /* sums of signs */
    us_lane *digests;      /* words and pairs: the last US_DIGESTS words */
    uint8_t orders;        /* character n-grams: how many orders */
    uint8_t gap;           /* pairs: distance of the two tokens */
#if US_VECTOR
    us_block *second_rows; /* [features / 64, inputs, 16]: 16 * coefficient * digit for every digit, bias in input 0 */
    us_block *first_rows;  /* character n-grams: [2 + 32 * widest], all orders side by side */
    uint8_t widest;        /* character n-grams: the largest order */
#endif
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
        const unsigned code = at + i < tokens->end ? us_code_at(tokens, at + i) : 0;
        digits[i] = (uint8_t)(code >> 4);
        digits[order + i] = (uint8_t)(code & 15u);
    }
    digits[2 * order] = at == tokens->begin;
    us_hash(digest, table->lanes, digits, 2 * order + 1, US_LANES(US_FIRST_BLOCK));
}

#if US_VECTOR

/* Digits and coefficients stand in the high half of a byte, so that wrapping sums count modulo 16 and the sign bit is the sign.
 * Tables hold every multiple of a coefficient: a digit chooses a row, and hashing is adding rows. */
US_FUNCTION void us_expand_second(const us_group *group) {
    const size_t inputs = group->second->inputs;
    for (size_t p = 0; p < group->second->outputs; p++) {
        const size_t block = p - p % US_SECOND_BLOCK;
        const uint8_t *column = (const uint8_t *)group->second->lanes + block * (inputs + 1) + p % US_SECOND_BLOCK;
        uint8_t *row = (uint8_t *)(group->second_rows + p / US_BLOCK * inputs * 16) + p % US_BLOCK;
        for (size_t i = 0; i < inputs * 16; i++) {
            const unsigned bias = i < 16 ? column[0] : 0u;
            row[i * US_BLOCK] = (uint8_t)((bias + column[(i / 16 + 1) * US_SECOND_BLOCK] * (unsigned)(i % 16)) << 4);
        }
    }
}

US_FUNCTION void us_expand_first(const us_group *group) {
    for (size_t order = 0; order < group->orders; order++) {
        const us_table *first = &group->first[order];
        const size_t width = first->inputs / 2u;
        for (size_t j = 0; j < US_DIGITS; j++) {
            const uint8_t *column = (const uint8_t *)first->lanes + j;
            uint8_t *row = (uint8_t *)group->first_rows + order * US_DIGITS + j;
            row[0] = (uint8_t)(column[0] << 4);
            row[US_BLOCK] = (uint8_t)((column[0] + column[(2 * width + 1) * US_FIRST_BLOCK]) << 4);
            for (size_t i = 0; i < width * 32; i++) {
                const unsigned coefficient = column[(1 + i / 32 + (i & 16 ? width : 0)) * US_FIRST_BLOCK];
                row[(2 + i) * US_BLOCK] = (uint8_t)((coefficient * (unsigned)(i % 16)) << 4);
            }
        }
    }
}

/* The codes of all bytes, and the rows of all groups. */
US_FUNCTION void us_expand_rows(const us_group *groups, size_t count, uint8_t *codes) {
    for (unsigned byte = 0; byte < 256; byte++) {
        codes[byte] = (uint8_t)us_code(byte);
    }
    for (size_t group = 0; group < count; group++) {
        us_expand_second(&groups[group]);
        us_expand_first(&groups[group]);
    }
}

/* Add the signs of some digests, whose digits are times 16, to the sums of a group. */
US_FUNCTION void us_count(const us_group *group, const uint8_t *digits, size_t digests);

#else

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

#endif

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

/* Count one digest or two beside each other. */
US_FUNCTION void us_count_words(const us_group *group, const uint8_t *first, const uint8_t *second) {
    uint8_t digits[2 * US_DIGITS];
    for (size_t i = 0; i < US_DIGITS; i++) {
        digits[i] = US_EITHER((uint8_t)(first[i] << 4), first[i]);
        digits[US_DIGITS + i] = US_EITHER((uint8_t)(second[i] << 4), second[i]);
    }
#if US_VECTOR
    us_count(group, digits, 1);
#else
    us_count(group, digits);
    us_flush(group, 1);
#endif
}

US_FUNCTION void us_words(const us_group *group, const us_tokens *tokens) {
    const uint8_t *word = (const uint8_t *)group->digests + tokens->count % US_DIGESTS * US_FIRST_BLOCK;
    us_count_words(group, word, word);
}

/* Projection 2.6. */
US_FUNCTION void us_pairs(const us_group *group, const us_tokens *tokens) {
    const uint8_t *digests = (const uint8_t *)group->digests;
    if (tokens->count > group->gap) {
        const uint8_t *first = digests + (tokens->count - group->gap) % US_DIGESTS * US_FIRST_BLOCK;
        us_count_words(group, first, digests + tokens->count % US_DIGESTS * US_FIRST_BLOCK);
    }
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

/* ---- numbers: program 14 ---- */

/* A float32 value is a sign, a significand of 24 bits and the exponent of its last bit, plus 150. */
typedef struct {
    int32_t significand;
    int exponent;
} us_number;

/* `bits` as a number; what is too small for 24 bits counts as 0. */
static inline us_number us_number_of(uint32_t bits) {
    us_number number = {0, (int)(bits >> 23 & 255u)};
    if (number.exponent != 0) {
        number.significand = (int32_t)(bits & 0x7FFFFFu) | 0x800000;
    }
    if (bits >> 31) {
        number.significand = -number.significand;
    }
    return number;
}

/* a - b, rounded to nearest even as float32 does. Six more bits are kept; the last one stands for all that are lost. */
US_FUNCTION us_number us_difference(us_number a, us_number b) {
    us_number result = {0, 0};
    const int gap = a.exponent - b.exponent;
    int32_t x = a.significand * 64, y = b.significand * 64;
    int32_t *smaller = gap < 0 ? &x : &y;
    const unsigned lost = (unsigned)(gap < 0 ? -gap : gap);
    uint32_t magnitude = (uint32_t)(*smaller < 0 ? -*smaller : *smaller);
    magnitude = lost > 30 ? magnitude != 0 : magnitude >> lost | ((magnitude & (((uint32_t)1 << lost) - 1)) != 0);
    *smaller = *smaller < 0 ? -(int32_t)magnitude : (int32_t)magnitude;
    x -= y;
    magnitude = (uint32_t)(x < 0 ? -x : x);
    if (magnitude == 0) {
        return result;
    }
    result.exponent = (gap < 0 ? b.exponent : a.exponent) + 1;
    while (magnitude < 0x40000000u) {
        magnitude <<= 1;
        result.exponent--;
    }
    magnitude = (magnitude + 63u + (magnitude >> 7 & 1u)) >> 7;
    result.significand = x < 0 ? -(int32_t)magnitude : (int32_t)magnitude;
    return result;
}

/* clamp(rint(float32(value - offset) * multiplier)), NaN as 0, for `count` values of `channels` in turn. Integers alone: a
 * compiler that fuses or reorders float operations would give other bits, and small cores have none. The constants are
 * volatile, lest a compiler that sees them makes code of them, whose size would depend on the data. */
US_FUNCTION void us_standardize(
    const float *values, const volatile uint32_t *offsets, const volatile uint32_t *multipliers, int8_t *output, size_t count,
    size_t channels
) {
    const us_range range = {0, -128};
    size_t channel = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits, scale;
        us_number number;
        int shift;
        __builtin_memcpy(&bits, values + i, sizeof bits);
        scale = multipliers[channel];
        number = us_number_of(bits);
        if (number.exponent < 255) {
            number = us_difference(number, us_number_of(offsets[channel]));
        } else {
            number.significand = bits & 0x7FFFFFu ? 0 : number.significand; /* NaN, or infinity */
            number.exponent = 300;
        }
        /* a shift of 24 saturates, one of 62 rounds to 0 */
        shift = 300 - number.exponent - (int)(scale >> 23);
        shift = shift < 24 ? 24 : shift > 62 ? 62 : shift;
        output[i] = scale == 0 ? 0 : us_requantize(number.significand, (uint32_t)shift << 24 | (scale & 0x7FFFFFu) | 0x800000u, range);
        channel = channel + 1 < channels ? channel + 1 : 0;
    }
}

/* ---- linear, and a window before it: program 3 and 4 ---- */

/* Rows that only absent tokens decide hold the zero point, as long as no layer before them has a bias: `present` is the number
 * of the others, or more. */

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
#if US_VECTOR
    us_block *unpacked;    /* us_unpack */
    uint8_t *activations;  /* inputs plus US_UNSIGNED: US_PLACES rows, or what a convolution reads for a row of places */
    uint16_t run;          /* inputs that lie beside each other: all, or those that a row of a kernel meets */
#endif
} us_layer;

/* The rows from `row` on, which hold the zero point. */
US_FUNCTION void us_absent(const us_layer *layer, size_t row) {
    const size_t end = (size_t)layer->rows * layer->outputs;
#if US_VECTOR
    __builtin_memset(layer->output + row * layer->outputs, layer->range.zero, end - row * layer->outputs);
#else
    for (size_t i = row * layer->outputs; i < end; i++) {
        layer->output[i] = layer->range.zero;
    }
#endif
}

#if US_VECTOR

/* One unpacked layer, outputs filled up to a multiple of 16: int32 [outputs], bias less what the offsets of the activations
 * add to every sum; float32 [outputs], scales; int8 [inputs / 4, outputs, 4], weights, where every run of inputs is filled up
 * to a multiple of 4, and a single one of 8. Where the machine multiplies 16 bits only, weights are int16
 * [inputs / 4, 2, outputs, 2] instead: those of the inputs 0 and 2, then those of 1 and 3. */
/* Lay down the weight of four inputs' `input` for `output`; `at` counts the fours. */
US_INLINE void us_lay_weight(void *weights, int wide, size_t padded, size_t at, size_t input, size_t output, int weight) {
    if (wide) {
        ((int16_t *)weights)[((at * 2 + input % 2) * padded + output) * 2 + input / 2] = (int16_t)weight;
    } else {
        ((int8_t *)weights)[(at * padded + output) * 4 + input] = (int8_t)weight;
    }
}

US_FUNCTION size_t us_padded_outputs(const us_layer *layer) {
    return (layer->outputs + 15u) & ~(size_t)15;
}

US_FUNCTION size_t us_padded_run(const us_layer *layer) {
    return layer->run == layer->inputs ? (layer->run + 7u) & ~(size_t)7 : (layer->run + 3u) & ~(size_t)3;
}

US_FUNCTION float us_scale(uint32_t scale) {
    union {
        uint32_t bits;
        float real;
    } power;
    power.bits = (127u - (scale >> 24)) << 23;
    return (float)(scale & 0xFFFFFFu) * power.real; /* exact */
}

/* The weight of one input. */
US_INLINE int us_weight(const us_layer *layer, size_t output, size_t input) {
    const size_t half = (layer->inputs + 1u) / 2;
    const uint8_t *row = layer->weights + output * layer->row_bytes;
    if (layer->offset) {
        return (input < half ? row[input] & 15 : row[input - half] >> 4) - layer->offset;
    }
    return ((const int8_t *)row)[input];
}

/* Corrections and scales; returns where the weights are to stand. */
US_FUNCTION void *us_unpack_outputs(const us_layer *layer) {
    const size_t padded = us_padded_outputs(layer);
    int32_t *corrections = (int32_t *)(void *)layer->unpacked;
    float *scales = (float *)(void *)(layer->unpacked + padded * 4 / US_BLOCK);
    for (size_t o = 0; o < layer->outputs; o++) {
        int32_t sum = 0;
        for (size_t i = 0; i < layer->inputs; i++) {
            sum += us_weight(layer, o, i);
        }
        scales[o] = us_scale(layer->scales[layer->per_channel ? o : 0]);
        corrections[o] = (layer->bias != NULL ? layer->bias[o] : 0) - (layer->input_zero + US_UNSIGNED) * sum;
    }
    return layer->unpacked + padded * 8 / US_BLOCK;
}

/* Where rows of inputs stand, plus US_UNSIGNED. */
typedef struct {
    const uint8_t *first;
    size_t next;  /* bytes from a row to the next */
    size_t runs;  /* parts of a row, each of layer->run inputs */
    size_t apart; /* bytes from a part to the next */
} us_view;

/* ---- words that were met lately ---- */

/* Texts repeat their words. What is remembered of one is found by its codes: `keys` holds those of US_WORDS words, US_WAYS beside
 * each other that share a hash, then for each such set which of them was met last; another one makes room for a new word. */
US_FUNCTION int us_recall(uint8_t *keys, const us_tokens *tokens, size_t *word) {
    const size_t length = tokens->end - tokens->begin;
    uint8_t codes[US_WORD_BYTES] = {0}; /* no code of a token is 0 */
    uint8_t *set;
    uint8_t *last;
    uint64_t key[2];
    *word = US_WORDS; /* the place of a word that is not kept */
    if (length > US_WORD_BYTES) {
        return 0;
    }
    for (size_t i = 0; i < length; i++) {
        codes[i] = (uint8_t)us_code_at(tokens, tokens->begin + i);
    }
    __builtin_memcpy(key, codes, sizeof key);
    *word = (size_t)(((key[0] ^ (key[1] * 0x9E3779B97F4A7C15u)) * 0xD6E8FEB86659FD93u) >> 32) % (US_WORDS / US_WAYS);
    last = keys + US_WORDS * US_WORD_BYTES + *word;
    *word *= US_WAYS;
    set = keys + *word * US_WORD_BYTES;
    for (size_t way = 0; way < US_WAYS; way++) {
        uint64_t known[2];
        __builtin_memcpy(known, set + way * US_WORD_BYTES, sizeof known);
        if (known[0] == key[0] && known[1] == key[1]) {
            *last = (uint8_t)way;
            *word += way;
            return 1;
        }
    }
    *last = (*last + 1u) % US_WAYS;
    __builtin_memcpy(set + *last * US_WORD_BYTES, key, sizeof key);
    *word += *last;
    return 0;
}

/* A row of the first layer depends on its token alone. `rows` holds those of the words that are remembered. */
US_FUNCTION void us_recall_row(const us_layer *layer, size_t row, const uint8_t *rows, size_t word) {
    __builtin_memcpy(layer->output + row * layer->outputs, rows + word * layer->outputs, layer->outputs);
}

US_FUNCTION void us_remember_row(const us_layer *layer, size_t row, uint8_t *rows, size_t word) {
    __builtin_memcpy(rows + word * layer->outputs, layer->output + row * layer->outputs, layer->outputs);
}

/* A layer that alone reads the rows of the words, in windows. Row t is a sum over the places k of a window, each the product of
 * row t + k - before with the weights of that place; these products, too, depend on one word each. */
typedef struct {
    const us_layer *layer;
    us_block *products; /* int32 [US_WORDS + 1, width, outputs], filled up to a multiple of 16 outputs */
    us_block *sums;     /* int32 [rows, outputs], the same */
} us_by_word;

#else

#if defined(US_HELIUM)

US_FUNCTION int32_t us_dot8(const uint8_t *weights, const int16_t *values, size_t inputs) {
    const int8_t *signed_weights = (const int8_t *)weights;
    int32_t sum = 0;
    for (size_t i = 0; i < inputs; i += 8) {
        const mve_pred16_t left = vctp16q((uint32_t)(inputs - i));
        sum = vmladavaq_p_s16(sum, vldrhq_z_s16(values + i, left), vldrbq_z_s16(signed_weights + i, left), left);
    }
    return sum;
}

/* Low nibbles hold the first half of a row, high nibbles the second; values[inputs] is 0 where `inputs` is odd. */
US_FUNCTION int32_t us_dot4(const uint8_t *weights, const int16_t *values, size_t inputs) {
    const size_t half = (inputs + 1) / 2;
    int32_t sum = 0;
    for (size_t i = 0; i < half; i += 8) {
        const mve_pred16_t left = vctp16q((uint32_t)(half - i));
        const uint16x8_t pairs = vldrbq_z_u16(weights + i, left);
        const int16x8_t low = vreinterpretq_s16_u16(vandq_u16(pairs, vdupq_n_u16(15)));
        const int16x8_t high = vreinterpretq_s16_u16(vshrq_n_u16(pairs, 4));
        sum = vmladavaq_p_s16(sum, vldrhq_z_s16(values + i, left), low, left);
        sum = vmladavaq_p_s16(sum, vldrhq_z_s16(values + half + i, left), high, left);
    }
    return sum;
}

#else

#if defined(US_PAIRED)

static inline uint32_t us_word(const void *bytes) {
    uint32_t word;
    __builtin_memcpy(&word, bytes, sizeof word);
    return word;
}

/* sum + the products of four values with four int8. */
static inline int32_t us_dot_word(int32_t sum, const int16_t *values, uint32_t weights) {
    const int16x2_t even = __sxtb16((int8x4_t)weights), odd = __sxtb16((int8x4_t)(weights >> 8 | weights << 24));
    sum = __smlad((int16x2_t)us_word(values), even, sum);
    return __smlad((int16x2_t)us_word(values + 2), odd, sum);
}

#endif

US_FUNCTION int32_t us_dot8(const uint8_t *weights, const int16_t *values, size_t inputs) {
    const int8_t *signed_weights = (const int8_t *)weights;
    int32_t sum = 0;
    size_t i = 0;
#if defined(US_PAIRED)
    const size_t whole = inputs & ~(size_t)3;
    for (; i < whole; i += 4) {
        sum = us_dot_word(sum, values + i, us_word(weights + i));
    }
#elif !defined(__OPTIMIZE_SIZE__)
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
    int32_t sum = 0;
#if defined(US_PAIRED)
    const size_t whole = half & ~(size_t)3;
    for (unsigned shift = 0; shift < 8; shift += 4, values += half) { /* once more over the weights, for less code */
        size_t i = 0;
        for (; i < whole; i += 4) {
            sum = us_dot_word(sum, values + i, us_word(weights + i) >> shift & 0x0F0F0F0Fu);
        }
        for (; i < half; i++) {
            sum += (int32_t)values[i] * (weights[i] >> shift & 15);
        }
    }
#else
    const int16_t *second = values + half;
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
#endif
    return sum;
}

#endif

#if defined(US_PAIRED)
/* The machine widens bytes 0 and 2 of a word together, then 1 and 3: four values that meet them stand in that order too.
 * Twice is not at all. Weights of 4 bits meet the two halves of a row. */
US_FUNCTION void us_pair(const us_layer *layer) {
    const size_t run = layer->offset ? (layer->inputs + 1u) / 2 : layer->inputs;
    for (size_t begin = 0; begin < layer->inputs; begin += run) {
        int16_t *values = layer->values + begin;
        for (size_t i = 0; i < (run & ~(size_t)3); i += 4) {
            const int16_t second = values[i + 1];
            values[i + 1] = values[i + 2];
            values[i + 2] = second;
        }
    }
}
#endif

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
#if defined(US_PAIRED)
    us_pair(layer);
#endif
    for (size_t o = 0; o < layer->outputs; o++) {
        int32_t sum = layer->dot(weights, layer->values, layer->inputs) - stored;
        if (layer->bias != NULL) {
            sum += layer->bias[o];
        }
        output[o] = us_requantize(sum, layer->scales[layer->per_channel ? o : 0], layer->range);
        weights += layer->row_bytes;
    }
#if defined(US_PAIRED)
    us_pair(layer); /* back, for the next layer that reads this row */
#endif
}

US_FUNCTION void us_linear(const us_layer *layer, size_t present) {
    const size_t columns = (size_t)layer->inputs / layer->width;
    size_t row = 0;
    for (; row < layer->rows && row < present; row++) {
        int16_t *value = layer->values;
        for (size_t offset = 0; offset < layer->width; offset++) {
            const size_t source = row + offset - (layer->width - 1u) / 2; /* wraps below zero, past every row */
            for (size_t column = 0; column < columns; column++) {
                const int inside = source < layer->rows;
                *value++ = (int16_t)(inside ? layer->input[source * columns + column] - layer->input_zero : 0);
            }
        }
        us_linear_row(layer, row);
    }
    us_absent(layer, row);
}

#endif

/* ---- rows: program 4 to 7 ---- */

typedef struct {
    const int8_t *input; /* [rows, columns] */
    int8_t *output;
    uint32_t scale; /* sum pooling; of a copy: values from an output row to the next */
    uint16_t rows;
    uint16_t columns;
    us_range range;
    int8_t input_zero;
    uint8_t width; /* window */
} us_rows;

#if US_VECTOR

#else

US_FUNCTION void us_max_pool(const us_rows *rows, size_t present) {
    const size_t count = present < rows->rows ? present + 1 : rows->rows; /* with one of the absent ones */
    for (size_t column = 0; column < rows->columns; column++) {
        int8_t best = rows->input[column];
        for (size_t row = 1; row < count; row++) {
            const int8_t value = rows->input[row * rows->columns + column];
            best = value > best ? value : best;
        }
        rows->output[column] = best;
    }
}

US_FUNCTION void us_sum_pool(const us_rows *rows, size_t present) {
    const size_t count = present < rows->rows ? present : rows->rows;
    for (size_t column = 0; column < rows->columns; column++) {
        int32_t sum = 0;
        for (size_t row = 0; row < count; row++) {
            sum += rows->input[row * rows->columns + column] - rows->input_zero;
        }
        rows->output[column] = us_requantize(sum, rows->scale, rows->range);
    }
}

#endif

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

/* A part of a concatenation that could not be written in its place at once, or an image as a row. */
US_FUNCTION void us_copy(const us_rows *rows) {
    const int8_t *input = rows->input;
    int8_t *output = rows->output;
    for (size_t row = 0; row < rows->rows; row++) {
        for (size_t column = 0; column < rows->columns; column++) {
            output[column] = *input++;
        }
        output += rows->scale;
    }
}

/* ---- sums: program 17 ---- */

typedef struct {
    const int8_t *first;
    const int8_t *second;
    int8_t *output;
    uint32_t count;
    us_range range;
    int8_t first_zero;
    int8_t second_zero;
} us_addition;

US_FUNCTION void us_add(const us_addition *addition) {
    const int moved = addition->range.zero - addition->first_zero - addition->second_zero;
    const int low = addition->range.low;
    for (size_t i = 0; i < addition->count; i++) {
        const int value = addition->first[i] + addition->second[i] + moved;
        addition->output[i] = (int8_t)(value < low ? low : value > 127 ? 127 : value);
    }
}

/* ---- lookups and products: program 19 and 20 ---- */

typedef struct {
    const int8_t *input;
    int8_t *output;
    const int8_t *table; /* [256]: what -128, -127, ... become */
    uint32_t count;
} us_values;

US_FUNCTION void us_lookup(const us_values *values) {
    for (size_t i = 0; i < values->count; i++) {
        values->output[i] = values->table[values->input[i] + 128];
    }
}

typedef struct {
    const int8_t *first;
    const int8_t *second; /* [period] */
    int8_t *output;
    uint32_t count;
    uint32_t period; /* all values, or one for each channel */
    uint32_t scale;
    us_range range;
    int8_t first_zero;
    int8_t second_zero;
} us_product;

#if US_VECTOR

#else

US_FUNCTION void us_multiply(const us_product *product) {
    size_t at = 0;
    for (size_t i = 0; i < product->count; i++) {
        const int32_t factor = product->second[at] - product->second_zero;
        product->output[i] = us_requantize((product->first[i] - product->first_zero) * factor, product->scale, product->range);
        at = at + 1 == product->period ? 0 : at + 1;
    }
}

#endif

/* ---- recurrences: program 21 ---- */

/* A row has a gate for each column, then a candidate for each. Between two rows a state keeps 16 bits, in a register. */
US_FUNCTION void us_scan(const us_rows *rows) {
    const int32_t lift = (int32_t)1 << 24; /* keeps what is shifted positive; 128 more rounds to the nearest */
    for (size_t column = 0; column < rows->columns; column++) {
        const int8_t *gate = rows->input + column;
        int8_t *output = rows->output + column;
        int32_t state = 0;
        for (size_t row = 0; row < rows->rows; row++) {
            const int32_t inflow = *gate + 128;
            const int32_t sum = inflow * gate[rows->columns] * 256 + (256 - inflow) * state;
            state = ((sum + lift + 128) >> 8) - (lift >> 8);
            *output = (int8_t)(((state + lift + 128) >> 8) - (lift >> 8));
            gate += 2 * (size_t)rows->columns;
            output += rows->columns;
        }
    }
}

/* ---- probabilities: program 8 ---- */

typedef struct {
    const int8_t *logits;
    const uint32_t *powers; /* [8]: exp(-scale * 2^k) = mantissa * 2^-(24 + shift), stored as shift << 24 | mantissa */
    uint16_t classes;
#if US_VECTOR
    us_block *exponentials; /* float32 [32]: exp(-scale * steps) for steps in 0..15, then for 0, 16, 32 ... 240 */
#endif
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

#if US_VECTOR

US_FUNCTION float us_real(uint32_t bits) {
    union {
        uint32_t bits;
        float real;
    } value;
    value.bits = bits;
    return value.real;
}

US_FUNCTION void us_expand_scores(const us_scores *scores) {
    float *exponentials = (float *)(void *)scores->exponentials;
    for (unsigned i = 0; i < 32; i++) {
        unsigned shift;
        const uint32_t power = us_exp(scores, i < 16 ? i : (i - 16) * 16, &shift);
        exponentials[i] = shift > 125 ? 0 : (float)power * 2.3283064365386962890625e-10f * us_real((127 - shift) << 23);
    }
}

/* Write the probabilities and return the first largest logit's index. */
US_FUNCTION int us_softmax(const us_scores *scores, float *probabilities) {
    const float *exponentials = (const float *)(const void *)scores->exponentials;
    size_t best = 0;
    float sum = 0;
    for (size_t i = 1; i < scores->classes; i++) {
        best = scores->logits[i] > scores->logits[best] ? i : best;
    }
    for (size_t i = 0; i < scores->classes; i++) {
        const unsigned steps = (unsigned)(scores->logits[best] - scores->logits[i]);
        probabilities[i] = exponentials[steps & 15] * exponentials[16 + (steps >> 4)];
        sum += probabilities[i];
    }
    sum = 1 / sum;
    for (size_t i = 0; i < scores->classes; i++) {
        probabilities[i] *= sum;
    }
    return (int)best;
}

#else

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

#endif

/* ---- images: program 9 to 12 ---- */

#define US_ERROR_SIZE (-2) /* not as many pixels, numbers or samples as the model reads */

/* A convolution; images are [rows, columns, channels]. */
typedef struct {
    us_layer layer;   /* from the inputs that a place sees to its outputs; where each channel is alone, of one channel */
    uint16_t rows;    /* of the input */
    uint16_t columns;
    uint16_t channels;
    uint16_t output_rows;
    uint16_t output_columns;
    uint8_t kernel_rows;
    uint8_t kernel_columns;
    uint8_t stride;
    uint8_t top; /* rows of real zeros above the input */
    uint8_t left;
} us_conv;

/* A pool whose places see a part of the image: program 16. */
typedef struct {
    const int8_t *input;
    int8_t *output;
    uint16_t rows;    /* of the input */
    uint16_t columns;
    uint16_t channels;
    uint16_t output_rows;
    uint16_t output_columns;
    uint8_t kernel_rows;
    uint8_t kernel_columns;
    uint8_t stride;
    uint8_t top; /* rows above the input, which do not count */
    uint8_t left;
} us_pool;

US_FUNCTION void us_local_max_pool(const us_pool *pool) {
    int8_t *output = pool->output;
    for (size_t row = 0; row < pool->output_rows; row++) {
        for (size_t column = 0; column < pool->output_columns; column++) {
            for (size_t c = 0; c < pool->channels; c++) {
                output[c] = -128;
            }
            for (size_t i = 0; i < pool->kernel_rows; i++) {
                const size_t y = row * pool->stride + i - pool->top; /* wraps below zero, past every row */
                for (size_t j = 0; j < pool->kernel_columns; j++) {
                    const size_t x = column * pool->stride + j - pool->left;
                    if (y < pool->rows && x < pool->columns) {
                        const int8_t *input = pool->input + (y * pool->columns + x) * pool->channels;
                        for (size_t c = 0; c < pool->channels; c++) {
                            output[c] = input[c] > output[c] ? input[c] : output[c];
                        }
                    }
                }
            }
            output += pool->channels;
        }
    }
}

#if US_VECTOR

#else

/* Pixels 0..255 become -128..127. */
US_FUNCTION void us_pixels(const uint8_t *pixels, int8_t *output, size_t count) {
    for (size_t i = 0; i < count; i++) {
        output[i] = (int8_t)((int)pixels[i] - 128);
    }
}

/* Every output sees every channel. */
US_FUNCTION void us_convolve(const us_conv *conv) {
    const us_layer *layer = &conv->layer;
    for (size_t row = 0; row < conv->output_rows; row++) {
        for (size_t column = 0; column < conv->output_columns; column++) {
            int16_t *value = layer->values;
            for (size_t i = 0; i < conv->kernel_rows; i++) {
                const size_t y = row * conv->stride + i - conv->top; /* wraps below zero, past every row */
                for (size_t j = 0; j < conv->kernel_columns; j++) {
                    const size_t x = column * conv->stride + j - conv->left;
                    const int inside = y < conv->rows && x < conv->columns;
                    const int8_t *input = layer->input + (inside ? (y * conv->columns + x) * conv->channels : 0);
                    for (size_t c = 0; c < conv->channels; c++) {
                        *value++ = (int16_t)(inside ? input[c] - layer->input_zero : 0);
                    }
                }
            }
            us_linear_row(layer, row * conv->output_columns + column);
        }
    }
}

/* Each channel for itself. */
US_FUNCTION void us_convolve_depthwise(const us_conv *conv) {
    const us_layer *layer = &conv->layer;
    int8_t *output = layer->output;
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
            const size_t width = (beside < conv->kernel_columns ? beside : conv->kernel_columns) - j_begin;
            const size_t begin = (up + i_begin - conv->top) * conv->columns + across + j_begin - conv->left;
            const int8_t *corner = layer->input + begin * conv->channels;
            const int8_t *weights = (const int8_t *)layer->weights + i_begin * conv->kernel_columns + j_begin;
            for (size_t o = 0; o < layer->outputs; o++) {
                const int8_t *input = corner + o;
                const int8_t *weight = weights;
                int32_t sum = layer->bias != NULL ? layer->bias[o] : 0;
                for (size_t i = i_begin; i < i_end; i++) {
                    for (size_t j = 0; j < width; j++) {
                        sum += (input[j * conv->channels] - layer->input_zero) * weight[j];
                    }
                    input += (size_t)conv->columns * conv->channels;
                    weight += conv->kernel_columns;
                }
                weights += layer->inputs;
                *output++ = us_requantize(sum, layer->scales[layer->per_channel ? o : 0], layer->range);
            }
        }
    }
}

#endif

/* ---- sounds: program 13 ---- */

/* A sound's picture: `frames` times 32 bands. */
typedef struct {
    const int8_t *cosine;      /* -127 times the cosine at each part of a turn; with 127 added, the window */
    const uint16_t *positions; /* where each frequency stands among the bands, in sixteenths, 16 of them below the first */
    int16_t *windowed;         /* RAM for a frame */
    int8_t *output;
    uint16_t frame; /* samples */
    uint16_t frames;
    uint8_t bits; /* of a windowed sample */
} us_sound;

/* How many bits `value` has. */
US_FUNCTION unsigned us_bit_count(uint32_t value) {
    unsigned count = 0;
    for (; value != 0; value >>= 1) {
        count++;
    }
    return count;
}

/* |value| / 2**shift, rounded to nearest even. */
US_FUNCTION uint32_t us_halved(int32_t value, unsigned shift) {
    const uint32_t magnitude = (uint32_t)(value < 0 ? -value : value);
    return shift == 0 ? magnitude : (magnitude + (((uint32_t)1 << (shift - 1)) - 1) + (magnitude >> shift & 1)) >> shift;
}

/* The samples of a frame times the window, as large as `bits` allow; then sums and differences of what lies opposite, because
 * cosines are equal there and sines opposite: y[n] + y[N - n] stands at n, y[n] - y[N - n] at N - n. The result is the number
 * of bits of the largest sample. */
US_FUNCTION unsigned us_window_frame(const us_sound *sound, const int16_t *samples) {
    const size_t half = sound->frame / 2u;
    int16_t *values = sound->windowed;
    uint32_t peak = 0;
    unsigned exponent;
    int shift;
    for (size_t n = 0; n < sound->frame; n++) {
        const uint32_t magnitude = (uint32_t)(samples[n] < 0 ? -(int32_t)samples[n] : samples[n]);
        peak |= magnitude; /* has as many bits as the largest */
    }
    exponent = us_bit_count(peak);
    shift = (int)exponent + 8 - (int)sound->bits;
    for (size_t n = 0; n < sound->frame; n++) {
        const int32_t product = samples[n] * (sound->cosine[n] + 127);
        const int32_t value = (int32_t)(shift < 0 ? us_halved(product, 0) << -shift : us_halved(product, (unsigned)shift));
        values[n] = (int16_t)(product < 0 ? -value : value);
    }
    for (size_t n = 1; n < half; n++) {
        const int16_t first = values[n];
        const int16_t second = values[sound->frame - n];
        values[n] = (int16_t)(first + second);
        values[sound->frame - n] = (int16_t)(first - second);
    }
    return exponent;
}

/* Adds the power of frequencies `k` and N / 2 - k to the bands that see them. Both have the same products: those of even n are
 * equal, those of odd n have opposite signs. */
US_FUNCTION void us_spectrum(const us_sound *sound, size_t k, uint32_t *energy) {
    const size_t half = sound->frame / 2u;
    const size_t mask = sound->frame - 1u;
    const int16_t *values = sound->windowed;
    int32_t cosines[2] = {values[0] * sound->cosine[0] + values[half] * sound->cosine[k * half & mask], 0};
    int32_t sines[2] = {0, 0};
    size_t at = 0;
    for (size_t n = 1; n < half; n++) {
        at = (at + k) & mask;
        cosines[n & 1] += values[n] * sound->cosine[at];
        sines[n & 1] += values[sound->frame - n] * sound->cosine[(at + 3 * (half / 2)) & mask];
    }
    for (int mirrored = 0; mirrored < 2; mirrored++) {
        const unsigned position = sound->positions[mirrored ? half - k : k];
        const int32_t sign = mirrored ? -1 : 1;
        const uint32_t real = us_halved(cosines[0] + sign * cosines[1], 14);
        const uint32_t imaginary = us_halved(sines[0] + sign * sines[1], 14);
        const uint32_t power = real * real + imaginary * imaginary;
        energy[position / 16] += (16 - position % 16) * power;
        energy[position / 16 + 1] += position % 16 * power;
        if (2 * k == half) {
            return; /* it is its own mirror image */
        }
    }
}

/* How many eighths of an octave `energy` lies above 2**4. */
US_FUNCTION int us_octave_parts(uint32_t energy) {
    static const uint16_t parts[8] = {1024, 1117, 1218, 1328, 1448, 1579, 1722, 1878};
    const unsigned bits = us_bit_count(energy);
    int count = 0;
    if (bits < 5) {
        return 0;
    }
    while (count < 8 && energy << (24 - bits) >= (uint32_t)parts[count] << 13) {
        count++;
    }
    return (int)(bits - 5) * 8 + count;
}

/* The log-mel picture of `samples`. */
US_FUNCTION void us_log_mel(const us_sound *sound, const int16_t *samples) {
    enum { BANDS = 32 };
    int8_t *output = sound->output;
    for (size_t frame = 0; frame < sound->frames; frame++) {
        uint32_t energy[BANDS + 3] = {0};
        const unsigned exponent = us_window_frame(sound, samples);
        for (size_t k = 1; k <= sound->frame / 4u; k++) {
            us_spectrum(sound, k, energy);
        }
        for (size_t band = 0; band < BANDS; band++) {
            const int value = us_octave_parts(energy[band + 1]) + 16 * (int)exponent - 128;
            *output++ = (int8_t)(value < 0 ? -128 : value > 255 ? 127 : value - 128);
        }
        samples += sound->frame / 2u;
    }
}

/* ---- boxes: projection 4 ---- */

enum {
    US_BOX_STREAM = 130,
    US_BOX_NUMBERS = 8 /* counter values kept for each box */
};

typedef struct {
    const int8_t *input;
    int8_t *output;
    const uint16_t *rows;
    uint32_t start; /* of the counter: the seed and the stream, mixed */
    uint16_t count;
    uint16_t height;
    uint16_t width;
    uint16_t channels;
    int16_t zero;
} us_boxes;

/* A number in 0..count-1. */
US_FUNCTION unsigned us_pick(uint32_t counter, unsigned count) {
    return (unsigned)(((us_mix(counter) >> 16) * count) >> 16);
}

/* A side of a box, in an input of `length` rows or columns. */
US_FUNCTION unsigned us_box_side(uint32_t counter, unsigned length) {
    const unsigned least = length < 9 ? 1u : length / 9u;
    const unsigned most = 3u * length / 7u;
    return least + us_pick(counter, (most > least ? most : least) - least + 1u);
}

/* The sum over the box whose numbers begin at `counter`. */
US_FUNCTION int32_t us_box_sum(const us_boxes *boxes, uint32_t counter) {
    const unsigned tall = us_box_side(counter, boxes->height);
    const unsigned wide = us_box_side(counter + 1, boxes->width);
    const unsigned top = us_pick(counter + 2, boxes->height - tall + 1u);
    const unsigned left = us_pick(counter + 3, boxes->width - wide + 1u);
    const int8_t *line = boxes->input + ((size_t)top * boxes->width + left) * boxes->channels + us_pick(counter + 4, boxes->channels);
    int32_t sum = 0;
    for (unsigned y = 0; y < tall; y++) {
        for (unsigned x = 0; x < wide; x++) {
            sum += line[(size_t)x * boxes->channels];
        }
        line += (size_t)boxes->width * boxes->channels;
    }
    return sum - boxes->zero * (int32_t)(tall * wide);
}

US_FUNCTION void us_project_boxes(const us_boxes *boxes) {
    for (size_t r = 0; r < boxes->count; r++) {
        const uint32_t counter = boxes->start + (uint32_t)boxes->rows[r] * (2u * US_BOX_NUMBERS);
        const int32_t first = us_box_sum(boxes, counter);
        boxes->output[r] = first > us_box_sum(boxes, counter + US_BOX_NUMBERS) ? 1 : -1;
    }
}

/* ---- vector units ---- */

#if US_VECTOR

/* The second part of this file is compiled for each unit, US_WIDTH bytes wide; its names end with US_UNIT. Behind the last unit
 * they end with nothing: what a model calls is the only unit, or what chooses one.
 * US_DOTS, how a unit of x86 multiplies: 2, four bytes at once (VNNI); 1, pairs of bytes (SSSE3); 0, pairs of 16 bits. */
#define US_JOINED(name, unit) name##unit
#define US_JOIN(name, unit) US_JOINED(name, unit)
#define US_OF_UNIT(name) US_JOIN(name, US_UNIT)
#define us_bytes US_OF_UNIT(us_bytes)
#define us_signs US_OF_UNIT(us_signs)
#define us_half US_OF_UNIT(us_half)
#define us_shorts US_OF_UNIT(us_shorts)
#define us_sums US_OF_UNIT(us_sums)
#define us_floats US_OF_UNIT(us_floats)
#define us_register US_OF_UNIT(us_register)
#define us_float_register US_OF_UNIT(us_float_register)
#define us_add_signs US_OF_UNIT(us_add_signs)
#define us_count US_OF_UNIT(us_count)
#define us_characters US_OF_UNIT(us_characters)
#define us_unpack US_OF_UNIT(us_unpack)
#define us_dot_pairs US_OF_UNIT(us_dot_pairs)
#define us_add_pairs US_OF_UNIT(us_add_pairs)
#define us_dot_quads US_OF_UNIT(us_dot_quads)
#define us_broadcast_real US_OF_UNIT(us_broadcast_real)
#define us_store_sums US_OF_UNIT(us_store_sums)
#define us_store_parts US_OF_UNIT(us_store_parts)
#define us_broadcast US_OF_UNIT(us_broadcast)
#define us_layer_outputs US_OF_UNIT(us_layer_outputs)
#define us_layer_row US_OF_UNIT(us_layer_row)
#define us_layer_places US_OF_UNIT(us_layer_places)
#define us_linear_row US_OF_UNIT(us_linear_row)
#define us_gather US_OF_UNIT(us_gather)
#define us_gather_row US_OF_UNIT(us_gather_row)
#define us_linear US_OF_UNIT(us_linear)
#define us_max_pool US_OF_UNIT(us_max_pool)
#define us_add_row US_OF_UNIT(us_add_row)
#define us_sum_pool US_OF_UNIT(us_sum_pool)
#define us_multiply US_OF_UNIT(us_multiply)
#define us_pixels US_OF_UNIT(us_pixels)
#define us_line_columns US_OF_UNIT(us_line_columns)
#define us_line_inside US_OF_UNIT(us_line_inside)
#define us_convolve US_OF_UNIT(us_convolve)
#define us_unpack_depthwise US_OF_UNIT(us_unpack_depthwise)
#define us_interleave US_OF_UNIT(us_interleave)
#define us_interleave_lines US_OF_UNIT(us_interleave_lines)
#define us_depthwise_outputs US_OF_UNIT(us_depthwise_outputs)
#define us_depthwise_places US_OF_UNIT(us_depthwise_places)
#define us_convolve_depthwise US_OF_UNIT(us_convolve_depthwise)
#define us_layer_sums US_OF_UNIT(us_layer_sums)
#define us_unpack_by_word US_OF_UNIT(us_unpack_by_word)
#define us_add_word US_OF_UNIT(us_add_word)
#define us_multiply_word US_OF_UNIT(us_multiply_word)
#define us_linear_by_word US_OF_UNIT(us_linear_by_word)
#define us_part US_OF_UNIT(us_part)
#define us_word_layer US_OF_UNIT(us_word_layer)

#if (defined(__AVX512VNNI__) && defined(__AVX512VL__)) || defined(__AVXVNNI__)
#define US_DOTS 2
#elif defined(__SSSE3__)
#define US_DOTS 1
#else
#define US_DOTS 0
#endif

#define US_WIDTH US_VECTOR
#if defined(US_CHOICE)
#define US_UNIT _least
#include "understudy.h"
#undef US_UNIT
#undef US_WIDTH
#undef US_DOTS

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif
#define US_UNIT _avx2
#define US_WIDTH 32
#define US_DOTS 1
#include "understudy.h"
#undef US_UNIT
#undef US_WIDTH
#undef US_DOTS
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#if US_WIDEST > 32
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512bw,avx512vl,avx512vnni"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512bw,avx512vl,avx512vnni")
#endif
#define US_UNIT _avx512
#define US_WIDTH 64
#define US_DOTS 2
#include "understudy.h"
#undef US_UNIT
#undef US_WIDTH
#undef US_DOTS
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

#define US_UNIT
/* The compiler's own library asks the processor once, before main; these are tests of bits. */
#define US_HAS_AVX2 __builtin_cpu_supports("avx2")
#if US_WIDEST > 32
#define US_HAS_AVX512 \
    (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
#define US_IF_AVX512(call) \
    if (US_HAS_AVX512) { \
        call; \
        return; \
    }
#else
#define US_HAS_AVX512 0
#define US_IF_AVX512(call)
#endif
#define US_CHOOSE(name, parameters, arguments) \
    US_FUNCTION void name parameters { \
        US_IF_AVX512(US_JOIN(name, _avx512) arguments) \
        if (US_HAS_AVX2) { \
            US_JOIN(name, _avx2) arguments; \
        } else { \
            US_JOIN(name, _least) arguments; \
        } \
    }
US_CHOOSE(us_count, (const us_group *group, const uint8_t *digits, size_t digests), (group, digits, digests))
US_CHOOSE(us_characters, (const us_group *group, const us_tokens *tokens), (group, tokens))
US_CHOOSE(us_unpack, (const us_layer *layer), (layer))
US_CHOOSE(us_unpack_by_word, (const us_layer *layer), (layer))
US_CHOOSE(us_linear_row, (const us_layer *layer, size_t row), (layer, row))
US_CHOOSE(us_linear, (const us_layer *layer, size_t present), (layer, present))
US_CHOOSE(us_add_word, (const us_by_word *by_word, size_t row, size_t word), (by_word, row, word))
US_CHOOSE(us_multiply_word, (const us_by_word *by_word, size_t row, size_t word), (by_word, row, word))
US_CHOOSE(us_linear_by_word, (const us_by_word *by_word, size_t words, size_t present), (by_word, words, present))
US_CHOOSE(us_max_pool, (const us_rows *rows, size_t present), (rows, present))
US_CHOOSE(us_sum_pool, (const us_rows *rows, size_t present), (rows, present))
US_CHOOSE(us_multiply, (const us_product *product), (product))
US_CHOOSE(us_pixels, (const uint8_t *pixels, int8_t *output, size_t count), (pixels, output, count))
US_CHOOSE(us_unpack_depthwise, (const us_conv *conv), (conv))
US_CHOOSE(us_convolve, (const us_conv *conv), (conv))
US_CHOOSE(us_convolve_depthwise, (const us_conv *conv), (conv))
#else
#define US_UNIT
#include "understudy.h"
#undef US_WIDTH
#endif

#endif

/* What predictions compute with on this machine, for those who measure. */
US_FUNCTION const char *us_unit(void) {
#if defined(US_CHOICE)
    return US_HAS_AVX512 ? "AVX-512 VNNI" : US_HAS_AVX2 ? "AVX2" : "SSE2";
#elif US_VECTOR && defined(__SSE2__)
    return US_VECTOR == 64 ? US_DOTS == 2 ? "AVX-512 VNNI" : "AVX-512" : US_VECTOR == 32 ? "AVX2" : "SSE2";
#elif US_VECTOR
    return "NEON";
#else
    return "plain C";
#endif
}

#elif defined(US_WIDTH)

/* ==== what is compiled for each vector unit ==== */

typedef uint8_t us_bytes __attribute__((vector_size(US_WIDTH), may_alias));
typedef int8_t us_signs __attribute__((vector_size(US_WIDTH)));
typedef uint8_t us_half __attribute__((vector_size(US_WIDTH / 2)));
typedef int16_t us_shorts __attribute__((vector_size(US_WIDTH)));
typedef int32_t us_sums __attribute__((vector_size(US_WIDTH), may_alias));
typedef float us_floats __attribute__((vector_size(US_WIDTH), may_alias));
#undef US_COUNTED
#if US_WIDTH == 16
#define US_COUNTED 2
#else
#define US_COUNTED 4
#endif
/* US_COUNTED: blocks of features whose negative signs are counted in registers */
#undef US_PARTS
#define US_PARTS (64 / US_WIDTH)
/* US_PLACES: rows that are multiplied at once, so that weights are read once for all of them. */
#undef US_PLACES
#if defined(__SSE2__) && US_WIDTH == 16
#define US_PLACES 2
#else
#define US_PLACES 4
#endif
/* US_MM_FULL: as US_MM. GCC's headers give the plain forms of some operations on 512 bits a register without a value, of which
 * g++ 12 warns; with a mask of all values it is one of zeros, and the instruction is the same. */
#undef US_MM
#undef US_MM_FULL
#if defined(__SSE2__)
#if US_WIDTH == 64
#define US_MM(operation) _mm512_##operation
#define US_MM_FULL(operation, ...) _mm512_maskz_##operation((__mmask16)0xffff, __VA_ARGS__)
typedef __m512i us_register;
typedef __m512 us_float_register;
#elif US_WIDTH == 32
#define US_MM(operation) _mm256_##operation
#define US_MM_FULL(operation, ...) _mm256_##operation(__VA_ARGS__)
typedef __m256i us_register;
typedef __m256 us_float_register;
#else
#define US_MM(operation) _mm_##operation
#define US_MM_FULL(operation, ...) _mm_##operation(__VA_ARGS__)
typedef __m128i us_register;
typedef __m128 us_float_register;
#endif
#endif
/* One unpacked layer, outputs filled up to a multiple of 16: int32 [outputs], bias less what the offsets of the activations
 * add to every sum; float32 [outputs], scales; int8 [inputs / 4, outputs, 4], weights, where every run of inputs is filled up
 * to a multiple of 4, and a single one of 8. Where the machine multiplies 16 bits only, weights are int16
 * [inputs / 4, 2, outputs, 2] instead: those of the inputs 0 and 2, then those of 1 and 3. */
#undef US_WIDE
#undef US_SHORT_DOTS
#if !defined(__SSE2__) || US_DOTS == 2
#define US_WIDE(layer) 0
#elif US_DOTS == 1
#define US_SHORT_DOTS /* weights of 4 bits are multiplied in bytes and summed in 16 bits */
#define US_WIDE(layer) (!(layer)->offset)
#else
#define US_WIDE(layer) 1
#endif

US_INLINE us_bytes us_part(const us_block *block, size_t part) {
    return *(const us_bytes *)(const void *)(block->bytes + part * US_WIDTH);
}

/* ---- hash ---- */

/* Add the signs of `blocks` * 64 features for some digests (at most 255), whose digits are times 16: projection 2.4.
 * Callers give `inputs` and `blocks` as constants, so that the counts stay in registers. */
US_INLINE void us_add_signs(
    int16_t *sums, size_t features, const us_block *rows, const uint8_t *digits, size_t digests, const size_t inputs, const size_t blocks
) {
    us_bytes negative[US_COUNTED * US_PARTS];
    US_UNROLL
    for (size_t i = 0; i < blocks * US_PARTS; i++) {
        negative[i] = (us_bytes){0};
    }
    for (size_t d = 0; d < digests; d++) {
        const us_block *row[2 * US_DIGITS];
        US_UNROLL
        for (size_t k = 0; k < inputs; k++) {
            row[k] = (const us_block *)(const void *)((const uint8_t *)(rows + 16 * k) + US_BLOCK / 16 * (size_t)*digits++);
        }
        US_UNROLL
        for (size_t b = 0; b < blocks; b++) {
            US_UNROLL
            for (size_t i = 0; i < US_PARTS; i++) {
                us_bytes sum = us_part(row[0] + b * inputs * 16, i);
                US_UNROLL
                for (size_t k = 1; k < inputs; k++) {
                    sum += us_part(row[k] + b * inputs * 16, i);
                }
                negative[b * US_PARTS + i] -= (us_bytes)((us_signs)sum < 0);
            }
        }
    }
    us_bytes counts[US_COUNTED * US_PARTS] = {{0}}; /* what is read byte by byte would not stay in registers */
    US_UNROLL
    for (size_t k = 0; k < blocks * US_PARTS; k++) {
        counts[k] = negative[k];
    }
    const uint8_t *count = (const uint8_t *)counts;
    for (size_t whole = features / (US_WIDTH / 2); whole > 0; whole--) {
        us_shorts sum;
        us_half some;
        __builtin_memcpy(&sum, sums, sizeof sum);
        __builtin_memcpy(&some, count, sizeof some);
        sum += (int16_t)digests - 2 * __builtin_convertvector(some, us_shorts);
        __builtin_memcpy(sums, &sum, sizeof sum);
        sums += US_WIDTH / 2;
        count += US_WIDTH / 2;
    }
    for (size_t i = 0; i < features % (US_WIDTH / 2); i++) {
        sums[i] = (int16_t)(sums[i] + (int)digests - 2 * count[i]);
    }
}

/* Add the signs of some digests to the sums of a group. */
US_FUNCTION void us_count(const us_group *group, const uint8_t *digits, size_t digests) {
    const us_block *rows = group->second_rows;
    int16_t *sums = group->sums;
    size_t left = group->second->outputs;
    if (group->second->inputs != US_DIGITS) {
        for (; left > US_BLOCK; left -= US_BLOCK) {
            us_add_signs(sums, US_BLOCK, rows, digits, digests, 2 * US_DIGITS, 1);
            sums += US_BLOCK;
            rows += 2 * US_DIGITS * 16;
        }
        us_add_signs(sums, left, rows, digits, digests, 2 * US_DIGITS, 1);
        return;
    }
    for (; left > US_COUNTED * US_BLOCK; left -= US_COUNTED * US_BLOCK) {
        us_add_signs(sums, US_COUNTED * US_BLOCK, rows, digits, digests, US_DIGITS, US_COUNTED);
        sums += US_COUNTED * US_BLOCK;
        rows += US_COUNTED * US_DIGITS * 16;
    }
    switch ((left + US_BLOCK - 1) / US_BLOCK) {
    case 1:
        us_add_signs(sums, left, rows, digits, digests, US_DIGITS, 1);
        break;
    case 2:
        us_add_signs(sums, left, rows, digits, digests, US_DIGITS, 2);
        break;
#if US_COUNTED > 2
    case 3:
        us_add_signs(sums, left, rows, digits, digests, US_DIGITS, 3);
        break;
    default:
        us_add_signs(sums, left, rows, digits, digests, US_DIGITS, 4);
#endif
    }
}

US_FUNCTION void us_characters(const us_group *group, const us_tokens *tokens) {
    uint8_t digits[12 * US_BLOCK];
    uint8_t *next = digits;
    for (size_t at = tokens->begin; at < tokens->end; at++) {
        us_bytes digest[US_PARTS];
        US_UNROLL
        for (size_t k = 0; k < US_PARTS; k++) {
            digest[k] = us_part(&group->first_rows[at == tokens->begin], k);
        }
        for (size_t i = 0; i < group->widest && at + i < tokens->end; i++) {
            const unsigned code = us_code_at(tokens, at + i);
            const us_block *rows = &group->first_rows[2 + 32 * i];
            US_UNROLL
            for (size_t k = 0; k < US_PARTS; k++) {
                digest[k] += us_part(rows + (code >> 4), k) + us_part(rows + 16 + (code & 15), k);
            }
        }
        US_UNROLL
        for (size_t k = 0; k < US_PARTS; k++) {
            __builtin_memcpy(next + k * US_WIDTH, &digest[k], US_WIDTH);
        }
        next += group->orders * US_DIGITS;
        if (next > digits + sizeof digits - US_BLOCK || at + 1 == tokens->end) {
            us_count(group, digits, (size_t)(next - digits) / US_DIGITS);
            next = digits;
        }
    }
}

/* ---- linear, and a window before it ---- */

US_FUNCTION void us_unpack(const us_layer *layer) {
    const size_t padded = us_padded_outputs(layer);
    const size_t run = us_padded_run(layer);
    void *weights = us_unpack_outputs(layer);
    for (size_t i = 0; i < layer->inputs; i++) {
        const size_t at = i / layer->run * run + i % layer->run;
        for (size_t o = 0; o < layer->outputs; o++) {
            us_lay_weight(weights, US_WIDE(layer), padded, at / 4, at % 4, o, us_weight(layer, o, i));
        }
    }
}

#if defined(US_SHORT_DOTS)
US_INLINE us_shorts us_dot_pairs(us_bytes inputs, us_bytes weights) {
    return (us_shorts)US_MM(maddubs_epi16)((us_register)inputs, (us_register)weights);
}

US_INLINE us_sums us_add_pairs(us_shorts pairs) {
    return (us_sums)US_MM(madd_epi16)((us_register)pairs, US_MM(set1_epi16)(1));
}
#endif

/* sums[o] += inputs[0] * weights[o][0] + ... + inputs[3] * weights[o][3]. `odd` is how far behind the weights of the inputs 0
 * and 2 those of 1 and 3 stand, where they are wide. */
US_INLINE us_sums us_dot_quads(us_sums sums, us_bytes inputs, const uint8_t *weights, size_t odd) {
#if defined(__SSE2__)
    const us_register weight = *(const us_register *)(const void *)weights;
#if US_DOTS == 2 && defined(__AVXVNNI__) && !defined(__AVX512VNNI__)
    (void)odd;
    return (us_sums)US_MM(dpbusd_avx_epi32)((us_register)sums, (us_register)inputs, weight);
#elif US_DOTS == 2
    (void)odd;
    return (us_sums)US_MM(dpbusd_epi32)((us_register)sums, (us_register)inputs, weight);
#else
    const us_register other = *(const us_register *)(const void *)(weights + odd);
    const us_shorts shorts = (us_shorts)inputs;
    sums += (us_sums)US_MM(madd_epi16)((us_register)(shorts & 255), weight);
    return sums + (us_sums)US_MM(madd_epi16)(US_MM(srli_epi16)((us_register)inputs, 8), other);
#endif
#else
    const int8x16_t activations = (int8x16_t)inputs;
    const int8x16_t weight = (int8x16_t)*(const us_bytes *)(const void *)weights;
    (void)odd;
#if defined(__ARM_FEATURE_DOTPROD)
    return (us_sums)vdotq_s32((int32x4_t)sums, activations, weight);
#else
    const int16x8_t low = vmull_s8(vget_low_s8(activations), vget_low_s8(weight));
    const int16x8_t high = vmull_high_s8(activations, weight);
    return sums + (us_sums)vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high));
#endif
#endif
}

US_INLINE us_floats us_broadcast_real(float value) {
    us_floats values = {0};
    for (size_t i = 0; i < US_WIDTH / 4; i++) {
        values[i] = value;
    }
    return values;
}

/* clamp(zero + rint(float32(sum) * scale)) for a vector of outputs, by the rounding of the vector unit: to nearest even. */
US_INLINE void us_store_sums(int8_t *output, us_sums sums, us_floats scales, us_range range) {
    const float low = (float)(range.low - range.zero);
    const float high = (float)(127 - range.zero);
#if defined(__SSE2__)
    us_float_register real = US_MM(mul_ps)(US_MM_FULL(cvtepi32_ps, (us_register)sums), (us_float_register)scales);
    us_sums rounded;
    real = US_MM_FULL(max_ps, real, US_MM(set1_ps)(low));
    real = US_MM_FULL(min_ps, real, US_MM(set1_ps)(high));
    rounded = (us_sums)US_MM_FULL(cvtps_epi32, real) + range.zero;
#if US_WIDTH == 64
    _mm_storeu_si128((__m128i *)(void *)output, US_MM_FULL(cvtepi32_epi8, (us_register)rounded));
#else
#if US_WIDTH == 32
    __m128i bytes = _mm_packs_epi32(_mm256_castsi256_si128((us_register)rounded), _mm256_extracti128_si256((us_register)rounded, 1));
#else
    __m128i bytes = _mm_packs_epi32((us_register)rounded, (us_register)rounded);
#endif
    bytes = _mm_packs_epi16(bytes, bytes);
    __builtin_memcpy(output, &bytes, US_WIDTH / 4);
#endif
#else
    float32x4_t real = vmulq_f32(vcvtq_f32_s32((int32x4_t)sums), (float32x4_t)scales);
    real = vminq_f32(vmaxq_f32(real, vdupq_n_f32(low)), vdupq_n_f32(high));
    const int16x4_t shorts = vmovn_s32(vaddq_s32(vcvtnq_s32_f32(real), vdupq_n_s32(range.zero)));
    const int8x8_t bytes = vmovn_s16(vcombine_s16(shorts, shorts));
    __builtin_memcpy(output, &bytes, US_WIDTH / 4);
#endif
}

/* The same for `parts` vectors, a constant, with their scales side by side. Two at a time share what packs them. */
US_INLINE void us_store_parts(int8_t *output, const us_sums *sums, const uint8_t *scales, us_range range, const size_t parts) {
    size_t i = 0;
#if defined(__SSE2__) && US_WIDTH < 64
    const us_float_register high = US_MM(set1_ps)((float)(127 - range.zero));
    US_UNROLL
    for (; i + 2 <= parts; i += 2) {
        const us_float_register *scale = (const us_float_register *)(const void *)(scales + i * US_WIDTH);
        const us_float_register first = US_MM(mul_ps)(US_MM(cvtepi32_ps)((us_register)sums[i]), scale[0]);
        const us_float_register second = US_MM(mul_ps)(US_MM(cvtepi32_ps)((us_register)sums[i + 1]), scale[1]);
        /* what lies below every integer becomes the least one, and saturates as it is packed */
        us_register shorts =
            US_MM(packs_epi32)(US_MM(cvtps_epi32)(US_MM(min_ps)(first, high)), US_MM(cvtps_epi32)(US_MM(min_ps)(second, high)));
        __m128i bytes;
        shorts = US_MM(max_epi16)(US_MM(adds_epi16)(shorts, US_MM(set1_epi16)(range.zero)), US_MM(set1_epi16)(range.low));
#if US_WIDTH == 32
        shorts = _mm256_permute4x64_epi64(shorts, 0xD8);
        bytes = _mm_packs_epi16(_mm256_castsi256_si128(shorts), _mm256_extracti128_si256(shorts, 1));
#else
        bytes = _mm_packs_epi16(shorts, shorts);
#endif
        __builtin_memcpy(output + i * US_WIDTH / 4, &bytes, US_WIDTH / 2);
    }
#endif
    US_UNROLL
    for (; i < parts; i++) {
        us_store_sums(output + i * US_WIDTH / 4, sums[i], *(const us_floats *)(const void *)(scales + i * US_WIDTH), range);
    }
}

/* The same four activations for every output. */
US_INLINE us_bytes us_broadcast(const uint8_t *input) {
    int32_t quad;
    __builtin_memcpy(&quad, input, 4);
    return (us_bytes)(quad - (us_sums){0});
}

/* The sums of `parts` vectors of outputs from `first` on, of `places` rows. `weights` begin with those of `first`. Callers give
 * `parts` and `places` as constants, so that the sums stay in registers. */
US_INLINE void us_layer_sums(
    const us_layer *layer, us_view view, const uint8_t *weights, size_t first, us_sums *sums, const size_t parts, const size_t places
) {
    const size_t odd = us_padded_outputs(layer) * 4;
    const size_t column = odd << US_WIDE(layer); /* bytes of the weights of four inputs */
    const size_t run = us_padded_run(layer);
    const uint8_t *corrections = (const uint8_t *)layer->unpacked + 4 * first;
    us_sums others[US_ACCUMULATORS]; /* of one row, two chains of additions, which do not wait for each other */
    US_UNROLL
    for (size_t i = 0; i < parts * places; i++) {
        sums[i] = *(const us_sums *)(const void *)(corrections + i % parts * US_WIDTH);
        others[i] = (us_sums){0};
    }
    for (; view.runs > 0; view.runs--, view.first += view.apart) {
        const uint8_t *input = view.first;
        const uint8_t *end = input + run;
#if defined(US_SHORT_DOTS)
        while (layer->offset && input < end) { /* 4 bits: eight products of two, 2 * 255 * 8, fit 16 bits */
            const uint8_t *stop = end - input > 32 ? input + 32 : end;
            us_shorts shorts[US_ACCUMULATORS];
            US_UNROLL
            for (size_t i = 0; i < parts * places; i++) {
                shorts[i] = (us_shorts){0};
            }
            for (; input < stop; input += 4) {
                US_UNROLL
                for (size_t p = 0; p < places; p++) {
                    const us_bytes here = us_broadcast(input + p * view.next);
                    US_UNROLL
                    for (size_t i = 0; i < parts; i++) {
                        shorts[p * parts + i] += us_dot_pairs(here, *(const us_bytes *)(const void *)(weights + i * US_WIDTH));
                    }
                }
                weights += column;
            }
            US_UNROLL
            for (size_t i = 0; i < parts * places; i++) {
                sums[i] += us_add_pairs(shorts[i]);
            }
        }
#endif
        for (; places == 1 && end - input >= 8; input += 8) {
            const us_bytes here = us_broadcast(input);
            const us_bytes there = us_broadcast(input + 4);
            US_UNROLL
            for (size_t i = 0; i < parts; i++) {
                sums[i] = us_dot_quads(sums[i], here, weights + i * US_WIDTH, odd);
                others[i] = us_dot_quads(others[i], there, weights + column + i * US_WIDTH, odd);
            }
            weights += 2 * column;
        }
        for (; input < end; input += 4) {
            US_UNROLL
            for (size_t p = 0; p < places; p++) {
                const us_bytes here = us_broadcast(input + p * view.next);
                US_UNROLL
                for (size_t i = 0; i < parts; i++) {
                    sums[p * parts + i] = us_dot_quads(sums[p * parts + i], here, weights + i * US_WIDTH, odd);
                }
            }
            weights += column;
        }
    }
    US_UNROLL
    for (size_t i = 0; i < parts * places; i++) {
        sums[i] += others[i];
    }
}

/* `parts` vectors of outputs from `first` on, of `places` rows, written `stride` bytes apart. */
US_INLINE void us_layer_outputs(
    const us_layer *layer, us_view view, int8_t *output, size_t stride, size_t first, const size_t parts, const size_t places
) {
    us_sums sums[US_ACCUMULATORS];
    const uint8_t *scales = (const uint8_t *)layer->unpacked + 4 * first + us_padded_outputs(layer) * 4;
    us_layer_sums(layer, view, scales + us_padded_outputs(layer) * 4, first, sums, parts, places);
    US_UNROLL
    for (size_t p = 0; p < places; p++) {
        us_store_parts(output + p * stride, sums + p * parts, scales, layer->range, parts);
    }
}
/* A case for each number of vectors: loops over them unroll where it is a constant. */
#define US_ROW_OF(parts) \
    case parts: \
        us_layer_outputs(layer, view, target, ALL, first, parts, 1); \
        break;
/* One output row. */
US_FUNCTION void us_layer_row(const us_layer *layer, us_view view, size_t row) {
    enum { EACH = US_WIDTH / 4, ALL = US_ACCUMULATORS * EACH };
    int8_t *output = layer->output + row * layer->outputs;
    for (size_t first = 0; first < layer->outputs; first += ALL) {
        const size_t left = layer->outputs - first;
        int8_t whole[ALL];
        int8_t *target = left < ALL ? whole : output + first;
        switch ((left + EACH - 1) / EACH) {
            US_ROW_OF(1)
            US_ROW_OF(2)
            US_ROW_OF(3)
            US_ROW_OF(4)
            US_ROW_OF(5)
            US_ROW_OF(6)
            US_ROW_OF(7)
        default:
            us_layer_outputs(layer, view, target, ALL, first, 8, 1);
        }
        if (left < ALL) {
            __builtin_memcpy(output + first, whole, left);
        }
    }
}
#undef US_ROW_OF

/* US_PLACES output rows from `row` on. Vectors are stored whole, which spills into the rows behind: the last outputs come
 * first, so that what is spilled on is written later. Behind the last row nothing may be touched. */
US_FUNCTION void us_layer_places(const us_layer *layer, us_view view, size_t row) {
    enum { EACH = US_WIDTH / 4, PARTS = US_ACCUMULATORS / US_PLACES, ALL = PARTS * EACH };
    const size_t outputs = layer->outputs;
    int8_t *output = layer->output + row * outputs;
    const size_t room = (layer->rows - row - (US_PLACES - 1)) * outputs; /* from the last of these rows on */
    for (size_t first = (outputs - 1) / ALL * ALL + ALL; first > 0;) {
        int8_t whole[US_PLACES * ALL];
        first -= ALL;
        const size_t left = outputs - first < ALL ? outputs - first : (size_t)ALL;
        const int spills = first + (left + EACH - 1) / EACH * EACH > room;
        int8_t *target = spills ? whole : output + first;
        const size_t stride = spills ? (size_t)ALL : outputs;
        switch ((left + EACH - 1) / EACH) {
        case 1:
            us_layer_outputs(layer, view, target, stride, first, 1, US_PLACES);
            break;
#if US_ACCUMULATORS / US_PLACES == 4
        case 2:
            us_layer_outputs(layer, view, target, stride, first, 2, US_PLACES);
            break;
        case 3:
            us_layer_outputs(layer, view, target, stride, first, 3, US_PLACES);
            break;
#endif
        default:
            us_layer_outputs(layer, view, target, stride, first, PARTS, US_PLACES);
        }
        for (size_t place = 0; spills && place < US_PLACES; place++) {
            __builtin_memcpy(output + place * outputs + first, whole + place * ALL, left);
        }
    }
}

/* One output row from the row that stands in layer->values. */
US_FUNCTION void us_linear_row(const us_layer *layer, size_t row) {
    const size_t whole = layer->inputs & ~(size_t)15;
    for (size_t first = 0; first < whole; first += 16) {
        uint8_t activations[16]; /* a loop that compilers make a vector of: what it writes is nothing that it reads */
        for (size_t i = 0; i < 16; i++) {
            activations[i] = (uint8_t)(layer->values[first + i] + US_UNSIGNED);
        }
        __builtin_memcpy(layer->activations + first, activations, 16);
    }
    for (size_t i = whole; i < layer->inputs; i++) {
        layer->activations[i] = (uint8_t)(layer->values[i] + US_UNSIGNED);
    }
    us_layer_row(layer, (us_view){layer->activations, 0, 1, 0}, row);
}

/* values[0..columns) = input plus US_UNSIGNED, in whole vectors: up to a vector more is read and written. */
US_INLINE void us_gather(uint8_t *values, const int8_t *input, size_t columns) {
    for (size_t i = 0; i < columns; i += US_WIDTH) {
        us_bytes bytes;
        __builtin_memcpy(&bytes, input + i, US_WIDTH);
        bytes ^= US_UNSIGNED;
        __builtin_memcpy(values + i, &bytes, US_WIDTH);
    }
}

/* The inputs of one row. */
US_INLINE void us_gather_row(const us_layer *layer, size_t row, uint8_t *activations) {
    const size_t columns = (size_t)layer->inputs / layer->width;
    const size_t before = (layer->width - 1u) / 2;
    if (row >= before && row - before + layer->width <= layer->rows) { /* all inside, beside each other */
        us_gather(activations, layer->input + (row - before) * columns, layer->inputs);
        return;
    }
    for (size_t offset = 0; offset < layer->width; offset++) {
        const size_t source = row + offset - before; /* wraps below zero, past every row */
        uint8_t *values = activations + offset * columns;
        if (source < layer->rows) {
            us_gather(values, layer->input + source * columns, columns);
        } else {
            __builtin_memset(values, layer->input_zero + US_UNSIGNED, columns);
        }
    }
}

US_FUNCTION void us_linear(const us_layer *layer, size_t present) {
    const size_t rows = present < layer->rows ? present : layer->rows;
    const us_view view = {layer->activations, us_padded_run(layer), 1, 0};
    size_t row = 0;
    while (row < rows) {
        if (rows < US_PLACES) {
            us_gather_row(layer, row, layer->activations);
            us_layer_row(layer, view, row++);
        } else {
            row = rows - row < US_PLACES ? rows - US_PLACES : row; /* the last ones again rather than one by one */
            for (size_t place = 0; place < US_PLACES; place++) {
                us_gather_row(layer, row + place, layer->activations + place * view.next);
            }
            us_layer_places(layer, view, row);
            row += US_PLACES;
        }
    }
    us_absent(layer, rows);
}

/* ---- a layer that reads words: us_by_word ---- */

/* Its weights as those of a layer that reads one row, whose outputs are the outputs for each place of the window. Unpacked are the
 * bias, int32 [outputs], the scales, float32 [outputs], and behind them this layer, without scales of its own. */
US_INLINE us_layer us_word_layer(const us_layer *layer) {
    us_layer each = *layer;
    const size_t padded = us_padded_outputs(layer);
    each.inputs = (uint16_t)(layer->inputs / layer->width);
    each.run = each.inputs;
    each.outputs = (uint16_t)(layer->width * padded);
    each.unpacked += padded * 8 / US_BLOCK;
    return each;
}

US_FUNCTION void us_unpack_by_word(const us_layer *layer) {
    const us_layer each = us_word_layer(layer);
    const size_t padded = us_padded_outputs(layer);
    int32_t *bias = (int32_t *)(void *)layer->unpacked;
    float *scales = (float *)(void *)(layer->unpacked + padded * 4 / US_BLOCK);
    int32_t *corrections = (int32_t *)(void *)each.unpacked;
    void *weights = each.unpacked + each.outputs * 4u / US_BLOCK;
    for (size_t o = 0; o < layer->outputs; o++) {
        bias[o] = layer->bias != NULL ? layer->bias[o] : 0;
        scales[o] = us_scale(layer->scales[layer->per_channel ? o : 0]);
        for (size_t k = 0; k < layer->width; k++) {
            const size_t output = k * padded + o;
            int32_t sum = 0;
            for (size_t i = 0; i < each.inputs; i++) {
                const int weight = us_weight(layer, o, k * each.inputs + i);
                us_lay_weight(weights, US_WIDE(layer), each.outputs, i / 4, i % 4, output, weight);
                sum += weight;
            }
            corrections[output] = -(layer->input_zero + US_UNSIGNED) * sum;
        }
    }
}

/* Add the products of the word in `row` to the sums of the rows that see it. */
US_FUNCTION void us_add_word(const us_by_word *by_word, size_t row, size_t word) {
    const us_layer *layer = by_word->layer;
    const size_t blocks = us_padded_outputs(layer) * 4 / US_BLOCK;
    const us_block *products = by_word->products + word * layer->width * blocks;
    size_t target = row + (layer->width - 1u) / 2;
    for (size_t k = 0; k < layer->width; k++, target--) { /* wraps below zero, past every row */
        if (target < layer->rows) {
            us_block *sums = by_word->sums + target * blocks;
            const us_block *before = k == 0 || row == 0 ? layer->unpacked : sums; /* the first word that a row sees */
            for (size_t b = 0; b < blocks; b++) {
                US_UNROLL
                for (size_t i = 0; i < US_PARTS; i++) {
                    *(us_sums *)(void *)(sums[b].bytes + i * US_WIDTH) =
                        (us_sums)us_part(before + b, i) + (us_sums)us_part(products + b, i);
                }
            }
        }
        products += blocks;
    }
}

/* The same for a word whose row stands in the layer's input. */
US_FUNCTION void us_multiply_word(const us_by_word *by_word, size_t row, size_t word) {
    enum { EACH = US_WIDTH / 4, ALL = US_WIDTH == 32 ? US_ACCUMULATORS : US_ACCUMULATORS / 2 };
    const us_layer each = us_word_layer(by_word->layer);
    const us_view view = {each.activations, 0, 1, 0};
    const uint8_t *weights = (const uint8_t *)each.unpacked + 4 * each.outputs;
    uint8_t *products = (uint8_t *)(by_word->products + word * each.outputs * 4 / US_BLOCK);
    us_sums sums[US_ACCUMULATORS];
    size_t first = 0;
    us_gather(each.activations, each.input + row * each.inputs, each.inputs);
    for (; first + ALL * EACH <= each.outputs; first += ALL * EACH) {
        us_layer_sums(&each, view, weights + 4 * first, first, sums, ALL, 1);
        __builtin_memcpy(products + 4 * first, sums, ALL * US_WIDTH);
    }
    for (; first < each.outputs; first += EACH) {
        us_layer_sums(&each, view, weights + 4 * first, first, sums, 1, 1);
        __builtin_memcpy(products + 4 * first, sums, US_WIDTH);
    }
    us_add_word(by_word, row, word);
}

/* The output rows, once the words of all `words` rows are added. Vectors are stored whole; see us_layer_places. */
US_FUNCTION void us_linear_by_word(const us_by_word *by_word, size_t words, size_t present) {
    const us_layer *layer = by_word->layer;
    const size_t padded = us_padded_outputs(layer);
    const size_t rows = present < layer->rows ? present : layer->rows;
    const size_t seen = words > 0 ? words + (layer->width - 1u) / 2 : 0; /* rows with sums */
    const uint8_t *scales = (const uint8_t *)layer->unpacked + padded * 4;
    for (size_t row = 0; row < rows; row++) {
        const us_block *sums = row < seen ? by_word->sums + row * padded * 4 / US_BLOCK : layer->unpacked;
        const size_t room = (layer->rows - row) * layer->outputs;
        int8_t *output = layer->output + row * layer->outputs;
        for (size_t o = 0; o < layer->outputs; o += 16, sums++) {
            int8_t whole[16];
            int8_t *target = o + 16 <= room ? output + o : whole;
            us_store_parts(target, (const us_sums *)(const void *)sums, scales + 4 * o, layer->range, US_PARTS);
            if (target == whole) {
                const size_t left = layer->outputs - o; /* fewer than 16, which compilers do not see */
                __builtin_memcpy(output + o, whole, left < sizeof whole ? left : sizeof whole);
            }
        }
    }
    us_absent(layer, rows);
}

/* ---- pools ---- */

US_FUNCTION void us_max_pool(const us_rows *rows, size_t present) {
    const size_t count = present < rows->rows ? present + 1 : rows->rows; /* with one of the absent ones */
    for (size_t column = 0; column < rows->columns; column += US_WIDTH) {
        const size_t left = rows->columns - column;
        us_signs best;
        __builtin_memcpy(&best, rows->input + column, US_WIDTH);
        for (size_t row = 1; row < count; row++) {
            us_signs value;
            us_signs larger;
            __builtin_memcpy(&value, rows->input + row * rows->columns + column, US_WIDTH);
            larger = value > best;
            best = (value & larger) | (best & ~larger);
        }
        __builtin_memcpy(rows->output + column, &best, left < US_WIDTH ? left : US_WIDTH);
    }
}

/* Add 16 values to sums. */
US_INLINE void us_add_row(us_sums *sums, const int8_t *input) {
#if US_WIDTH == 64
    sums[0] += (us_sums)US_MM_FULL(cvtepi8_epi32, _mm_loadu_si128((const __m128i *)(const void *)input));
#elif US_WIDTH == 32
    sums[0] += (us_sums)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)input));
    sums[1] += (us_sums)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(input + 8)));
#else
    int32_t values[16]; /* a loop that compilers make vectors of */
    us_sums parts[US_PARTS];
    for (size_t i = 0; i < 16; i++) {
        values[i] = input[i];
    }
    __builtin_memcpy(parts, values, sizeof parts);
    US_UNROLL
    for (size_t i = 0; i < US_PARTS; i++) {
        sums[i] += parts[i];
    }
#endif
}

US_FUNCTION void us_sum_pool(const us_rows *rows, size_t present) {
    const size_t count = present < rows->rows ? present : rows->rows;
    const us_floats scale = us_broadcast_real(us_scale(rows->scale));
    for (size_t column = 0; column < rows->columns; column += 16) {
        const size_t left = rows->columns - column;
        const int8_t *input = rows->input + column;
        us_sums sums[US_PARTS];
        int8_t pooled[16];
        US_UNROLL
        for (size_t i = 0; i < US_PARTS; i++) {
            sums[i] = (us_sums){0} - rows->input_zero * (int32_t)count;
        }
        for (size_t row = 0; row < count; row++) {
            us_add_row(sums, input);
            input += rows->columns;
        }
        for (size_t i = 0; i < US_PARTS; i++) {
            us_store_sums(pooled + i * US_WIDTH / 4, sums[i], scale, rows->range);
        }
        __builtin_memcpy(rows->output + column, pooled, left < 16 ? left : 16);
    }
}

/* ---- products ---- */

US_FUNCTION void us_multiply(const us_product *product) {
    const us_floats scale = us_broadcast_real(us_scale(product->scale));
    for (size_t row = 0; row < product->count; row += product->period) {
        for (size_t at = 0; at < product->period; at += 16) {
            const size_t left = product->period - at;
            const int8_t *first = product->first + row + at;
            const int8_t *second = product->second + at;
            us_sums sums[US_PARTS];
            int8_t values[16];
            int32_t products[16];
            for (size_t i = 0; i < 16; i++) {
                products[i] = (first[i] - product->first_zero) * (second[i] - product->second_zero);
            }
            __builtin_memcpy(sums, products, sizeof sums);
            for (size_t i = 0; i < US_PARTS; i++) {
                us_store_sums(values + i * US_WIDTH / 4, sums[i], scale, product->range);
            }
            __builtin_memcpy(product->output + row + at, values, left < 16 ? left : 16);
        }
    }
}

/* ---- images ---- */

/* Pixels 0..255 become -128..127. */
US_FUNCTION void us_pixels(const uint8_t *pixels, int8_t *output, size_t count) {
    size_t i = 0;
    for (; i + US_WIDTH <= count; i += US_WIDTH) {
        us_bytes bytes;
        __builtin_memcpy(&bytes, pixels + i, US_WIDTH);
        bytes ^= 128;
        __builtin_memcpy(output + i, &bytes, US_WIDTH);
    }
    for (; i < count; i++) {
        output[i] = (int8_t)((int)pixels[i] - 128);
    }
}

/* A row of places reads lines: rows of the input between columns of real zeros, so that nothing behind them asks where the
 * image ends. This is how many columns a line has. */
US_FUNCTION size_t us_line_columns(const us_conv *conv) {
    return (conv->output_columns - 1u) * conv->stride + conv->kernel_columns;
}

/* How many of them are columns of the input. */
US_FUNCTION size_t us_line_inside(const us_conv *conv) {
    const size_t right = us_line_columns(conv) - conv->left;
    return right < conv->columns ? right : conv->columns;
}

/* Every output sees every channel: a kernel's row meets a run of a line, from where it begins. */
US_FUNCTION void us_convolve(const us_conv *conv) {
    const us_layer *layer = &conv->layer;
    const size_t line = us_line_columns(conv) * conv->channels;
    const size_t before = (size_t)conv->left * conv->channels;
    const size_t inside = us_line_inside(conv) * conv->channels;
    us_view view = {layer->activations, (size_t)conv->stride * conv->channels, conv->kernel_rows, line};
    for (size_t row = 0; row < conv->output_rows; row++) {
        for (size_t i = 0; i < conv->kernel_rows; i++) {
            const size_t y = row * conv->stride + i - conv->top; /* wraps below zero, past every row */
            uint8_t *values = layer->activations + i * line;
            if (y < conv->rows) {
                us_gather(values + before, layer->input + y * conv->columns * conv->channels, inside);
                __builtin_memset(values, layer->input_zero + US_UNSIGNED, before);
                __builtin_memset(values + before + inside, layer->input_zero + US_UNSIGNED, line - before - inside);
            } else {
                __builtin_memset(values, layer->input_zero + US_UNSIGNED, line);
            }
        }
        for (size_t column = 0; column < conv->output_columns;) {
            const size_t left = conv->output_columns - column;
            if (conv->output_columns < US_PLACES) {
                view.first = layer->activations + column * view.next;
                us_layer_row(layer, view, row * conv->output_columns + column++);
            } else {
                column -= left < US_PLACES ? US_PLACES - left : 0;
                view.first = layer->activations + column * view.next;
                us_layer_places(layer, view, row * conv->output_columns + column);
                column += US_PLACES;
            }
        }
    }
}

/* Where each channel is alone, four rows of a line lie beside each other for every channel, as dot products read them.
 * Unpacked weights are int8 [kernel_rows / 4, kernel_columns, channels, 4] behind corrections and scales. */
US_FUNCTION void us_unpack_depthwise(const us_conv *conv) {
    const us_layer *layer = &conv->layer;
    const size_t padded = us_padded_outputs(layer);
    void *weights = us_unpack_outputs(layer);
    for (size_t i = 0; i < layer->inputs; i++) {
        const size_t row = i / conv->kernel_columns;
        const size_t quad = row / 4 * conv->kernel_columns + i % conv->kernel_columns;
        for (size_t o = 0; o < layer->outputs; o++) {
            us_lay_weight(weights, US_WIDE(layer), padded, quad, row % 4, o, us_weight(layer, o, i));
        }
    }
}

/* Four times 16 channels plus US_UNSIGNED, channel by channel. */
US_INLINE void us_interleave(uint8_t *quads, const int8_t *rows[4], const size_t at[4]) {
#if defined(__SSE2__)
    const __m128i offset = _mm_set1_epi8((char)US_UNSIGNED);
    const __m128i a = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(const void *)(rows[0] + at[0])), offset);
    const __m128i b = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(const void *)(rows[1] + at[1])), offset);
    const __m128i c = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(const void *)(rows[2] + at[2])), offset);
    const __m128i d = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(const void *)(rows[3] + at[3])), offset);
    const __m128i low_ab = _mm_unpacklo_epi8(a, b);
    const __m128i high_ab = _mm_unpackhi_epi8(a, b);
    const __m128i low_cd = _mm_unpacklo_epi8(c, d);
    const __m128i high_cd = _mm_unpackhi_epi8(c, d);
    __m128i *target = (__m128i *)(void *)quads;
    _mm_storeu_si128(target, _mm_unpacklo_epi16(low_ab, low_cd));
    _mm_storeu_si128(target + 1, _mm_unpackhi_epi16(low_ab, low_cd));
    _mm_storeu_si128(target + 2, _mm_unpacklo_epi16(high_ab, high_cd));
    _mm_storeu_si128(target + 3, _mm_unpackhi_epi16(high_ab, high_cd));
#else
    int8x16x4_t four;
    US_UNROLL
    for (size_t i = 0; i < 4; i++) {
        four.val[i] = vld1q_s8(rows[i] + at[i]);
    }
    vst4q_s8((int8_t *)quads, four);
#endif
}

/* The four lines from `first` on of what a row of places sees, beside each other. */
US_FUNCTION void us_interleave_lines(const us_conv *conv, size_t y, size_t first, uint8_t *quads) {
    const us_layer *layer = &conv->layer;
    const size_t inside = us_line_inside(conv);
    const size_t padded = us_padded_outputs(layer);
    int8_t outside[16];
    const int8_t *rows[4];
    size_t masks[4]; /* 0: the same zeros for every column */
    __builtin_memset(outside, layer->input_zero, sizeof outside);
    for (size_t i = 0; i < 4; i++) {
        const size_t source = y + first + i - conv->top; /* wraps below zero, past every row */
        const int seen = first + i < conv->kernel_rows && source < conv->rows;
        rows[i] = seen ? layer->input + source * conv->columns * conv->channels : outside;
        masks[i] = seen ? ~(size_t)0 : 0;
    }
    __builtin_memset(quads, layer->input_zero + US_UNSIGNED, conv->left * padded * 4);
    quads += conv->left * padded * 4;
    for (size_t x = 0; x < inside; x++) {
        for (size_t c = 0; c < padded; c += 16) {
            const size_t from = x * conv->channels + c;
            const size_t at[4] = {from & masks[0], from & masks[1], from & masks[2], from & masks[3]};
            us_interleave(quads, rows, at);
            quads += US_BLOCK;
        }
    }
    __builtin_memset(quads, layer->input_zero + US_UNSIGNED, (us_line_columns(conv) - conv->left - inside) * padded * 4);
}

/* `parts` vectors of channels from `channel` on, of `count` places beside each other. Callers give `parts` as a constant, and
 * `taps`: the columns of a kernel of at most 4 rows, or 0. */
US_INLINE void us_depthwise_outputs(
    const us_conv *conv, const uint8_t *quads, int8_t *output, size_t channel, size_t count, const size_t parts, const size_t taps
) {
    const us_layer *layer = &conv->layer;
    const size_t odd = us_padded_outputs(layer) * 4; /* also the bytes of a column of a line */
    const size_t column = odd << US_WIDE(layer);
    const size_t line = us_line_columns(conv) * odd;
    const size_t lines = (conv->kernel_rows + 3u) / 4;
    const uint8_t *corrections = (const uint8_t *)layer->unpacked + 4 * channel;
    const uint8_t *weights = corrections + 2 * odd;
    quads += 4 * channel;
    for (size_t place = 0; place < count; place++) {
        us_sums sums[US_PARTS];
        us_bytes inputs;
        US_UNROLL
        for (size_t i = 0; i < parts; i++) {
            sums[i] = *(const us_sums *)(const void *)(corrections + i * US_WIDTH);
            US_UNROLL
            for (size_t j = 0; j < taps; j++) {
                __builtin_memcpy(&inputs, quads + j * odd + i * US_WIDTH, US_WIDTH);
                sums[i] = us_dot_quads(sums[i], inputs, weights + j * column + i * US_WIDTH, odd);
            }
        }
        for (size_t k = 0; taps == 0 && k < lines * conv->kernel_columns; k++) {
            const uint8_t *from = quads + k / conv->kernel_columns * line + k % conv->kernel_columns * odd;
            US_UNROLL
            for (size_t i = 0; i < parts; i++) {
                __builtin_memcpy(&inputs, from + i * US_WIDTH, US_WIDTH);
                sums[i] = us_dot_quads(sums[i], inputs, weights + k * column + i * US_WIDTH, odd);
            }
        }
        us_store_parts(output, sums, corrections + odd, layer->range, parts);
        quads += conv->stride * odd;
        output += conv->channels;
    }
}

/* The same with a block's channels, or with the first half of them. */
US_FUNCTION void us_depthwise_places(
    const us_conv *conv, const uint8_t *quads, int8_t *output, size_t channel, size_t count, int half
) {
    enum { HALF = US_PARTS > 1 ? US_PARTS / 2 : 1 };
    if (conv->kernel_rows > 4 || conv->kernel_columns != 3) {
        us_depthwise_outputs(conv, quads, output, channel, count, US_PARTS, 0);
    } else if (half) {
        us_depthwise_outputs(conv, quads, output, channel, count, HALF, 3);
    } else {
        us_depthwise_outputs(conv, quads, output, channel, count, US_PARTS, 3);
    }
}

/* Each channel for itself. Vectors are stored whole; see us_layer_places. */
US_FUNCTION void us_convolve_depthwise(const us_conv *conv) {
    enum { EACH = 16 };
    const us_layer *layer = &conv->layer;
    const size_t padded = us_padded_outputs(layer);
    const size_t line = us_line_columns(conv) * padded * 4;
    for (size_t row = 0; row < conv->output_rows; row++) {
        int8_t *output = layer->output + row * conv->output_columns * conv->channels;
        const size_t room = (size_t)(conv->output_rows - row) * conv->output_columns * conv->channels;
        for (size_t i = 0; i < conv->kernel_rows; i += 4) {
            us_interleave_lines(conv, row * conv->stride, i, layer->activations + i / 4 * line);
        }
        for (size_t channel = (conv->channels - 1u) / EACH * EACH + EACH; channel > 0;) {
            channel -= EACH;
            const size_t left = conv->channels - channel < EACH ? conv->channels - channel : (size_t)EACH;
            size_t place = channel + EACH <= room ? (room - channel - EACH) / conv->channels + 1 : 0;
            place = place < conv->output_columns ? place : conv->output_columns;
            us_depthwise_places(conv, layer->activations, output + channel, channel, place, 2 * left <= EACH);
            for (; place < conv->output_columns; place++) { /* too near to the end for a whole vector */
                const uint8_t *quads = layer->activations + place * conv->stride * padded * 4;
                int8_t whole[EACH];
                us_depthwise_places(conv, quads, whole, channel, 1, 2 * left <= EACH);
                __builtin_memcpy(output + place * conv->channels + channel, whole, left);
            }
        }
    }
}

#endif
