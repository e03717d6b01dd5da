// Weights as the kernels read them: tiles of 16 rows, each one run of memory from its first column to its last.
#pragma once

#include <cstdint>

namespace native {

constexpr int64_t kTileRows = 16;

// A tile is a run of steps along the columns, each for 16 rows. A "quad" is 4 neighbouring columns of each of
// the 16 rows: 64 bytes, row by row. A group of 32 columns is 8 quads; as nibbles it is 4 vectors, the low ones
// of vector j being quad 2j, the high ones quad 2j + 1. Scales are fp16 unless told otherwise.
//   Q4K    256 columns, 2368 bytes: scale and minimum of 256; per group 16 bytes of scales and 16 of minimums;
//          8 groups of nibbles. weight = scale * group's scale * q - minimum * group's minimum
//   Q6K    256 columns, 3392 bytes: scale of 256 and 32 bytes unused; 16 signed bytes of scales per half group;
//          per group its low nibbles, then 2 vectors of upper pairs (quad j of a half at bits 2j).
//          weight = scale * half group's scale * (q - 32)
//   INT4   32 columns, 320 bytes: scales, offsets, nibbles. weight = scale * q + offset
//   INT4S  64 columns, 576 bytes: scales of both groups, nibbles of both. weight = scale * (q - 8)
//   INT8   64 columns, 1088 bytes: scales of both groups, 8 quads of bytes each. weight = scale * (q - 128)
//   BF16   2 columns, 64 bytes: both of row 0, of row 1 …
//   FP32   2 columns, 128 bytes: the first of each row, then the second
// A last step that is not full is padded; so are rows to whole tiles.
enum class Kind : int32_t { Q4K = 0, Q6K = 1, INT4 = 2, INT4S = 3, INT8 = 4, BF16 = 5, FP32 = 6 };

// `data` is aligned to 64 bytes. What an integer kind's scales and offsets give is to be multiplied by `factor`,
// a power of two that keeps small ones out of fp16's subnormal range. Integer kinds need num_columns % 32 == 0.
struct Matrix {
    Kind kind;
    float factor;
    int64_t num_rows;
    int64_t num_columns;
    const uint8_t* data;
};

struct Step {
    int64_t num_columns;
    int64_t num_bytes;
};

constexpr Step step_of(Kind kind) {
    switch (kind) {
        case Kind::Q4K: return {256, 2368};
        case Kind::Q6K: return {256, 3392};
        case Kind::INT4: return {32, 320};
        case Kind::INT4S: return {64, 576};
        case Kind::INT8: return {64, 1088};
        case Kind::BF16: return {2, 64};
        case Kind::FP32: return {2, 128};
    }
    return {2, 128};
}

constexpr int64_t tile_bytes(Kind kind, int64_t num_columns) {
    return (num_columns + step_of(kind).num_columns - 1) / step_of(kind).num_columns *
           step_of(kind).num_bytes;
}

constexpr int64_t num_tiles(int64_t num_rows) { return (num_rows + kTileRows - 1) / kTileRows; }

constexpr bool is_integer(Kind kind) { return kind < Kind::BF16; }

}  // namespace native
