// Weights from rows of plain numbers, or of a model file's own blocks, into tiles.
#pragma once

#include <cstdint>

#include "matrix.h"

namespace native {

// Rows [row, row + num_rows) of a matrix whose tiles start at `data`. Runs of rows may have any length and come
// in any order; several threads may pack rows of one tile, since no two rows share a byte.
struct Place {
    Kind kind;
    int64_t row;
    int64_t num_rows;
    int64_t num_columns;
    uint8_t* data;
};

// The integers [num_rows, num_columns] plus `shift`, which makes them unsigned as INT4, INT4S and INT8 want them.
void pack_integers(const Place& place, const uint8_t* integers, int shift);

// Scales and offsets [num_rows, num_columns / 32], times `factor`, as fp16; `offsets` for INT4 only.
void pack_scales(const Place& place, const float* scales, const float* offsets, float factor);

// fp32 [num_rows, num_columns] for the float kinds.
void pack_floats(const Place& place, const float* values);

// GGUF's blocks of the one format that `kind` keeps exactly: Q4K from Q4_K, Q6K from Q6_K, INT4 from Q4_1, INT4S
// from Q4_0, INT8 from Q8_0; the matrix's factor is 1. Row i is stored at order[i], or at i where `order` is null.
void pack_stored(const Place& place, const uint8_t* stored, const int64_t* order);

}  // namespace native
