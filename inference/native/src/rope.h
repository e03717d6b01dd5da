// Rotary positions, for pairs of neighbouring dimensions.
#pragma once

#include <cmath>
#include <cstdint>

namespace native {

// Angles are made in fp64: in fp32 they are off by a hundredth of a radian at position 200,000.
struct Rotary {
    const double* frequencies;  // [dim / 2] radians per position, all stretching included
    int64_t dim;
    double magnitude;  // of every rotation

    // rotation  [dim / 2] pairs (cos, sin)
    void at(int64_t position, float* rotation) const {
        for (int64_t i = 0; i < dim / 2; ++i) {
            const double angle = static_cast<double>(position) * frequencies[i];
            rotation[2 * i] = static_cast<float>(magnitude * std::cos(angle));
            rotation[2 * i + 1] = static_cast<float>(magnitude * std::sin(angle));
        }
    }
};

// a * b + c, rounded once where the machine can. Spelled out, because GCC 12 fuses the pattern a * c - b * s,
// a * s + b * c in some of a function's copies and not in others, -ffp-contract=off or not.
inline float fused(float a, float b, float c) {
#if defined(__FMA__)
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

// x [num_heads] rows of `dim` values, `stride` apart: (a, b) -> (a cos - b sin, a sin + b cos), in place.
inline void rotate(float* x, int64_t num_heads, int64_t stride, int64_t dim, const float* rotation) {
    for (int64_t head = 0; head < num_heads; ++head) {
        float* row = x + head * stride;
        for (int64_t i = 0; i < dim; i += 2) {
            const float a = row[i], b = row[i + 1], c = rotation[i], s = rotation[i + 1];
            row[i] = fused(a, c, -(b * s));
            row[i + 1] = fused(a, s, b * c);
        }
    }
}

}  // namespace native
