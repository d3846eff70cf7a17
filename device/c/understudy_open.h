/* understudy_open.h: opens the envelopes of spec/encryption.md into memory that the caller gives.
 *
 * C99, one header, static functions only. No heap, no stdio, no string.h; about 2 KB of stack.
 * X25519 (RFC 7748), HKDF-SHA256 (RFC 5869) and AES-256-GCM (NIST SP 800-38D), written for little code and for times that do not
 * depend on keys or content: no table is read at a secret index, no branch is taken on a secret. Processors whose multiplication
 * takes a time that depends on its operands (Cortex-M3 with 64-bit products) are not constant in time for X25519.
 *
 * It does not check who made a model: anybody who has the public key of a device can encrypt for it (docs/protection.md).
 */
#ifndef UNDERSTUDY_OPEN_H
#define UNDERSTUDY_OPEN_H

#include <stddef.h>
#include <stdint.h>

#ifndef US_FUNCTION
#define US_FUNCTION static inline
#endif

#define US_ERROR_CLOSED (-10)    /* the model was not opened yet */
#define US_ERROR_ENVELOPE (-11)  /* not an envelope, a truncated one, or one of another file or model */
#define US_ERROR_RECIPIENT (-12) /* not encrypted for this private key */
#define US_ERROR_ALTERED (-13)   /* not as it was encrypted */
#define US_ERROR_CAPACITY (-14)  /* the content is larger than the memory for it */

enum {
    US_ENVELOPE_FIXED = 87,     /* bytes before the file name: encryption 2 */
    US_ENVELOPE_RECIPIENT = 56, /* bytes for each recipient */
    US_ENVELOPE_TAG = 16
};

US_FUNCTION void us_copy_bytes(uint8_t *to, const uint8_t *from, size_t n) {
    for (size_t i = 0; i < n; i++) {
        to[i] = from[i];
    }
}

/* Writes zeros that the compiler may not leave out. */
US_FUNCTION void us_forget(void *memory, size_t n) {
    volatile uint8_t *bytes = (volatile uint8_t *)memory;
    while (n-- > 0) {
        bytes[n] = 0;
    }
}

/* Compares without a branch on the content; 1 when equal. */
US_FUNCTION int us_equal(const uint8_t *a, const uint8_t *b, size_t n) {
    uint32_t difference = 0;
    for (size_t i = 0; i < n; i++) {
        difference |= (uint32_t)(a[i] ^ b[i]);
    }
    return (int)((difference - 1) >> 31);
}

/* ---- SHA-256 (FIPS 180-4) and HMAC (RFC 2104) ---- */

typedef struct {
    uint32_t state[8];
    uint8_t block[64];
    uint32_t length;
} us_sha256;

US_FUNCTION uint32_t us_rotate(uint32_t value, unsigned bits) {
    return value >> bits | value << (32 - bits);
}

