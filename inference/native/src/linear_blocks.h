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

// The products of `num_quads` quads with columns [column, …) of each of kTokens rows, a quad at a time for all
// rows: a processor sees that many independent sums at once. Weights reach 255 where `is_wide`, else 63.
template <int num_quads, int kTokens, bool is_wide = false>
inline void dot_quads(Int* products, const Int* quads, const Token* x, int64_t column) {
#pragma GCC unroll 8
    for (int token = 0; token < kTokens; ++token) products[token] = zero_int();
#pragma GCC unroll 8
    for (int j = 0; j < num_quads; ++j) {
#pragma GCC unroll 8
        for (int token = 0; token < kTokens; ++token) {
            const int8_t* const four = x[token].quantized + column + 4 * j;
            products[token] = is_wide ? dot(products[token], quads[j], four)
                                      : dot_small(products[token], quads[j], four);
        }
    }
}

inline void unpack_nibbles(const uint8_t* nibbles, Int* quads) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
        const Int bytes = load(nibbles + 64 * j);
        quads[2 * j] = low_nibbles(bytes);
        quads[2 * j + 1] = high_nibbles(bytes);
    }
}

// A group of integers with a scale and an offset each row, as every kind but Q6K has it in the end.
template <bool is_wide>
struct AffineGroup {
    static constexpr int64_t kColumns = kGroup;
    Int quads[8];
    Float scale, offset;

    template <int kTokens>
    void add(Float* sums, const Token* x, int64_t number) const {
        Int products[kTokens];
        dot_quads<8, kTokens, is_wide>(products, quads, x, number * kGroup);
#pragma GCC unroll 8
        for (int t = 0; t < kTokens; ++t) {
            const Float scaled = multiply(to_float(products[t]), broadcast(x[t].scales[number]));
            const Float sum = multiply_add(offset, broadcast(x[t].sums[number]), sums[t]);
            sums[t] = multiply_add(scaled, scale, sum);
        }
    }
};

// Head<kind>: what a step's blocks share. Block<kind>: block `index` of a step, for the kLanes rows from `part`
// on. Block::add adds its products with columns [number * kColumns, …) of kTokens rows to their sums.
template <Kind kind>
struct Head {
    Head(const uint8_t*, int) {}
};
template <Kind kind>
struct Block;

template <>
struct Head<Kind::Q4K> {
    Float scale, minus_minimum;
    Head(const uint8_t* step, int part)
        : scale(load_halves(step + 2 * part)),
          minus_minimum(multiply(load_halves(step + 32 + 2 * part), broadcast(-1.0f))) {}
};

template <>
struct Block<Kind::Q4K> : AffineGroup<false> {
    Block(const Head<Kind::Q4K>& head, const uint8_t* step, int64_t index, int part) {
        const uint8_t* const own = step + 64 + 32 * index + part;
        scale = multiply(to_float(load_unsigned(own)), head.scale);
        offset = multiply(to_float(load_unsigned(own + 16)), head.minus_minimum);
        unpack_nibbles(step + 320 + 256 * index + 4 * part, quads);
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

    template <int kTokens>
    void add(Float* sums, const Token* x, int64_t number) const {
#pragma GCC unroll 2
        for (int half = 0; half < 2; ++half) {
            Int products[kTokens];
            dot_quads<4, kTokens>(products, quads + 4 * half, x, number * kGroup + 16 * half);
#pragma GCC unroll 8
            for (int t = 0; t < kTokens; ++t) {
                const Int zero = shift_left<5>(broadcast_int(x[t].half_sums[2 * number + half]));
                const Float centred = to_float(subtract(products[t], zero));
                sums[t] = multiply_add(multiply(centred, broadcast(x[t].scales[number])), scales[half], sums[t]);
            }
        }
    }
};

template <>
struct Block<Kind::INT4> : AffineGroup<false> {
    Block(const Head<Kind::INT4>&, const uint8_t* step, int64_t, int part) {
        scale = load_halves(step + 2 * part);
        offset = load_halves(step + 32 + 2 * part);
        unpack_nibbles(step + 64 + 4 * part, quads);
    }
};

template <>
struct Block<Kind::INT4S> : AffineGroup<false> {
    Block(const Head<Kind::INT4S>&, const uint8_t* step, int64_t index, int part) {
        scale = load_halves(step + 32 * index + 2 * part);
        offset = multiply(scale, broadcast(-8.0f));
        unpack_nibbles(step + 64 + 256 * index + 4 * part, quads);
    }
};

template <>
struct Block<Kind::INT8> : AffineGroup<true> {
    Block(const Head<Kind::INT8>&, const uint8_t* step, int64_t index, int part) {
        scale = load_halves(step + 32 * index + 2 * part);
        offset = multiply(scale, broadcast(-128.0f));
#pragma GCC unroll 8
        for (int j = 0; j < 8; ++j) quads[j] = load(step + 64 + 512 * index + 64 * j + 4 * part);
    }
};

// Floats sum even and odd columns apart: two chains of additions wait for each other half as long.
struct PairSum {
    Float even, odd;
};

template <int kTokens>
inline void add_pairs(PairSum* sums, Float even, Float odd, const Token* x, int64_t number) {
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) {
        sums[t].even = multiply_add(even, broadcast(x[t].values[2 * number]), sums[t].even);
        sums[t].odd = multiply_add(odd, broadcast(x[t].values[2 * number + 1]), sums[t].odd);
    }
}

template <>
struct Block<Kind::BF16> {
    static constexpr int64_t kColumns = 2;
    Int pairs;

    Block(const Head<Kind::BF16>&, const uint8_t* step, int64_t, int part) : pairs(load(step + 4 * part)) {}

    Float even() const { return even_bf16(pairs); }

    template <int kTokens>
    void add(PairSum* sums, const Token* x, int64_t number) const {
        add_pairs<kTokens>(sums, even(), odd_bf16(pairs), x, number);
    }
};

template <>
struct Block<Kind::FP32> {
    static constexpr int64_t kColumns = 2;
    Float first, second;

    Block(const Head<Kind::FP32>&, const uint8_t* step, int64_t, int part)
        : first(as_floats(load(step + 4 * part))), second(as_floats(load(step + 64 + 4 * part))) {}

    Float even() const { return first; }

    template <int kTokens>
    void add(PairSum* sums, const Token* x, int64_t number) const {
        add_pairs<kTokens>(sums, first, second, x, number);
    }
};

// What a kind adds up in, and the total of it.
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

inline void clear(Float& sum) { sum = zero_float(); }
inline void clear(PairSum& sum) { sum = {zero_float(), zero_float()}; }
inline Float total(const Float& sum) { return sum; }
inline Float total(const PairSum& sum) { return add(sum.even, sum.odd); }

}  // namespace native
