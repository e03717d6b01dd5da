// A few columns of kLanes rows of a tile, unpacked once and multiplied with one row of activations or several.
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
    const int32_t* half_sums;

    Token(const Rows& rows, int64_t row)
        : values(rows.values + row * rows.stride),
          quantized(rows.quantized + row * rows.width),
          scales(rows.scales + row * (rows.width / kGroup)),
          sums(rows.sums + row * (rows.width / kGroup)),
          half_sums(rows.half_sums + row * (rows.width / kGroup) * 2) {}
};

// sum + the products of `num_quads` quads with their columns.
template <int num_quads>
inline Int dot_quads(Int sum, const Int* quads, const int8_t* quantized) {
#pragma GCC unroll 8
    for (int j = 0; j < num_quads; ++j) sum = dot(sum, quads[j], quantized + 4 * j);
    return sum;
}

inline void unpack_nibbles(const uint8_t* nibbles, Int* quads) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
        const Int bytes = load(nibbles + 64 * j);
        quads[2 * j] = low_nibbles(bytes);
        quads[2 * j + 1] = high_nibbles(bytes);
    }
}

// The products of a group whose integers are 2^log2_zero too large.
template <int log2_zero>
inline Float centred_products(const Int* quads, const Token& x, int64_t group) {
    const Int products = dot_quads<8>(zero_int(), quads, x.quantized + group * kGroup);
    const Int sum = add(broadcast_int(x.half_sums[2 * group]), broadcast_int(x.half_sums[2 * group + 1]));
    return multiply(to_float(subtract(products, shift_left<log2_zero>(sum))), broadcast(x.scales[group]));
}

// Head<kind>: what a step's blocks share. Block<kind>: block `index` of a step, for the kLanes rows from `part`
// on; plus() adds its products with columns [number * kColumns, …) of one row of activations.
template <Kind kind>
struct Head {
    Head(const uint8_t*, int) {}
};
template <Kind kind>
struct Block;

template <>
struct Head<Kind::Q4K> {
    Float scale, minimum;
    Head(const uint8_t* step, int part)
        : scale(load_halves(step + 2 * part)), minimum(load_halves(step + 32 + 2 * part)) {}
};

template <>
struct Block<Kind::Q4K> {
    static constexpr int64_t kColumns = kGroup;
    Int quads[8];
    Float scale, minimum;

    Block(const Head<Kind::Q4K>& head, const uint8_t* step, int64_t index, int part) {
        const uint8_t* const own = step + 64 + 32 * index + part;
        scale = multiply(to_float(load_unsigned(own)), head.scale);
        minimum = multiply(to_float(load_unsigned(own + 16)), head.minimum);
        unpack_nibbles(step + 320 + 256 * index + 4 * part, quads);
    }

    Float plus(Float sum, const Token& x, int64_t number) const {
        const Int products = dot_quads<8>(zero_int(), quads, x.quantized + number * kGroup);
        sum = multiply_subtract(sum, minimum, broadcast(x.sums[number]));
        return multiply_add(multiply(to_float(products), broadcast(x.scales[number])), scale, sum);
    }
};

template <>
struct Head<Kind::Q6K> {
    Float scale;
    Head(const uint8_t* step, int part) : scale(load_halves(step + 2 * part)) {}
};

template <>
struct Block<Kind::Q6K> {
    static constexpr int64_t kColumns = kGroup;
    Int quads[8];
    Float scales[2];

    Block(const Head<Kind::Q6K>& head, const uint8_t* step, int64_t index, int part) {
        const uint8_t* const own = step + 64 + 32 * index + part;
        const uint8_t* const vectors = step + 320 + 384 * index + 4 * part;
        unpack_nibbles(vectors, quads);
#pragma GCC unroll 2
        for (int half = 0; half < 2; ++half) {
            scales[half] = multiply(to_float(load_signed(own + 16 * half)), head.scale);
            const Int pairs = load(vectors + 256 + 64 * half);
            Int* const mine = quads + 4 * half;
            mine[0] = with_upper_pair<0>(mine[0], pairs);
            mine[1] = with_upper_pair<1>(mine[1], pairs);
            mine[2] = with_upper_pair<2>(mine[2], pairs);
            mine[3] = with_upper_pair<3>(mine[3], pairs);
        }
    }

