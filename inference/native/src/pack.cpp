#include "pack.h"

#include "half.h"
#include "pack_tiles.h"

namespace native {

void pack_integers(const Place& place, const uint8_t* integers, int shift) {
    for (int64_t i = 0; i < place.num_rows; ++i) {
        const Lane lane(place, i);
        for (int64_t group = 0; group < place.num_columns / 32; ++group) {
            const uint8_t* const from = integers + i * place.num_columns + group * 32;
            uint8_t shifted[32];
            for (int k = 0; k < 32; ++k) shifted[k] = static_cast<uint8_t>(from[k] + shift);
            uint8_t* const vectors = GroupPlace(place.kind, lane.tile, group).vectors;
            place.kind == Kind::INT8 ? put_bytes(lane, vectors, shifted) : put_nibbles(lane, vectors, shifted);
        }
    }
}

void pack_scales(const Place& place, const float* scales, const float* offsets, float factor) {
    const int64_t num_groups = place.num_columns / 32;
    for (int64_t i = 0; i < place.num_rows; ++i) {
        const Lane lane(place, i);
        for (int64_t group = 0; group < num_groups; ++group) {
            uint8_t* const at = GroupPlace(place.kind, lane.tile, group).scales;
            const int64_t from = i * num_groups + group;
            lane.put_half(at, float_to_half(scales[from] * factor));
            if (place.kind == Kind::INT4) lane.put_half(at + 32, float_to_half(offsets[from] * factor));
        }
    }
}

void pack_floats(const Place& place, const float* values) {
    for (int64_t i = 0; i < place.num_rows; ++i) {
        const Lane lane(place, i);
        const float* const row = values + i * place.num_columns;
        for (int64_t column = 0; column < place.num_columns; ++column) {
            uint32_t bits;
            std::memcpy(&bits, row + column, sizeof bits);
            if (place.kind == Kind::FP32) {
                lane.put_word(lane.tile + 64 * column, bits);
                continue;
            }
            // To the nearest, ties to even; NaN keeps a bit that says so.
            const bool is_nan = (bits & 0x7fffffff) > 0x7f800000;
            const uint32_t rounded = is_nan ? bits | 0x00400000 : bits + 0x7fff + (bits >> 16 & 1);
            const uint16_t half = static_cast<uint16_t>(rounded >> 16);
            std::memcpy(lane.tile + column / 2 * 64 + 4 * lane.row + column % 2 * 2, &half, sizeof half);
        }
    }
}

}  // namespace native
