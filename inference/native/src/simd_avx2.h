// AVX2 with FMA and F16C: half a tile's rows are the lanes of one register.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace native {

constexpr const char* kInstructionSet = "avx2";
constexpr int kLanes = 8;
constexpr int kMaxTokens = 4;

using Int = __m256i;
using Float = __m256;

inline Int load(const uint8_t* bytes) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes)); }
inline Int zero_int() { return _mm256_setzero_si256(); }
inline Float zero_float() { return _mm256_setzero_ps(); }

inline Int low_nibbles(Int bytes) { return _mm256_and_si256(bytes, _mm256_set1_epi8(0x0f)); }
inline Int high_nibbles(Int bytes) { return low_nibbles(_mm256_srli_epi16(bytes, 4)); }

// Bits 2j and 2j + 1 of each byte of `pairs` above the nibbles.
template <int j>
inline Int with_upper_pair(Int nibbles, Int pairs) {
    const Int shifted = j < 2 ? _mm256_slli_epi16(pairs, 4 - 2 * (j < 2 ? j : 0))
                              : _mm256_srli_epi16(pairs, 2 * (j < 2 ? 2 : j) - 4);
    return _mm256_or_si256(nibbles, _mm256_and_si256(shifted, _mm256_set1_epi8(0x30)));
}

// sum + the products of each lane's four unsigned bytes with the same four signed bytes.
inline Int dot(Int sum, Int quad, const int8_t* four) {
    int32_t word;
    std::memcpy(&word, four, sizeof word);
    const Int x = _mm256_set1_epi32(word);
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
    return _mm256_dpbusd_epi32(sum, quad, x);
#elif defined(__AVXVNNI__)
    return _mm256_dpbusd_avx_epi32(sum, quad, x);
#else
    // Bytes to 16 bits first: two products of a full byte with a signed one overflow what maddubs holds.
    const Int even = _mm256_and_si256(quad, _mm256_set1_epi16(0x00ff));
    const Int odd = _mm256_srli_epi16(quad, 8);
    const Int x_even = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8);
    const Int x_odd = _mm256_srai_epi16(x, 8);
    const Int products = _mm256_add_epi32(_mm256_madd_epi16(even, x_even), _mm256_madd_epi16(odd, x_odd));
    return _mm256_add_epi32(sum, products);
#endif
}

// The same for bytes below 128.
inline Int dot_small(Int sum, Int quad, const int8_t* four) {
#if defined(__AVXVNNI__) || (defined(__AVX512VNNI__) && defined(__AVX512VL__))
    return dot(sum, quad, four);
#else
    int32_t word;
    std::memcpy(&word, four, sizeof word);
    const Int pairs = _mm256_maddubs_epi16(quad, _mm256_set1_epi32(word));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
#endif
}

inline Int broadcast_int(int32_t value) { return _mm256_set1_epi32(value); }
inline Int subtract(Int a, Int b) { return _mm256_sub_epi32(a, b); }
template <int bits>
inline Int shift_left(Int integers) {
    return _mm256_slli_epi32(integers, bits);
}
// One signed or unsigned byte for each lane.
inline Int load_signed(const uint8_t* bytes) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes)));
}
inline Int load_unsigned(const uint8_t* bytes) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes)));
}

inline Float to_float(Int integers) { return _mm256_cvtepi32_ps(integers); }
inline Float load_halves(const uint8_t* halves) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(halves)));
}
inline Float as_floats(Int bits) { return _mm256_castsi256_ps(bits); }
inline Float even_bf16(Int pairs) { return as_floats(_mm256_slli_epi32(pairs, 16)); }
inline Float odd_bf16(Int pairs) { return as_floats(_mm256_and_si256(pairs, _mm256_set1_epi32(-65536))); }
inline Float broadcast(float value) { return _mm256_set1_ps(value); }
inline Float multiply(Float a, Float b) { return _mm256_mul_ps(a, b); }
inline Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
inline Float multiply_add(Float a, Float b, Float sum) { return _mm256_fmadd_ps(a, b, sum); }

// Writes the first `count` lanes, added to what is there where `accumulate`.
inline void store(float* y, Float value, int64_t count, bool accumulate) {
    float lanes[kLanes];
    _mm256_storeu_ps(lanes, value);
    for (int64_t i = 0; i < kLanes && i < count; ++i) y[i] = accumulate ? lanes[i] + y[i] : lanes[i];
}

inline void prefetch(const uint8_t* bytes) {
    _mm_prefetch(reinterpret_cast<const char*>(bytes), _MM_HINT_T0);
}

}  // namespace native