    Float plus(Float sum, const Token& x, int64_t number) const {
        const Float step = broadcast(x.scales[number]);
#pragma GCC unroll 2
        for (int half = 0; half < 2; ++half) {
            const int8_t* const quantized = x.quantized + number * kGroup + 16 * half;
            const Int products = dot_quads<4>(zero_int(), quads + 4 * half, quantized);
            const Int zero = shift_left<5>(broadcast_int(x.half_sums[2 * number + half]));
            sum = multiply_add(multiply(to_float(subtract(products, zero)), step), scales[half], sum);
        }
        return sum;
    }
};

template <>
struct Block<Kind::INT4> {
    static constexpr int64_t kColumns = kGroup;
    Int quads[8];
    Float scale, offset;

    Block(const Head<Kind::INT4>&, const uint8_t* step, int64_t, int part)
        : scale(load_halves(step + 2 * part)), offset(load_halves(step + 32 + 2 * part)) {
        unpack_nibbles(step + 64 + 4 * part, quads);
    }

    Float plus(Float sum, const Token& x, int64_t number) const {
        const Int products = dot_quads<8>(zero_int(), quads, x.quantized + number * kGroup);
        sum = multiply_add(offset, broadcast(x.sums[number]), sum);
        return multiply_add(multiply(to_float(products), broadcast(x.scales[number])), scale, sum);
    }
};

template <>
struct Block<Kind::INT4S> {
    static constexpr int64_t kColumns = kGroup;
    Int quads[8];
    Float scale;

    Block(const Head<Kind::INT4S>&, const uint8_t* step, int64_t index, int part)
        : scale(load_halves(step + 32 * index + 2 * part)) {
        unpack_nibbles(step + 64 + 256 * index + 4 * part, quads);
    }

    Float plus(Float sum, const Token& x, int64_t number) const {
        return multiply_add(centred_products<3>(quads, x, number), scale, sum);
    }
};

template <>
struct Block<Kind::INT8> {
    static constexpr int64_t kColumns = kGroup;
    Int quads[8];
    Float scale;

    Block(const Head<Kind::INT8>&, const uint8_t* step, int64_t index, int part)
        : scale(load_halves(step + 32 * index + 2 * part)) {
#pragma GCC unroll 8
        for (int j = 0; j < 8; ++j) quads[j] = load(step + 64 + 512 * index + 64 * j + 4 * part);
    }

    Float plus(Float sum, const Token& x, int64_t number) const {
        return multiply_add(centred_products<7>(quads, x, number), scale, sum);
    }
};

// Floats sum even and odd columns apart: two chains of additions wait for each other half as long.
struct PairSum {
    Float even, odd;
};

template <>
struct Block<Kind::BF16> {
    static constexpr int64_t kColumns = 2;
    Int pairs;

    Block(const Head<Kind::BF16>&, const uint8_t* step, int64_t, int part) : pairs(load(step + 4 * part)) {}
    Float even() const { return even_bf16(pairs); }
    Float odd() const { return odd_bf16(pairs); }
};

template <>
struct Block<Kind::FP32> {
    static constexpr int64_t kColumns = 2;
    Float first, second;

    Block(const Head<Kind::FP32>&, const uint8_t* step, int64_t, int part)
        : first(as_floats(load(step + 4 * part))), second(as_floats(load(step + 64 + 4 * part))) {}
    Float even() const { return first; }
    Float odd() const { return second; }
};

// What a kind adds up in, how a block is added, and the total.
inline Float zero_sum(Float) { return zero_float(); }
inline PairSum zero_sum(PairSum) { return {zero_float(), zero_float()}; }

template <Kind kind>
inline Float plus(const Block<kind>& block, Float sum, const Token& x, int64_t number) {
    return block.plus(sum, x, number);
}
template <Kind kind>
inline PairSum plus(const Block<kind>& block, const PairSum& sum, const Token& x, int64_t number) {
    return {multiply_add(block.even(), broadcast(x.values[2 * number]), sum.even),
            multiply_add(block.odd(), broadcast(x.values[2 * number + 1]), sum.odd)};
}

inline Float total(Float sum) { return sum; }
inline Float total(const PairSum& sum) { return add(sum.even, sum.odd); }

template <Kind kind>
struct SumOf {
    using Type = Float;
};
template <>
struct SumOf<Kind::BF16> {
    using Type = PairSum;
};
template <>
struct SumOf<Kind::FP32> {
    using Type = PairSum;
};

}  // namespace native
