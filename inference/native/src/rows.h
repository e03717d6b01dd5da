// Activations of several tokens, as fp32 and as 8-bit integers in groups of 32 for integer matrices.
#pragma once

#include <cstdint>
#include <vector>

namespace native {

constexpr int64_t kGroup = 32;

// A view; whoever made the buffers keeps them.
struct Rows {
    const float* values;  // [num_rows] rows, `stride` floats apart
    int64_t stride;
    int8_t* quantized;   // [num_rows, width]: value = quantized * scale; only where width % 32 == 0, as below
    float* scales;       // [num_rows, width / 32]
    float* sums;         // [num_rows, width / 32]: scale * sum of the group's quantized
    int32_t* half_sums;  // [num_rows, width / 16]: sum of quantized over each half of a group
    int64_t num_rows;
    int64_t width;
};

// Fills the integer side of one row; does nothing where the width is no multiple of 32. A group that holds a
// value that is not finite gets the scale NaN, so that the fault shows in every product. May run on many rows
// at once in different threads.
void quantize_row(const Rows& rows, int64_t row);
// The same for columns [begin, end) of it, both multiples of 32.
void quantize_columns(const Rows& rows, int64_t row, int64_t begin, int64_t end);

// Owns the integer side for up to `max_rows` rows of up to `max_width`.
class RowsBuffer {
  public:
    RowsBuffer(int64_t max_rows, int64_t max_width);
    // `values` in this buffer's integers, not yet quantized: call quantize_row for each row.
    Rows over(const float* values, int64_t stride, int64_t num_rows, int64_t width);

  private:
    std::vector<int8_t> quantized_;
    std::vector<float> scales_, sums_;
    std::vector<int32_t> half_sums_;
};

}  // namespace native