US_FUNCTION void us_sha256_block(us_sha256 *sha) {
    static const uint32_t rounds[64] = {
        0x428a2f98u, 0x71374491u, 0xb5c0fbcfu, 0xe9b5dba5u, 0x3956c25bu, 0x59f111f1u, 0x923f82a4u, 0xab1c5ed5u,
        0xd807aa98u, 0x12835b01u, 0x243185beu, 0x550c7dc3u, 0x72be5d74u, 0x80deb1feu, 0x9bdc06a7u, 0xc19bf174u,
        0xe49b69c1u, 0xefbe4786u, 0x0fc19dc6u, 0x240ca1ccu, 0x2de92c6fu, 0x4a7484aau, 0x5cb0a9dcu, 0x76f988dau,
        0x983e5152u, 0xa831c66du, 0xb00327c8u, 0xbf597fc7u, 0xc6e00bf3u, 0xd5a79147u, 0x06ca6351u, 0x14292967u,
        0x27b70a85u, 0x2e1b2138u, 0x4d2c6dfcu, 0x53380d13u, 0x650a7354u, 0x766a0abbu, 0x81c2c92eu, 0x92722c85u,
        0xa2bfe8a1u, 0xa81a664bu, 0xc24b8b70u, 0xc76c51a3u, 0xd192e819u, 0xd6990624u, 0xf40e3585u, 0x106aa070u,
        0x19a4c116u, 0x1e376c08u, 0x2748774cu, 0x34b0bcb5u, 0x391c0cb3u, 0x4ed8aa4au, 0x5b9cca4fu, 0x682e6ff3u,
        0x748f82eeu, 0x78a5636fu, 0x84c87814u, 0x8cc70208u, 0x90befffau, 0xa4506cebu, 0xbef9a3f7u, 0xc67178f2u,
    };
    uint32_t w[16], s[8];
    for (size_t i = 0; i < 8; i++) {
        s[i] = sha->state[i];
    }
    for (size_t i = 0; i < 16; i++) {
        const uint8_t *b = sha->block + 4 * i;
        w[i] = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    }
    for (size_t i = 0; i < 64; i++) {
        const uint32_t sum1 = us_rotate(s[4], 6) ^ us_rotate(s[4], 11) ^ us_rotate(s[4], 25);
        const uint32_t sum0 = us_rotate(s[0], 2) ^ us_rotate(s[0], 13) ^ us_rotate(s[0], 22);
        uint32_t first, second;
        if (i >= 16) {
            const uint32_t a = w[(i + 1) & 15], b = w[(i + 14) & 15];
            w[i & 15] += (us_rotate(a, 7) ^ us_rotate(a, 18) ^ a >> 3) + w[(i + 9) & 15] +
                         (us_rotate(b, 17) ^ us_rotate(b, 19) ^ b >> 10);
        }
        first = s[7] + sum1 + ((s[4] & s[5]) ^ (~s[4] & s[6])) + rounds[i] + w[i & 15];
        second = sum0 + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        for (size_t k = 7; k > 0; k--) {
            s[k] = s[k - 1];
        }
        s[4] += first;
        s[0] = first + second;
    }
    for (size_t i = 0; i < 8; i++) {
        sha->state[i] += s[i];
    }
}

US_FUNCTION void us_sha256_begin(us_sha256 *sha) {
    static const uint32_t first[8] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                                      0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};
    for (size_t i = 0; i < 8; i++) {
        sha->state[i] = first[i];
    }
    sha->length = 0;
}

US_FUNCTION void us_sha256_add(us_sha256 *sha, const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        sha->block[sha->length++ & 63] = bytes[i];
        if ((sha->length & 63) == 0) {
            us_sha256_block(sha);
        }
    }
}

US_FUNCTION void us_sha256_end(us_sha256 *sha, uint8_t digest[32]) {
    static const uint8_t one = 0x80, zero = 0;
    const uint32_t bits = 8 * sha->length; /* less than 512 MB is hashed */
    us_sha256_add(sha, &one, 1);
    while ((sha->length & 63) != 60) {
        us_sha256_add(sha, &zero, 1);
    }
    for (unsigned i = 0; i < 4; i++) {
        const uint8_t byte = (uint8_t)(bits >> (24 - 8 * i));
        us_sha256_add(sha, &byte, 1);
    }
    for (unsigned i = 0; i < 32; i++) {
        digest[i] = (uint8_t)(sha->state[i / 4] >> (24 - 8 * (i % 4)));
    }
}

US_FUNCTION void us_hmac(const uint8_t key[32], const uint8_t *message, size_t n, uint8_t out[32]) {
    us_sha256 sha;
    uint8_t pad[64];
    for (size_t i = 0; i < 64; i++) {
        pad[i] = (uint8_t)((i < 32 ? key[i] : 0) ^ 0x36);
    }
    us_sha256_begin(&sha);
    us_sha256_add(&sha, pad, 64);
    us_sha256_add(&sha, message, n);
    us_sha256_end(&sha, out);
    for (size_t i = 0; i < 64; i++) {
        pad[i] ^= 0x36 ^ 0x5c;
    }
    us_sha256_begin(&sha);
    us_sha256_add(&sha, pad, 64);
    us_sha256_add(&sha, out, 32);
    us_sha256_end(&sha, out);
    us_forget(pad, sizeof pad);
    us_forget(&sha, sizeof sha);
}

