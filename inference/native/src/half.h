// fp16 in plain integers, for processors without instructions for it and for packing.
#pragma once

#include <cstdint>
#include <cstring>

namespace native {

inline float half_to_float(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
    const uint32_t exponent = half >> 10 & 31;
    const uint32_t mantissa = half & 1023;
    float value;
    if (exponent == 0) {
        value = static_cast<float>(mantissa) * (1.0f / 16777216.0f);  // 2^-24
        uint32_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        bits |= sign;
        std::memcpy(&value, &bits, sizeof value);
        return value;
    }
    const uint32_t bits =
        sign | (exponent == 31 ? 0x7f800000 : (exponent + 112) << 23) | mantissa << 13;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// To the nearest, ties to even; what is too large becomes infinity, NaN stays NaN.
inline uint16_t float_to_half(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
    const uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return sign | 0x7e00;
    if (magnitude >= 0x47800000) return sign | 0x7c00;
    if (magnitude < 0x38800000) {  // below 2^-14: subnormal, in units of 2^-24
        float positive;
        std::memcpy(&positive, &magnitude, sizeof positive);
        const float shifted = positive * 16777216.0f + 12582912.0f;
        uint32_t rounded;
        std::memcpy(&rounded, &shifted, sizeof rounded);
        return sign | static_cast<uint16_t>(rounded - 0x4b400000);
    }
    const uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
    return sign | static_cast<uint16_t>((rounded >> 13) - (112 << 10));
}

}  // namespace native
