// The loop over columns, for some tiles and some rows of activations at once.
#pragma once

#include "linear_blocks.h"
#include "linear_part.h"

namespace native {

// Tiles [first_tile, first_tile + kStreams) with rows [first_row, first_row + kTokens).
template <Kind kind, int kStreams, int kTokens>
void multiply_tiles(const Matrix& matrix, const Rows& x, const Output& output, int64_t first_tile,
                    int64_t first_row) {
    const int64_t bytes = tile_bytes(kind, matrix.num_columns);
    const int64_t num_blocks = matrix.num_columns / Block<kind>::kColumns;
    const uint8_t* const tiles = matrix.data + first_tile * bytes;
    for (int part = 0; part < kTileRows; part += kLanes) {
        Float sums[kStreams][kTokens];
        for (auto& stream : sums) {
            for (Float& sum : stream) sum = zero_float();
        }
        for (int64_t block = 0; block < num_blocks; ++block) {
#pragma GCC unroll 8
            for (int stream = 0; stream < kStreams; ++stream) {
                const Block<kind> weights(tiles + stream * bytes, block, part);
#pragma GCC unroll 8
                for (int token = 0; token < kTokens; ++token) {
                    sums[stream][token] =
                        weights.plus(sums[stream][token], Token(x, first_row + token), block);
                }
            }
        }
        for (int stream = 0; stream < kStreams; ++stream) {
            const int64_t row = (first_tile + stream) * kTileRows + part;
            for (int token = 0; token < kTokens; ++token) {
                Float sum = sums[stream][token];
                if constexpr (kind == Kind::BF16) {
                    if (matrix.num_columns % 2 != 0) {
                        const Block<kind> last(tiles + stream * bytes, num_blocks, part);
                        sum = last.plus_even(sum, Token(x, first_row + token), num_blocks);
                    }
                }
                if (is_integer(kind)) sum = multiply(sum, broadcast(matrix.factor));
                float* const y = output.y + (first_row + token) * output.stride + row;
                if (row < matrix.num_rows) store(y, sum, matrix.num_rows - row, output.accumulate);
            }
        }
    }
}

// The remaining `num_rows` < kTokens + 1 rows of one tile.
template <Kind kind, int kTokens>
void multiply_rest(const Matrix& matrix, const Rows& x, const Output& output, int64_t tile, int64_t first_row,
                   int64_t num_rows) {
    if (num_rows == kTokens) {
        multiply_tiles<kind, 1, kTokens>(matrix, x, output, tile, first_row);
    } else if constexpr (kTokens > 1) {
        multiply_rest<kind, kTokens - 1>(matrix, x, output, tile, first_row, num_rows);
    }
}

template <Kind kind>
void multiply_range(const Matrix& matrix, const Rows& x, const Output& output, int64_t tile, int64_t end) {
    if (x.num_rows == 1) {
        for (; tile + kMaxStreams <= end; tile += kMaxStreams) {
            multiply_tiles<kind, kMaxStreams, 1>(matrix, x, output, tile, 0);
        }
        for (; tile < end; ++tile) multiply_tiles<kind, 1, 1>(matrix, x, output, tile, 0);
        return;
    }
    constexpr int64_t kRowsInCache = 64;
    for (int64_t first = 0; first < x.num_rows; first += kRowsInCache) {
        const int64_t last = first + kRowsInCache < x.num_rows ? first + kRowsInCache : x.num_rows;
        for (int64_t at = tile; at < end; ++at) {
            for (int64_t row = first; row < last; row += kMaxTokens) {
                const int64_t num_rows = last - row < kMaxTokens ? last - row : kMaxTokens;
                multiply_rest<kind, kMaxTokens>(matrix, x, output, at, row, num_rows);
            }
        }
    }
}

}  // namespace native