/* ---- X25519: numbers modulo 2^255 - 19 as 16 limbs of 16 bits, in 64-bit integers whose right shift keeps the sign ---- */

typedef int64_t us_field[16];

US_FUNCTION void us_carry(us_field a) {
    for (size_t i = 0; i < 16; i++) {
        const int64_t carry = a[i] >> 16;
        a[i] -= carry * 65536;
        a[(i + 1) & 15] += i < 15 ? carry : 38 * carry;
    }
}

US_FUNCTION void us_field_add(us_field out, const us_field a, const us_field b, int64_t sign) {
    for (size_t i = 0; i < 16; i++) {
        out[i] = a[i] + sign * b[i];
    }
}

US_FUNCTION void us_field_multiply(us_field out, const us_field a, const us_field b) {
    int64_t product[32] = {0};
    for (size_t i = 0; i < 16; i++) {
        for (size_t k = 0; k < 16; k++) {
            product[i + k] += a[i] * b[k];
        }
    }
    for (size_t i = 0; i < 16; i++) {
        out[i] = product[i] + 38 * product[i + 16];
    }
    us_carry(out);
    us_carry(out);
}

/* Exchanges a and b where bit is 1. */
US_FUNCTION void us_exchange(us_field a, us_field b, uint32_t bit) {
    const int64_t mask = -(int64_t)bit;
    for (size_t i = 0; i < 16; i++) {
        const int64_t difference = mask & (a[i] ^ b[i]);
        a[i] ^= difference;
        b[i] ^= difference;
    }
}

US_FUNCTION void us_field_unpack(us_field out, const uint8_t bytes[32]) {
    for (size_t i = 0; i < 16; i++) {
        out[i] = bytes[2 * i] | (int64_t)bytes[2 * i + 1] << 8;
    }
    out[15] &= 0x7fff;
}

US_FUNCTION void us_field_pack(uint8_t out[32], us_field a) {
    us_field less;
    for (int i = 0; i < 3; i++) {
        us_carry(a);
    }
    for (int turn = 0; turn < 2; turn++) { /* subtracts the prime where that leaves nothing negative */
        less[0] = a[0] - 0xffed;
        for (size_t i = 1; i < 16; i++) {
            less[i] = a[i] - (i < 15 ? 0xffff : 0x7fff) - ((less[i - 1] >> 16) & 1);
            less[i - 1] &= 0xffff;
        }
        us_exchange(a, less, (uint32_t)(1 - ((less[15] >> 16) & 1)));
    }
    for (size_t i = 0; i < 16; i++) {
        out[2 * i] = (uint8_t)(a[i] & 0xff);
        out[2 * i + 1] = (uint8_t)(a[i] >> 8 & 0xff);
    }
}

