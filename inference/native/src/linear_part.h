// One thread's part of a product: what the files of kernels give to linear.cpp.
#pragma once

#include "matrix.h"
#include "rows.h"

namespace native {

// Where results go: row t of the activations to y + t * stride, at the matrix's row numbers.
struct Output {
    float* y;
    int64_t stride;
    bool accumulate;
};

// Tiles [tile, end) with all rows of x.
template <Kind kind>
void multiply_range(const Matrix& matrix, const Rows& x, const Output& output, int64_t tile, int64_t end);

}  // namespace native
