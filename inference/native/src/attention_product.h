// Small matrix products of attention: fp32 rows times a block of the cache, in fp32.
#pragma once

#include "floats.h"

namespace native {

#if defined(__AVX512F__)
constexpr int kTileQueries = 6, kTileVectors = 4;  // 24 sums, 4 vectors of b and 1 of a in 32 registers
#else
constexpr int kTileQueries = 4, kTileVectors = 2;
#endif

// b, and where the matrix lies that comes after it: its lines are asked for on the way, one for one, because the
// processor's own guess ends where the cache's blocks do. Null: nothing comes after it.
template <class Element>
struct Block {
    const Element* values;
    const Element* next;
    int64_t stride;

    Block columns_from(int64_t column) const {
        return Block{values + column, next == nullptr ? nullptr : next + column, stride};
    }
};

// c[i][j] = kept[i] * c[i][j] + sum over k of a[i][k] * b[k][j], or the sum alone where `kept` is null; k ascending
// whatever the tile: a row's bits depend on it alone.
template <int ROWS, int VECTORS, bool FETCHES, class Element>
inline void multiply_tile(const float* a, int64_t a_stride, int64_t depth, const Block<Element>& b, float* c,
                          int64_t c_stride, const float* kept) {
    constexpr int64_t kLine = 64 / sizeof(Element);
    Floats sums[ROWS][VECTORS];
    for (int i = 0; i < ROWS; ++i)
        for (int j = 0; j < VECTORS; ++j)
            sums[i][j] = kept != nullptr ? load(c + i * c_stride + j * kFloats) * kept[i] : Floats{};
    for (int64_t k = 0; k < depth; ++k) {
        if constexpr (FETCHES)
            for (int64_t j = 0; j < VECTORS * kFloats; j += kLine)
                __builtin_prefetch(b.next + k * b.stride + j, 0, 2);
        Floats columns[VECTORS];
        for (int j = 0; j < VECTORS; ++j) columns[j] = load(b.values + k * b.stride + j * kFloats);
        for (int i = 0; i < ROWS; ++i) {
            const Floats weight = splat(a[i * a_stride + k]);
            for (int j = 0; j < VECTORS; ++j) sums[i][j] = fma(weight, columns[j], sums[i][j]);
        }
    }
    for (int i = 0; i < ROWS; ++i)
        for (int j = 0; j < VECTORS; ++j) store(c + i * c_stride + j * kFloats, sums[i][j]);
}

template <int ROWS, int VECTORS, class Element>
inline void multiply_rows(int64_t num_rows, const float* a, int64_t a_stride, int64_t depth, Block<Element> b,
                          float* c, int64_t c_stride, const float* kept) {
    for (; num_rows >= ROWS; num_rows -= ROWS, a += ROWS * a_stride, c += ROWS * c_stride) {
        if (b.next != nullptr)
            multiply_tile<ROWS, VECTORS, true>(a, a_stride, depth, b, c, c_stride, kept);
        else
            multiply_tile<ROWS, VECTORS, false>(a, a_stride, depth, b, c, c_stride, kept);
        b.next = nullptr;  // once is enough
        if (kept != nullptr) kept += ROWS;
    }
    if constexpr (ROWS > 1)
        if (num_rows > 0)
            multiply_rows<ROWS - 1, VECTORS>(num_rows, a, a_stride, depth, b, c, c_stride, kept);
}

// a [num_rows, depth], b [depth, num_columns] (fp32 or bf16), c [num_rows, num_columns]; num_columns is a
// multiple of 16.
template <class Element>
void multiply(int64_t num_rows, const float* a, int64_t a_stride, int64_t depth, const Block<Element>& b,
              int64_t num_columns, float* c, int64_t c_stride, const float* kept) {
    constexpr int64_t kWide = kTileVectors * kFloats;
    int64_t column = 0;
    for (; column + kWide <= num_columns; column += kWide)
        multiply_rows<kTileQueries, kTileVectors>(num_rows, a, a_stride, depth, b.columns_from(column), c + column,
                                                  c_stride, kept);
    for (; column < num_columns; column += kFloats)
        multiply_rows<kTileQueries, 1>(num_rows, a, a_stride, depth, b.columns_from(column), c + column, c_stride,
                                       kept);
}

}  // namespace native
