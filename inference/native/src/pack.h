// Weights from rows of plain numbers into tiles.
#pragma once

#include <cstdint>

#include "matrix.h"

namespace native {

// Rows [row, row + num_rows) of a matrix whose tiles start at `data`. Rows may be packed in any order and runs
// of any length, but no two calls at once may share a tile.
struct Place {
    Kind kind;
    int64_t row;
    int64_t num_rows;
    int64_t num_columns;
    uint8_t* data;
};

// The stored integers [num_rows, num_columns] plus `shift`, which makes them unsigned as `kind` wants them.
void pack_integers(const Place& place, const uint8_t* integers, int shift);

// Scales and offsets [num_rows, num_columns / group], times `factor`, as fp16; `offsets` for INT4 only, and
// group is 16 for INT6, else 32.
void pack_scales(const Place& place, const float* scales, const float* offsets, float factor);

// fp32 [num_rows, num_columns] for the float kinds.
void pack_floats(const Place& place, const float* values);

}  // namespace native