US_FUNCTION void us_x25519(uint8_t out[32], const uint8_t secret[32], const uint8_t point[32]) {
    static const us_field factor = {0xdb41, 1}; /* 121665 */
    us_field x, a = {1}, b, c = {0}, d = {1}, e, f;
    uint8_t scalar[32];
    us_copy_bytes(scalar, secret, 32);
    scalar[0] &= 248;
    scalar[31] = (uint8_t)((scalar[31] & 127) | 64);
    us_field_unpack(x, point);
    for (size_t i = 0; i < 16; i++) {
        b[i] = x[i];
    }
    for (int i = 254; i >= 0; i--) {
        const uint32_t bit = (uint32_t)(scalar[i >> 3] >> (i & 7)) & 1;
        us_exchange(a, b, bit);
        us_exchange(c, d, bit);
        us_field_add(e, a, c, 1);
        us_field_add(a, a, c, -1);
        us_field_add(c, b, d, 1);
        us_field_add(b, b, d, -1);
        us_field_multiply(d, e, e);
        us_field_multiply(f, a, a);
        us_field_multiply(a, c, a);
        us_field_multiply(c, b, e);
        us_field_add(e, a, c, 1);
        us_field_add(a, a, c, -1);
        us_field_multiply(b, a, a);
        us_field_add(c, d, f, -1);
        us_field_multiply(a, c, factor);
        us_field_add(a, a, d, 1);
        us_field_multiply(c, c, a);
        us_field_multiply(a, d, f);
        us_field_multiply(d, b, x);
        us_field_multiply(b, e, e);
        us_exchange(a, b, bit);
        us_exchange(c, d, bit);
    }
    for (size_t i = 0; i < 16; i++) {
        e[i] = c[i];
    }
    for (int i = 253; i >= 0; i--) { /* c to the power p - 2, whose bits are all ones but bits 2 and 4 */
        us_field_multiply(e, e, e);
        if (i != 2 && i != 4) {
            us_field_multiply(e, e, c);
        }
    }
    us_field_multiply(a, a, e);
    us_field_pack(out, a);
    us_forget(scalar, sizeof scalar);
    us_forget(a, sizeof a);
    us_forget(b, sizeof b);
    us_forget(c, sizeof c);
    us_forget(d, sizeof d);
    us_forget(e, sizeof e);
    us_forget(f, sizeof f);
}

/* ---- AES-256 of two blocks at once: plane i holds bit i of 32 bytes, so that the S-box is arithmetic and no table ---- */

typedef uint32_t us_planes[8];

typedef struct {
    us_planes rounds[15];
    uint32_t hash[4]; /* H of GCM */
    uint8_t mask[16]; /* what the tag is masked with */
} us_aes;

US_FUNCTION void us_to_planes(us_planes out, const uint8_t bytes[32]) {
    for (size_t i = 0; i < 8; i++) {
        out[i] = 0;
        for (size_t k = 0; k < 32; k++) {
            out[i] |= (uint32_t)(bytes[k] >> i & 1) << k;
        }
    }
}

US_FUNCTION void us_from_planes(uint8_t bytes[32], const us_planes planes) {
    for (size_t k = 0; k < 32; k++) {
        uint32_t byte = 0;
        for (size_t i = 0; i < 8; i++) {
            byte |= (planes[i] >> k & 1) << i;
        }
        bytes[k] = (uint8_t)byte;
    }
}

/* Products in GF(2^8), modulo x^8 + x^4 + x^3 + x + 1. */
US_FUNCTION void us_reduce(us_planes out, uint32_t product[15]) {
    for (size_t i = 14; i >= 8; i--) {
        product[i - 4] ^= product[i];
        product[i - 5] ^= product[i];
        product[i - 7] ^= product[i];
        product[i - 8] ^= product[i];
    }
    for (size_t i = 0; i < 8; i++) {
        out[i] = product[i];
    }
}

US_FUNCTION void us_gf_multiply(us_planes out, const us_planes a, const us_planes b) {
    uint32_t product[15] = {0};
    for (size_t i = 0; i < 8; i++) {
        for (size_t k = 0; k < 8; k++) {
            product[i + k] ^= a[i] & b[k];
        }
    }
    us_reduce(out, product);
}

US_FUNCTION void us_gf_square(us_planes out, const us_planes a, int times) {
    uint32_t product[15];
    for (size_t i = 0; i < 8; i++) {
        out[i] = a[i];
    }
    while (times-- > 0) {
        for (size_t i = 0; i < 15; i++) {
            product[i] = i & 1 ? 0 : out[i / 2];
        }
        us_reduce(out, product);
    }
}

