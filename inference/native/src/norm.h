// Row-wise functions between the matrix products: norms and the gated activation, fp32.
#pragma once

#include "floats.h"

namespace native {

// out = x / sqrt(mean(x^2) + eps) * weight; width is a multiple of 16. out may be x.
inline void rms_norm(const float* x, const float* weight, float eps, int64_t width, float* out) {
    Floats squares[4] = {};
    int64_t i = 0;
    for (; i + 4 * kFloats <= width; i += 4 * kFloats)
        for (int64_t j = 0; j < 4; ++j) {
            const Floats v = load(x + i + j * kFloats);
            squares[j] = fma(v, v, squares[j]);
        }
    for (; i < width; i += kFloats) {
        const Floats v = load(x + i);
        squares[0] = fma(v, v, squares[0]);
    }
    const float mean = sum_of((squares[0] + squares[1]) + (squares[2] + squares[3])) / static_cast<float>(width);
    const float scale = 1.0f / __builtin_sqrtf(mean + eps);
    for (i = 0; i < width; i += kFloats) store(out + i, load(x + i) * scale * load(weight + i));
}

// out = silu(gate) * up = gate / (1 + e^-gate) * up; size is a multiple of 16.
inline void silu_times(const float* gate, const float* up, int64_t size, float* out) {
    for (int64_t i = 0; i < size; i += kFloats) {
        const Floats x = load(gate + i);
        store(out + i, x / (exp_of(-x) + 1.0f) * load(up + i));
    }
}

inline void add(const float* x, int64_t size, float* sum) {
    for (int64_t i = 0; i < size; i += kFloats) store(sum + i, load(sum + i) + load(x + i));
}

inline void add_scaled(const float* x, float factor, int64_t size, float* sum) {
    for (int64_t i = 0; i < size; i += kFloats) store(sum + i, fma(load(x + i), splat(factor), load(sum + i)));
}

}  // namespace native
