// One layer's part of the paged cache: where a position's keys and values lie, written and read.
//
// A block is kBlockTokens positions.
// grouped-query  keys [num_kv_heads, head_dim, kBlockTokens], values [num_kv_heads, kBlockTokens, head_dim]:
//                keys lie transposed, so that one query meets a whole block in straight vector loads
// latent         [kBlockTokens, key_width]: the normed latent (the value), then the rotated key
#pragma once

#include "floats.h"

namespace native {

constexpr int64_t kBlockTokens = 64;

enum class CacheType : int32_t { BF16, E4M3, FP32 };

struct CacheShape {
    CacheType type;
    bool is_latent;
    int64_t num_kv_heads, key_width, value_width;

    int64_t block_size() const {
        return is_latent ? kBlockTokens * key_width : num_kv_heads * kBlockTokens * (key_width + value_width);
    }
};

NATIVE_INLINE void put(float x, float* cell) { *cell = x; }
NATIVE_INLINE void put(float x, uint16_t* cell) { *cell = to_bf16(x); }
NATIVE_INLINE void put(float x, uint8_t* cell) { *cell = to_e4m3(x); }

// Write one position. key [num_kv_heads, key_width], value [num_kv_heads, value_width]; latent: key alone.
template <class Stored>
void write_position(const CacheShape& shape, Stored* block, int64_t slot, const float* key, const float* value) {
    if (shape.is_latent) {
        for (int64_t i = 0; i < shape.key_width; ++i) put(key[i], block + slot * shape.key_width + i);
        return;
    }
    for (int64_t i = 0; i < shape.num_kv_heads * shape.key_width; ++i) put(key[i], block + i * kBlockTokens + slot);
    Stored* values = block + shape.num_kv_heads * shape.key_width * kBlockTokens;
    for (int64_t head = 0; head < shape.num_kv_heads; ++head)
        for (int64_t i = 0; i < shape.value_width; ++i)
            put(value[head * shape.value_width + i], values + (head * kBlockTokens + slot) * shape.value_width + i);
}

// What attention computes from: fp8 becomes bf16 in `scratch`, the others are used where they lie.
inline const float* computable(const float* stored, int64_t, uint16_t*) { return stored; }
inline const uint16_t* computable(const uint16_t* stored, int64_t, uint16_t*) { return stored; }
inline const uint16_t* computable(const uint8_t* stored, int64_t size, uint16_t* scratch) {
    for (int64_t i = 0; i < size; ++i) scratch[i] = e4m3_table.bf16[stored[i]];
    return scratch;
}

#if defined(__AVX512F__)
// 16 rows of 16 to their transpose: four rounds, each pairing row i with row i + 8, lane by lane.
NATIVE_INLINE void transpose_square(Floats* rows) {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    for (int round = 0; round < 4; ++round) {
        Floats paired[16];
        for (int i = 0; i < 8; ++i) {
            paired[2 * i] = (Floats)_mm512_permutex2var_ps((__m512)rows[i], low, (__m512)rows[i + 8]);
            paired[2 * i + 1] = (Floats)_mm512_permutex2var_ps((__m512)rows[i], high, (__m512)rows[i + 8]);
        }
        for (int i = 0; i < 16; ++i) rows[i] = paired[i];
    }
}
#endif

// A latent block's keys [kBlockTokens, width] as fp32 [width, kBlockTokens]; width is a multiple of 8.
template <class Element>
void transpose_block(const Element* block, int64_t width, float* out) {
    int64_t column = 0;
#if defined(__AVX512F__)
    for (; column + 16 <= width; column += 16)
        for (int64_t position = 0; position < kBlockTokens; position += 16) {
            Floats rows[16];
            for (int64_t i = 0; i < 16; ++i) rows[i] = load(block + (position + i) * width + column);
            transpose_square(rows);
            for (int64_t i = 0; i < 16; ++i) store(out + (column + i) * kBlockTokens + position, rows[i]);
        }
#endif
    for (; column + kFloats <= width; column += kFloats)
        for (int64_t position = 0; position < kBlockTokens; ++position) {
            const Floats row = load(block + position * width + column);
            for (int64_t i = 0; i < kFloats; ++i) out[(column + i) * kBlockTokens + position] = row[i];
        }
    for (; column < width; ++column)
        for (int64_t position = 0; position < kBlockTokens; ++position) {
            const Element cell[kFloats] = {block[position * width + column]};
            out[column * kBlockTokens + position] = load(cell)[0];
        }
}

}  // namespace native