/* The S-box: the inverse, which is the power 254, then an affine map (FIPS 197 5.1.1). */
US_FUNCTION void us_substitute(us_planes a) {
    us_planes two, three, twelve, power;
    us_gf_square(two, a, 1);
    us_gf_multiply(three, two, a);
    us_gf_square(twelve, three, 2);
    us_gf_multiply(power, twelve, three);
    us_gf_square(power, power, 4);
    us_gf_multiply(power, power, twelve);
    us_gf_multiply(power, power, two);
    for (size_t i = 0; i < 8; i++) {
        a[i] = power[i] ^ power[(i + 4) & 7] ^ power[(i + 5) & 7] ^ power[(i + 6) & 7] ^ power[(i + 7) & 7];
        a[i] ^= 0u - (0x63u >> i & 1);
    }
}

/* Byte 4 * column + row of a block is bit 4 * column + row of its half of a plane. */
US_FUNCTION void us_shift_rows(us_planes a) {
    for (size_t i = 0; i < 8; i++) {
        uint32_t shifted = a[i] & 0x11111111u;
        for (unsigned row = 1; row < 4; row++) {
            const uint32_t bits = a[i] & 0x11111111u << row;
            const uint32_t low = 0xffffu >> 4 * row; /* bits of a half that stay in it when it moves down */
            shifted |= (bits >> 4 * row & (low | low << 16)) | (bits << (16 - 4 * row) & ~(low | low << 16));
        }
        a[i] = shifted;
    }
}

US_FUNCTION uint32_t us_next_row(uint32_t plane, unsigned rows) {
    const uint32_t low = (0xfu >> rows) * 0x11111111u;
    return (plane >> rows & low) | (plane << (4 - rows) & ~low);
}

US_FUNCTION void us_mix_columns(us_planes a) {
    us_planes sum;
    uint32_t highest;
    for (size_t i = 0; i < 8; i++) {
        sum[i] = a[i] ^ us_next_row(a[i], 1);
    }
    highest = sum[7];
    for (size_t i = 0; i < 8; i++) {
        a[i] = us_next_row(a[i], 1) ^ us_next_row(sum[i], 2); /* the three other rows */
    }
    for (size_t i = 0; i < 8; i++) { /* twice the sum: 0x1b where it overflows */
        a[i] ^= (i > 0 ? sum[i - 1] : 0) ^ (0x1bu >> i & 1 ? highest : 0);
    }
}

US_FUNCTION void us_add_round_key(us_planes a, const us_planes key) {
    for (size_t i = 0; i < 8; i++) {
        a[i] ^= key[i];
    }
}

US_FUNCTION void us_aes_encrypt(const us_aes *aes, uint8_t blocks[32]) {
    us_planes a;
    us_to_planes(a, blocks);
    us_add_round_key(a, aes->rounds[0]);
    for (size_t round = 1; round < 15; round++) {
        us_substitute(a);
        us_shift_rows(a);
        if (round < 14) {
            us_mix_columns(a);
        }
        us_add_round_key(a, aes->rounds[round]);
    }
    us_from_planes(blocks, a);
}

/* Expands a key and prepares GCM for one nonce. */
US_FUNCTION void us_aes_begin(us_aes *aes, const uint8_t key[32], const uint8_t nonce[12]) {
    uint8_t words[32], blocks[32] = {0}; /* the last eight words of the key schedule */
    uint32_t constant = 1;
    us_copy_bytes(words, key, 32);
    for (size_t round = 0; round < 15; round++) {
        uint8_t *half = words + 16 * (round & 1);
        if (round >= 2) {
            us_planes planes;
            uint8_t last[32] = {0};
            us_copy_bytes(last, words + (round & 1 ? 12 : 28), 4);
            us_to_planes(planes, last);
            us_substitute(planes);
            us_from_planes(last, planes);
            for (size_t i = 0; i < 4; i++) {
                half[i] ^= last[round & 1 ? i : (i + 1) & 3];
            }
            if ((round & 1) == 0) {
                half[0] ^= (uint8_t)constant;
                constant <<= 1;
            }
            for (size_t i = 4; i < 16; i++) {
                half[i] ^= half[i - 4];
            }
            us_forget(last, sizeof last);
        }
        us_copy_bytes(blocks, half, 16);
        us_copy_bytes(blocks + 16, half, 16);
        us_to_planes(aes->rounds[round], blocks);
    }
    for (size_t i = 0; i < 16; i++) {
        blocks[i] = 0;
        blocks[16 + i] = i < 12 ? nonce[i] : i == 15;
    }
    us_aes_encrypt(aes, blocks);
    for (size_t i = 0; i < 4; i++) {
        const uint8_t *b = blocks + 4 * i;
        aes->hash[i] = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    }
    us_copy_bytes(aes->mask, blocks + 16, 16);
    us_forget(words, sizeof words);
    us_forget(blocks, sizeof blocks);
}

