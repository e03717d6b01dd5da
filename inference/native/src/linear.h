// Products of packed matrices with rows of activations.
//
// A row's result does not depend on the other rows of the call, nor on which thread or part computes it: every
// path adds up in the same order, so the same bits come out.
#pragma once

#include "matrix.h"
#include "rows.h"
#include "team.h"

namespace native {

// y[token][row] (+)= sum over k of W[row][k] * x[token][k], for `row` in [row_begin, row_end) in the calling
// thread alone; row_begin must be a multiple of 16. Rows of y are `y_stride` floats apart and y points to row 0
// of W. Integer kinds read the quantized side of x, the others its values.
void linear_range(const Matrix& matrix, const Rows& x, float* y, int64_t y_stride, bool accumulate,
                  int64_t row_begin, int64_t row_end);

// All rows, shared out over the team.
void linear(const Matrix& matrix, const Rows& x, float* y, int64_t y_stride, bool accumulate, Team& team);

// Several matrices of one width in one run of the team; the outputs lie side by side in y.
void linear(const Matrix* matrices, int64_t num_matrices, const Rows& x, float* y, int64_t y_stride,
            bool accumulate, Team& team);

}  // namespace native
