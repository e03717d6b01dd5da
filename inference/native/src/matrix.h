// Weights as the kernels read them: tiles of 16 rows, each one run of memory from its first column to its last.
#pragma once

#include <cstdint>

namespace native {

constexpr int64_t kTileRows = 16;

// Within a tile, per step along the columns, for 16 rows each ("quad": 4 neighbouring columns of each of the
// 16 rows, 64 bytes, row by row; a value's low nibble comes from one quad, its high nibble from the next):
//   INT4   32 columns, 320 bytes: fp16 scales, fp16 offsets, 4 vectors of nibbles; weight = scale * q + offset
//   INT4S  64 columns, 576 bytes: fp16 scales twice, 8 vectors of nibbles; weight = scale * (q - 8)
//   INT6   32 columns, 448 bytes: fp16 scales of each half, 4 vectors of low nibbles, 2 of upper pairs (quad j
//          of a half at bits 2j); weight = scale * (q - 32)
//   INT8   64 columns, 1088 bytes: fp16 scales twice, 16 quads of bytes; weight = scale * (q - 128)
//   BF16   2 columns, 64 bytes: both of row 0, of row 1 …
//   FP32   1 column, 64 bytes
// A last step that is not full is padded; so are rows to whole tiles.
enum class Kind : int32_t { INT4 = 0, INT4S = 1, INT6 = 2, INT8 = 3, BF16 = 4, FP32 = 5 };

// `data` is aligned to 64 bytes. Scales and offsets of integer kinds count `factor`, a power of two that keeps
// small ones out of fp16's subnormal range. Integer kinds need num_columns % 32 == 0.
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
        case Kind::INT4: return {32, 320};
        case Kind::INT4S: return {64, 576};
        case Kind::INT6: return {32, 448};
        case Kind::INT8: return {64, 1088};
        case Kind::BF16: return {2, 64};
        case Kind::FP32: return {1, 64};
    }
    return {1, 64};
}

constexpr int64_t tile_bytes(Kind kind, int64_t num_columns) {
    return (num_columns + step_of(kind).num_columns - 1) / step_of(kind).num_columns *
           step_of(kind).num_bytes;
}

constexpr int64_t num_tiles(int64_t num_rows) { return (num_rows + kTileRows - 1) / kTileRows; }

inline bool is_integer(Kind kind) { return kind < Kind::BF16; }

}  // namespace native
