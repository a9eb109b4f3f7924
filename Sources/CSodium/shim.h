#ifndef HYPERCONFORM_CSODIUM_SHIM_H
#define HYPERCONFORM_CSODIUM_SHIM_H

#include <sodium.h>
#include <string.h>

// crypto_generichash_state asks for 64-byte alignment, which Swift cannot import: multipart hashing is wrapped here.

/// BLAKE2b over `count` parts laid end to end; `key` may be NULL. Returns 0 on success.
static inline int hc_generichash_parts(
    unsigned char *out, size_t outlen, const unsigned char *const *parts, const size_t *lengths, size_t count,
    const unsigned char *key, size_t keylen
) {
    crypto_generichash_state state;
    if (crypto_generichash_init(&state, key, keylen, outlen) != 0) return -1;
    for (size_t i = 0; i < count; i++) {
        if (crypto_generichash_update(&state, parts[i], lengths[i]) != 0) return -1;
    }
    int result = crypto_generichash_final(&state, out, outlen);
    sodium_memzero(&state, sizeof state);
    return result;
}

/// HMAC (RFC 2104) over BLAKE2b-512 with its 128-byte block: noise.md section 5. `out` has 64 bytes.
static inline int hc_hmac_blake2b512(
    unsigned char *out, const unsigned char *key, size_t keylen, const unsigned char *m1, size_t m1len,
    const unsigned char *m2, size_t m2len
) {
    unsigned char block[128];
    unsigned char inner[64];
    crypto_generichash_state state;
    memset(block, 0, sizeof block);
    if (keylen > sizeof block) {
        if (crypto_generichash(block, 64, key, keylen, NULL, 0) != 0) return -1;
    } else if (keylen > 0) {
        memcpy(block, key, keylen);
    }
    for (size_t i = 0; i < sizeof block; i++) block[i] ^= 0x36;
    crypto_generichash_init(&state, NULL, 0, 64);
    crypto_generichash_update(&state, block, sizeof block);
    if (m1len > 0) crypto_generichash_update(&state, m1, m1len);
    if (m2len > 0) crypto_generichash_update(&state, m2, m2len);
    crypto_generichash_final(&state, inner, sizeof inner);
    for (size_t i = 0; i < sizeof block; i++) block[i] ^= 0x36 ^ 0x5c;
    crypto_generichash_init(&state, NULL, 0, 64);
    crypto_generichash_update(&state, block, sizeof block);
    crypto_generichash_update(&state, inner, sizeof inner);
    int result = crypto_generichash_final(&state, out, 64);
    sodium_memzero(block, sizeof block);
    sodium_memzero(inner, sizeof inner);
    sodium_memzero(&state, sizeof state);
    return result;
}

#endif