/* Adds one block to the hash of GCM, the last one filled up with zeros. */
US_FUNCTION void us_hash_block(const us_aes *aes, uint32_t sum[4], const uint8_t *bytes, size_t n) {
    uint32_t product[4] = {0}, power[4];
    for (unsigned i = 0; i < n && i < 16; i++) {
        sum[i / 4] ^= (uint32_t)bytes[i] << (24 - 8 * (i % 4));
    }
    for (size_t i = 0; i < 4; i++) {
        power[i] = aes->hash[i];
    }
    for (unsigned bit = 0; bit < 128; bit++) {
        const uint32_t chosen = 0u - (sum[bit / 32] >> (31 - bit % 32) & 1), carry = 0u - (power[3] & 1);
        for (size_t i = 0; i < 4; i++) {
            product[i] ^= chosen & power[i];
        }
        for (size_t i = 3; i > 0; i--) {
            power[i] = power[i] >> 1 | power[i - 1] << 31;
        }
        power[0] = power[0] >> 1 ^ (carry & 0xe1000000u);
    }
    for (size_t i = 0; i < 4; i++) {
        sum[i] = product[i];
    }
}

/* Decrypts n bytes whose tag stands behind them; nothing is written unless the tag is right. out may be bytes. */
US_FUNCTION int us_gcm_open(
    const uint8_t key[32],
    const uint8_t nonce[12],
    const uint8_t *associated,
    size_t associated_n,
    const uint8_t *bytes,
    size_t n,
    uint8_t *out
) {
    us_aes aes;
    uint32_t sum[4] = {0};
    uint8_t blocks[32];
    int right;
    us_aes_begin(&aes, key, nonce);
    for (size_t i = 0; i < associated_n; i += 16) {
        us_hash_block(&aes, sum, associated + i, associated_n - i);
    }
    for (size_t i = 0; i < n; i += 16) {
        us_hash_block(&aes, sum, bytes + i, n - i);
    }
    for (unsigned i = 0; i < 16; i++) {
        const uint64_t bits = 8 * (uint64_t)(i < 8 ? associated_n : n);
        blocks[i] = (uint8_t)(bits >> (56 - 8 * (i % 8)));
    }
    us_hash_block(&aes, sum, blocks, 16);
    for (unsigned i = 0; i < 16; i++) {
        blocks[i] = (uint8_t)((sum[i / 4] >> (24 - 8 * (i % 4))) ^ aes.mask[i]);
    }
    right = us_equal(blocks, bytes + n, US_ENVELOPE_TAG);
    for (size_t i = 0; right && i < n; i += 32) {
        for (unsigned k = 0; k < 32; k++) {
            const uint32_t counter = (uint32_t)(i / 16) + 2 + k / 16;
            blocks[k] = (uint8_t)(k % 16 < 12 ? nonce[k % 16] : counter >> (120 - 8 * (k % 16)));
        }
        us_aes_encrypt(&aes, blocks);
        for (size_t k = 0; k < 32 && i + k < n; k++) {
            out[i + k] = bytes[i + k] ^ blocks[k];
        }
    }
    us_forget(&aes, sizeof aes);
    us_forget(blocks, sizeof blocks);
    return right ? 0 : US_ERROR_ALTERED;
}

