// 32 columns (fewer for floats) of kLanes rows of a tile, unpacked once and multiplied with one row or several.
#pragma once

#include "matrix.h"
#include "rows.h"
#include "simd.h"

namespace native {

// One row of activations.
struct Token {
    const float* values;
    const int8_t* quantized;
    const float* scales;
    const float* sums;
    const float* half_sums;

    Token(const Rows& rows, int64_t row)
        : values(rows.values + row * rows.stride),
          quantized(rows.quantized + row * rows.width),
          scales(rows.scales + row * (rows.width / kGroup)),
          sums(rows.sums + row * (rows.width / kGroup)),
          half_sums(rows.half_sums + row * (rows.width / kGroup) * 2) {}
};

inline Int dot_quads(Int sum, const Int* quads, const int8_t* quantized, int num_quads) {
    for (int j = 0; j < num_quads; ++j) sum = dot(sum, quads[j], quantized + 4 * j);
    return sum;
}

inline void unpack_nibbles(const uint8_t* nibbles, Int* quads) {
    for (int j = 0; j < 4; ++j) {
        const Int bytes = load(nibbles + 64 * j);
        quads[2 * j] = low_nibbles(bytes);
        quads[2 * j + 1] = high_nibbles(bytes);
    }
}

// Block<kind>: `kColumns` per block, `part` the first of its kLanes rows within the tile; plus() adds the
// block's products with its columns of one row.
template <Kind kind>
struct Block;

template <>
struct Block<Kind::INT4> {
    static constexpr int64_t kColumns = kGroup;
    static constexpr int64_t kBytes = 320;
    Int quads[8];
    Float scale, offset;

    Block(const uint8_t* tile, int64_t block, int part) {
        const uint8_t* step = tile + block * kBytes;
        scale = load_halves(step + 2 * part);
        offset = load_halves(step + 32 + 2 * part);
        unpack_nibbles(step + 64 + 4 * part, quads);
    }

    Float plus(Float sum, const Token& x, int64_t block) const {
        const Int products = dot_quads(zero_int(), quads, x.quantized + block * kGroup, 8);
        sum = multiply_add(offset, broadcast(x.sums[block]), sum);
        return multiply_add(multiply(to_float(products), broadcast(x.scales[block])), scale, sum);
    }
};

template <>
struct Block<Kind::INT4S> {
    static constexpr int64_t kColumns = kGroup;
    static constexpr int64_t kBytes = 288;
    Int quads[8];
    Float scale;

    Block(const uint8_t* tile, int64_t block, int part) {
        const uint8_t* step = tile + block / 2 * 576;
        scale = load_halves(step + block % 2 * 32 + 2 * part);
        unpack_nibbles(step + 64 + block % 2 * 256 + 4 * part, quads);
    }

    Float plus(Float sum, const Token& x, int64_t block) const {
        const Int products = dot_quads(zero_int(), quads, x.quantized + block * kGroup, 8);
        const Float scaled = multiply(to_float(products), broadcast(x.scales[block]));
        const Float centred = multiply_subtract(scaled, broadcast(8.0f), broadcast(x.sums[block]));
        return multiply_add(centred, scale, sum);
    }
};

template <>
struct Block<Kind::INT6> {
    static constexpr int64_t kColumns = kGroup;
    static constexpr int64_t kBytes = 448;
    Int quads[8];
    Float scales[2];

    Block(const uint8_t* tile, int64_t block, int part) {
        const uint8_t* step = tile + block * kBytes;
        scales[0] = load_halves(step + 2 * part);
        scales[1] = load_halves(step + 32 + 2 * part);
        unpack_nibbles(step + 64 + 4 * part, quads);
        for (int half = 0; half < 2; ++half) {
            const Int pairs = load(step + 320 + 64 * half + 4 * part);
            Int* const mine = quads + 4 * half;
            mine[0] = with_upper_pair<0>(mine[0], pairs);
            mine[1] = with_upper_pair<1>(mine[1], pairs);
            mine[2] = with_upper_pair<2>(mine[2], pairs);
            mine[3] = with_upper_pair<3>(mine[3], pairs);
        }
    }

    Float plus(Float sum, const Token& x, int64_t block) const {
        const Float step = broadcast(x.scales[block]);
        for (int half = 0; half < 2; ++half) {
            const int8_t* quantized = x.quantized + block * kGroup + 16 * half;
            const Int products = dot_quads(zero_int(), quads + 4 * half, quantized, 4);
            const Float offset = broadcast(x.half_sums[2 * block + half]);
            const Float scaled = multiply(to_float(products), step);
            sum = multiply_add(multiply_subtract(scaled, broadcast(32.0f), offset), scales[half], sum);
        }
        return sum;
    }
};

template <>
struct Block<Kind::INT8> {
    static constexpr int64_t kColumns = kGroup;
    static constexpr int64_t kBytes = 544;
    Int quads[8];
    Float scale;

    Block(const uint8_t* tile, int64_t block, int part) {
        const uint8_t* step = tile + block / 2 * 1088;
        scale = load_halves(step + block % 2 * 32 + 2 * part);
        for (int j = 0; j < 8; ++j) quads[j] = load(step + 64 + block % 2 * 512 + 64 * j + 4 * part);
    }

    Float plus(Float sum, const Token& x, int64_t block) const {
        const Int products = dot_quads(zero_int(), quads, x.quantized + block * kGroup, 8);
        const Float scaled = multiply(to_float(products), broadcast(x.scales[block]));
        const Float centred = multiply_subtract(scaled, broadcast(128.0f), broadcast(x.sums[block]));
        return multiply_add(centred, scale, sum);
    }
};

template <>
struct Block<Kind::BF16> {
    static constexpr int64_t kColumns = 2;
    static constexpr int64_t kBytes = 64;
    Int pairs;

    Block(const uint8_t* tile, int64_t block, int part) : pairs(load(tile + block * kBytes + 4 * part)) {}

    Float plus(Float sum, const Token& x, int64_t block) const {
        sum = multiply_add(even_bf16(pairs), broadcast(x.values[2 * block]), sum);
        return multiply_add(odd_bf16(pairs), broadcast(x.values[2 * block + 1]), sum);
    }

    // The even column of a last block whose odd one is padding.
    Float plus_even(Float sum, const Token& x, int64_t block) const {
        return multiply_add(even_bf16(pairs), broadcast(x.values[2 * block]), sum);
    }
};

template <>
struct Block<Kind::FP32> {
    static constexpr int64_t kColumns = 1;
    static constexpr int64_t kBytes = 64;
    Float weights;

    Block(const uint8_t* tile, int64_t block, int part)
        : weights(as_floats(load(tile + block * kBytes + 4 * part))) {}

    Float plus(Float sum, const Token& x, int64_t block) const {
        return multiply_add(weights, broadcast(x.values[block]), sum);
    }
};

}  // namespace native
