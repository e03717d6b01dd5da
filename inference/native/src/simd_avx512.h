// AVX-512 with VNNI: the 16 rows of a tile are the lanes of one register.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace native {

constexpr const char* kInstructionSet = "avx512-vnni";
constexpr int kLanes = 16;
constexpr int kMaxTokens = 8;  // rows of activations that share one unpacking

using Int = __m512i;
using Float = __m512;

inline Int load(const uint8_t* bytes) { return _mm512_loadu_si512(bytes); }
inline Int zero_int() { return _mm512_setzero_si512(); }
inline Float zero_float() { return _mm512_setzero_ps(); }

inline Int low_nibbles(Int bytes) { return _mm512_and_si512(bytes, _mm512_set1_epi8(0x0f)); }
inline Int high_nibbles(Int bytes) { return low_nibbles(_mm512_srli_epi16(bytes, 4)); }

// Bits 2j and 2j + 1 of each byte of `pairs` above the nibbles.
template <int j>
inline Int with_upper_pair(Int nibbles, Int pairs) {
    const Int mask = _mm512_set1_epi8(0x30);
    const Int shifted = j < 2 ? _mm512_slli_epi16(pairs, 4 - 2 * (j < 2 ? j : 0))
                              : _mm512_srli_epi16(pairs, 2 * (j < 2 ? 2 : j) - 4);
    return _mm512_ternarylogic_epi32(nibbles, shifted, mask, 0xf8);  // nibbles | (shifted & mask)
}

// sum + the products of each lane's four unsigned bytes with the same four signed bytes.
inline Int dot(Int sum, Int quad, const int8_t* four) {
    int32_t word;
    std::memcpy(&word, four, sizeof word);
    return _mm512_dpbusd_epi32(sum, quad, _mm512_set1_epi32(word));
}

// The same for bytes below 128, which some processors multiply faster.
inline Int dot_small(Int sum, Int quad, const int8_t* four) { return dot(sum, quad, four); }

inline Int broadcast_int(int32_t value) { return _mm512_set1_epi32(value); }
inline Int subtract(Int a, Int b) { return _mm512_sub_epi32(a, b); }
template <int bits>
inline Int shift_left(Int integers) {
    return _mm512_slli_epi32(integers, bits);
}
// One signed or unsigned byte for each lane.
inline Int load_signed(const uint8_t* bytes) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
}
inline Int load_unsigned(const uint8_t* bytes) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
}

inline Float to_float(Int integers) { return _mm512_cvtepi32_ps(integers); }
inline Float load_halves(const uint8_t* halves) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(halves)));
}
inline Float as_floats(Int bits) { return _mm512_castsi512_ps(bits); }
inline Float even_bf16(Int pairs) { return as_floats(_mm512_slli_epi32(pairs, 16)); }
inline Float odd_bf16(Int pairs) { return as_floats(_mm512_and_si512(pairs, _mm512_set1_epi32(-65536))); }
inline Float broadcast(float value) { return _mm512_set1_ps(value); }
inline Float multiply(Float a, Float b) { return _mm512_mul_ps(a, b); }
inline Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
inline Float multiply_add(Float a, Float b, Float sum) { return _mm512_fmadd_ps(a, b, sum); }

// Writes the first `count` lanes, added to what is there where `accumulate`.
inline void store(float* y, Float value, int64_t count, bool accumulate) {
    const __mmask16 mask = count >= 16 ? 0xffff : static_cast<__mmask16>((1u << count) - 1);
    if (accumulate) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, y));
    _mm512_mask_storeu_ps(y, mask, value);
}

inline void prefetch(const uint8_t* bytes) {
    _mm_prefetch(reinterpret_cast<const char*>(bytes), _MM_HINT_T0);
}

}  // namespace native