/* ---- the envelope: encryption 2 and 3 ---- */

/* Opens an envelope into `plain` and writes the number of bytes to `plain_n`; 0, or one of the errors above.
 *
 * `secret` is the 32 bytes of the device's private key. `digest` (32 bytes) and `name` are what the envelope must be of, or NULL.
 * Nothing is written to `plain` unless everything is right; `plain` must not overlap the envelope. */
US_FUNCTION int us_open(
    const uint8_t *envelope,
    size_t n,
    const uint8_t secret[32],
    const uint8_t *digest,
    const char *name,
    uint8_t *plain,
    size_t capacity,
    size_t *plain_n
) {
    static const uint8_t base[32] = {9}, zeros[32] = {0};
    static const char magic[8] = {'U', 'S', 'E', 'N', 'V', 'L', 'P', '1'}, purpose[] = "understudy envelope 1";
    uint8_t own[32], shared[32], key[32], info[21 + 64 + 1];
    us_sha256 sha;
    size_t recipients, fixed, header;
    const uint8_t *entry = NULL;
    int result;
    if (envelope == NULL || secret == NULL || plain == NULL || plain_n == NULL || n < US_ENVELOPE_FIXED) {
        return US_ERROR_ENVELOPE;
    }
    recipients = (size_t)envelope[84] | (size_t)envelope[85] << 8;
    fixed = US_ENVELOPE_FIXED + (size_t)envelope[86];
    header = fixed + US_ENVELOPE_RECIPIENT * recipients;
    if (!us_equal(envelope, (const uint8_t *)magic, 8) || recipients == 0 || envelope[86] == 0 || n > 0x1fffffffu ||
        n < header + US_ENVELOPE_TAG || (digest != NULL && !us_equal(envelope + 8, digest, 32))) {
        return US_ERROR_ENVELOPE;
    }
    for (size_t i = 0; name != NULL && i <= envelope[86]; i++) {
        if ((i < envelope[86] ? (char)envelope[US_ENVELOPE_FIXED + i] : 0) != name[i]) {
            return US_ERROR_ENVELOPE;
        }
    }
    n -= header + US_ENVELOPE_TAG;
    if (n > capacity) {
        return US_ERROR_CAPACITY;
    }
    us_x25519(own, secret, base);
    us_sha256_begin(&sha);
    us_sha256_add(&sha, own, 32);
    us_sha256_end(&sha, key);
    for (size_t i = 0; entry == NULL && i < recipients; i++) {
        const uint8_t *candidate = envelope + fixed + US_ENVELOPE_RECIPIENT * i;
        entry = us_equal(candidate, key, 8) ? candidate : NULL;
    }
    if (entry == NULL) {
        return US_ERROR_RECIPIENT;
    }
    us_x25519(shared, secret, envelope + 40);
    for (size_t i = 0; i < 21; i++) {
        info[i] = (uint8_t)purpose[i];
    }
    us_copy_bytes(info + 21, envelope + 40, 32);
    us_copy_bytes(info + 53, own, 32);
    info[85] = 1;
    us_hmac(envelope + 8, shared, 32, key);
    us_hmac(key, info, sizeof info, key);
    result = us_equal(shared, zeros, 32) ? US_ERROR_ALTERED : 0; /* a public key of small order */
    if (result == 0) {
        result = us_gcm_open(key, zeros, envelope, fixed, entry + 8, 32, shared);
    }
    if (result == 0) {
        result = us_gcm_open(shared, envelope + 72, envelope, header, envelope + header, n, plain);
    }
    if (result == 0) {
        *plain_n = n;
    }
    us_forget(shared, sizeof shared);
    us_forget(key, sizeof key);
    return result;
}

#endif
