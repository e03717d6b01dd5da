// The loop over columns, for some tiles and some rows of activations at once.
#pragma once

#include <utility>

#include "linear_blocks.h"
#include "linear_part.h"

namespace native {

// A weight is read once per call, so that only its place in memory matters: fetching this far ahead of use
// brings more lines at once than the processor asks for by itself (measured with cold weights: 10 to 20 %).
constexpr int64_t kPrefetchBytes = 6144;

// Rows [part, part + kLanes) of one tile with kTokens rows of activations.
template <Kind kind, int kTokens>
inline void sum_columns(typename SumOf<kind>::Type* sums, const uint8_t* tile, int64_t num_columns,
                        const Token* x, int part) {
    constexpr Step kStep = step_of(kind);
    constexpr int64_t kBlocks = kStep.num_columns / Block<kind>::kColumns;
    constexpr int64_t kLines = (kStep.num_bytes / kBlocks + 63) / 64;
    const int64_t num_blocks = num_columns / Block<kind>::kColumns;
    const uint8_t* step = tile;
    for (int64_t first = 0; first < num_blocks; first += kBlocks, step += kStep.num_bytes) {
        const Head<kind> head(step, part);
        const int64_t here = num_blocks - first < kBlocks ? num_blocks - first : kBlocks;
        for (int64_t index = 0; index < here; ++index) {
            for (int64_t line = 0; line < kLines; ++line) {
                prefetch(step + kPrefetchBytes + (index * kLines + line) * 64);
            }
            Block<kind>(head, step, index, part).template add<kTokens>(sums, x, first + index);
        }
    }
    if constexpr (!is_integer(kind)) {
        if (num_columns % 2 == 0) return;
        const Block<kind> last(Head<kind>(step, part), step, 0, part);  // its odd column is padding
        for (int token = 0; token < kTokens; ++token) {
            const Float x_even = broadcast(x[token].values[2 * num_blocks]);
            sums[token].even = multiply_add(last.even(), x_even, sums[token].even);
        }
    }
}

template <Kind kind, int... tokens>
void multiply_tile(const Matrix& matrix, const Rows& x, const Output& output, int64_t tile, int64_t first_row,
                   std::integer_sequence<int, tokens...>) {
    constexpr int kTokens = sizeof...(tokens);
    const Token rows[kTokens] = {Token(x, first_row + tokens)...};
    const uint8_t* const data = matrix.data + tile * tile_bytes(kind, matrix.num_columns);
    for (int part = 0; part < kTileRows; part += kLanes) {
        const int64_t row = tile * kTileRows + part;
        if (row >= matrix.num_rows) return;
        typename SumOf<kind>::Type sums[kTokens];
        for (auto& sum : sums) clear(sum);
        sum_columns<kind, kTokens>(sums, data, matrix.num_columns, rows, part);
        for (int token = 0; token < kTokens; ++token) {
            Float sum = total(sums[token]);
            if (is_integer(kind)) sum = multiply(sum, broadcast(matrix.factor));
            float* const y = output.y + (first_row + token) * output.stride + row;
            store(y, sum, matrix.num_rows - row, output.accumulate);
        }
    }
}

// The last rows, at most kTokens of them.
template <Kind kind, int kTokens>
void multiply_rest(const Matrix& matrix, const Rows& x, const Output& output, int64_t tile, int64_t first_row,
                   int64_t num_rows) {
    if (num_rows == kTokens) {
        multiply_tile<kind>(matrix, x, output, tile, first_row, std::make_integer_sequence<int, kTokens>());
    } else if constexpr (kTokens > 1) {
        multiply_rest<kind, kTokens - 1>(matrix, x, output, tile, first_row, num_rows);
    }
}

template <Kind kind>
void multiply_range(const Matrix& matrix, const Rows& x, const Output& output, int64_t tile, int64_t end) {
    // As many rows of activations as stay in a core's cache beside a tile.
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
