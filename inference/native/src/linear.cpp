// Which kernel computes a product, and how its rows are shared out.
#include "linear.h"

#include <algorithm>

#include "linear_part.h"

namespace native {
namespace {

// Enough work to outweigh taking a chunk, little enough that threads finish together. Two tiles at least share
// the reading of many rows of activations.
constexpr int64_t kProductsPerChunk = 1 << 16;
constexpr int64_t kLeastRows = 2 * kTileRows;

int64_t rows_per_chunk(const Matrix& matrix, int64_t num_tokens) {
    return std::max<int64_t>(kProductsPerChunk / (matrix.num_columns * num_tokens * kLeastRows), 1) * kLeastRows;
}

}  // namespace

void linear_range(const Matrix& matrix, const Rows& x, float* y, int64_t y_stride, bool accumulate,
                  int64_t row_begin, int64_t row_end) {
    const Output output{y, y_stride, accumulate};
    const int64_t tile = row_begin / kTileRows;
    const int64_t end = num_tiles(row_end);
    switch (matrix.kind) {
        case Kind::Q4K: return multiply_range<Kind::Q4K>(matrix, x, output, tile, end);
        case Kind::Q6K: return multiply_range<Kind::Q6K>(matrix, x, output, tile, end);
        case Kind::INT4: return multiply_range<Kind::INT4>(matrix, x, output, tile, end);
        case Kind::INT4S: return multiply_range<Kind::INT4S>(matrix, x, output, tile, end);
        case Kind::INT8: return multiply_range<Kind::INT8>(matrix, x, output, tile, end);
        case Kind::BF16: return multiply_range<Kind::BF16>(matrix, x, output, tile, end);
        case Kind::FP32: return multiply_range<Kind::FP32>(matrix, x, output, tile, end);
    }
}

void linear(const Matrix& matrix, const Rows& x, float* y, int64_t y_stride, bool accumulate, Team& team) {
    linear(&matrix, 1, x, y, y_stride, accumulate, team);
}

void linear(const Matrix* matrices, int64_t num_matrices, const Rows& x, float* y, int64_t y_stride,
            bool accumulate, Team& team) {
    if (x.num_rows == 0) return;
    int64_t num_chunks = 0;
    for (int64_t i = 0; i < num_matrices; ++i) {
        const int64_t step = rows_per_chunk(matrices[i], x.num_rows);
        num_chunks += (matrices[i].num_rows + step - 1) / step;
    }
    team.run(num_chunks, [&](int64_t chunk, int) {
        float* at = y;
        for (int64_t i = 0; i < num_matrices; ++i) {
            const Matrix& matrix = matrices[i];
            const int64_t step = rows_per_chunk(matrix, x.num_rows);
            const int64_t here = (matrix.num_rows + step - 1) / step;
            if (chunk < here) {
                const int64_t end = std::min((chunk + 1) * step, matrix.num_rows);
                return linear_range(matrix, x, at, y_stride, accumulate, chunk * step, end);
            }
            chunk -= here;
            at += matrix.num_rows;
        }
    });
}

}  // namespace native
