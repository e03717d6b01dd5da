#include "rows.h"

#include <cmath>
#include <cstring>
#include <limits>

namespace native {
namespace {

constexpr int32_t kInfinityBits = 0x7f800000;
constexpr float kTiniest = 1e-30f;        // below it a group counts as zero: 127 / maximum must stay finite
constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to the nearest integer, ties to even
constexpr int32_t kRounderBits = 0x4b400000;

float largest_magnitude(const float* values) {
    int32_t largest = 0;
    for (int i = 0; i < kGroup; ++i) {
        int32_t bits;
        std::memcpy(&bits, values + i, sizeof bits);
        bits &= 0x7fffffff;  // magnitudes order as their bits do, and NaN comes above infinity
        largest = bits > largest ? bits : largest;
    }
    if (largest >= kInfinityBits) return std::numeric_limits<float>::quiet_NaN();
    float magnitude;
    std::memcpy(&magnitude, &largest, sizeof magnitude);
    return magnitude;
}

void round_group(const float* values, float inverse, int8_t* quantized) {
    for (int i = 0; i < kGroup; ++i) {
        const float shifted = values[i] * inverse + kRounder;
        int32_t bits;
        std::memcpy(&bits, &shifted, sizeof bits);
        quantized[i] = static_cast<int8_t>(bits - kRounderBits);
    }
}

int32_t sum_half(const int8_t* quantized) {
    int32_t sum = 0;
    for (int i = 0; i < kGroup / 2; ++i) sum += quantized[i];
    return sum;
}

}  // namespace

void quantize_row(const Rows& rows, int64_t row) {
    if (rows.width % kGroup == 0) quantize_columns(rows, row, 0, rows.width);
}

void quantize_columns(const Rows& rows, int64_t row, int64_t begin, int64_t end) {
    const int64_t num_groups = rows.width / kGroup;
    const float* values = rows.values + row * rows.stride;
    int8_t* quantized = rows.quantized + row * rows.width;
    float* scales = rows.scales + row * num_groups;
    float* sums = rows.sums + row * num_groups;
    int32_t* half_sums = rows.half_sums + row * num_groups * 2;
    for (int64_t group = begin / kGroup; group < end / kGroup; ++group) {
        const float largest = largest_magnitude(values + group * kGroup);
        const bool is_usable = largest > kTiniest;
        round_group(values + group * kGroup, is_usable ? 127.0f / largest : 0.0f, quantized + group * kGroup);
        const float scale = is_usable || std::isnan(largest) ? largest / 127.0f : 0.0f;
        const int32_t first = sum_half(quantized + group * kGroup);
        const int32_t second = sum_half(quantized + group * kGroup + kGroup / 2);
        scales[group] = scale;
        sums[group] = scale * static_cast<float>(first + second);
        half_sums[2 * group] = first;
        half_sums[2 * group + 1] = second;
    }
}

RowsBuffer::RowsBuffer(int64_t max_rows, int64_t max_width)
    : quantized_(max_rows * max_width),
      scales_(max_rows * (max_width / kGroup)),
      sums_(max_rows * (max_width / kGroup)),
      half_sums_(max_rows * (max_width / kGroup) * 2) {}

Rows RowsBuffer::over(const float* values, int64_t stride, int64_t num_rows, int64_t width) {
    return Rows{values,       stride,           quantized_.data(), scales_.data(),
                sums_.data(), half_sums_.data(), num_rows,          width};
}

}  // namespace native
