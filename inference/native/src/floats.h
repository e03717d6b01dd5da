// Vectors of fp32 as wide as the machine's, and the few functions of them that a decoder step needs.
// GCC's vector extensions spell them for every machine; only the fused multiply-add is named per machine,
// because whether a compiler contracts a * b + c by itself depends on its flags.
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#pragma GCC diagnostic ignored "-Wpsabi"

namespace native {

#if defined(__AVX512F__)
constexpr int64_t kFloats = 16;
#elif defined(__AVX2__)
constexpr int64_t kFloats = 8;
#else
constexpr int64_t kFloats = 4;
#endif

typedef float Floats __attribute__((vector_size(kFloats * 4)));
typedef int32_t Ints __attribute__((vector_size(kFloats * 4)));
typedef uint32_t Words __attribute__((vector_size(kFloats * 4)));
typedef uint16_t Halves __attribute__((vector_size(kFloats * 2)));
#define NATIVE_INLINE inline __attribute__((always_inline))

NATIVE_INLINE Floats splat(float x) { return Floats{} + x; }

NATIVE_INLINE Floats load(const float* p) {
    Floats v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

// bf16 is fp32's upper half.
NATIVE_INLINE Floats load(const uint16_t* p) {
    Halves h;
    std::memcpy(&h, p, sizeof h);
    return (Floats)(__builtin_convertvector(h, Ints) << 16);
}

NATIVE_INLINE void store(float* p, Floats v) { std::memcpy(p, &v, sizeof v); }

// a * b + c, rounded once where the machine can.
NATIVE_INLINE Floats fma(Floats a, Floats b, Floats c) {
#if defined(__AVX512F__)
    return (Floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
    return (Floats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}

// The greater of two; b where one is not a number.
NATIVE_INLINE Floats greater(Floats a, Floats b) { return a > b ? a : b; }

// Sum and greatest of the lanes, halves first: an order of its own, the same on every call.
#if defined(__AVX512F__)
NATIVE_INLINE float sum_of(Floats v) { return _mm512_reduce_add_ps((__m512)v); }
NATIVE_INLINE float greatest_of(Floats v) { return _mm512_reduce_max_ps((__m512)v); }
#else
template <class Combine>
NATIVE_INLINE float reduce(Floats v, Combine&& combine) {
    float lane[kFloats];
    std::memcpy(lane, &v, sizeof v);
    for (int64_t half = kFloats / 2; half > 0; half /= 2)
        for (int64_t i = 0; i < half; ++i) lane[i] = combine(lane[i], lane[i + half]);
    return lane[0];
}
NATIVE_INLINE float sum_of(Floats v) {
    return reduce(v, [](float a, float b) { return a + b; });
}
NATIVE_INLINE float greatest_of(Floats v) {
    return reduce(v, [](float a, float b) { return a > b ? a : b; });
}
#endif

// e^x to about 2 units in the last place, 0 below -87, e^88 above 88; what is not a number stays so.
// x = n ln 2 + r with |r| <= ln 2 / 2: 2^n goes into the exponent, e^r is Cephes' polynomial.
NATIVE_INLINE Floats exp_of(Floats x) {
    const Floats clipped = x > 88.0f ? splat(88.0f) : x;
    const Floats shifted = fma(clipped, splat(1.44269504088896341f), splat(12582912.0f));  // 1.5 * 2^23 rounds
    const Floats n = shifted - 12582912.0f;
    Floats r = fma(n, splat(-0.693359375f), clipped);
    r = fma(n, splat(2.12194440e-4f), r);
    Floats p = splat(1.9875691500e-4f);
    p = fma(p, r, splat(1.3981999507e-3f));
    p = fma(p, r, splat(8.3334519073e-3f));
    p = fma(p, r, splat(4.1665795894e-2f));
    p = fma(p, r, splat(1.6666665459e-1f));
    p = fma(p, r, splat(5.0000001201e-1f));
    p = fma(p, r * r, r) + 1.0f;
    const Words power = ((Words)shifted - 0x4B400000u + 127u) << 23;  // of a number below -87: any, unused
    const Floats result = p * (Floats)power;
    return x < -87.0f ? splat(0.0f) : result;
}

// To the nearest bf16, ties to even; NaN stays NaN.
inline uint16_t to_bf16(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    if (x != x) return static_cast<uint16_t>((bits >> 16) | 0x40);
    return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

// To the nearest fp8 e4m3 (bias 7, no infinities, 0x7F is NaN), ties to even. Beyond 448 it stays at 448, but
// infinity becomes NaN: what is not finite must stay visible.
inline uint8_t to_e4m3(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    const uint8_t sign = static_cast<uint8_t>((bits >> 24) & 0x80);
    const uint32_t magnitude = bits & 0x7FFFFFFF;
    if (magnitude >= 0x7F800000) return sign | 0x7F;
    if (magnitude >= 0x43E00000) return sign | 0x7E;  // 448
    if (magnitude < 0x3C800000) {                     // below 2^-6: steps of 2^-9
        float absolute;
        std::memcpy(&absolute, &magnitude, sizeof absolute);
        const float rounded = absolute * 512.0f + 8388608.0f;
        uint32_t steps;
        std::memcpy(&steps, &rounded, sizeof steps);
        return sign | static_cast<uint8_t>(steps & 0xFF);
    }
    const uint32_t rounded = magnitude + 0x7FFFF + ((magnitude >> 20) & 1);
    return sign | static_cast<uint8_t>((rounded >> 20) - (120 << 3));
}

// fp8 e4m3 as bf16, exactly.
inline uint16_t bf16_of_e4m3(uint8_t x) {
    const uint16_t sign = static_cast<uint16_t>((x & 0x80) << 8);
    const uint16_t rest = x & 0x7F;
    if (rest == 0x7F) return sign | 0x7FC0;
    if (rest >= 8) return sign | static_cast<uint16_t>((rest << 4) + (120 << 7));
    return sign | to_bf16(static_cast<float>(rest) * 0.001953125f);  // rest / 512
}

// The bf16 of every fp8 number: converting a block is a look-up per value.
struct E4m3Table {
    uint16_t bf16[256];
    E4m3Table() {
        for (int i = 0; i < 256; ++i) bf16[i] = bf16_of_e4m3(static_cast<uint8_t>(i));
    }
};
inline const E4m3Table e4m3_table;

}  // namespace native
