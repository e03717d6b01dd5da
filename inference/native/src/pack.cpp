#include "pack.h"

#include <cstring>

#include "half.h"

namespace native {
namespace {

// The lane of one row within its tile.
struct Lane {
    uint8_t* tile;
    int64_t row;  // 0 to 15
};

Lane lane_of(const Place& place, int64_t index) {
    const int64_t row = place.row + index;
    return Lane{place.data + row / kTileRows * tile_bytes(place.kind, place.num_columns), row % kTileRows};
}

// Four neighbouring columns as one word, each moved by `shift`.
uint32_t quad_at(const uint8_t* integers, int shift) {
    uint32_t word = 0;
    for (int i = 0; i < 4; ++i) {
        word |= static_cast<uint32_t>(static_cast<uint8_t>(integers[i] + shift)) << 8 * i;
    }
    return word;
}

void put(uint8_t* vector, int64_t row, uint32_t word) { std::memcpy(vector + 4 * row, &word, sizeof word); }

void put_half(uint8_t* halves, int64_t row, float value) {
    const uint16_t half = float_to_half(value);
    std::memcpy(halves + 2 * row, &half, sizeof half);
}

// Where a group's scales and its vectors lie in its tile.
struct GroupPlace {
    uint8_t* scales;
    uint8_t* vectors;
};

GroupPlace group_place(Kind kind, uint8_t* tile, int64_t group) {
    const int64_t bytes = step_of(kind).num_bytes;
    if (step_of(kind).num_columns == 32) {
        uint8_t* const step = tile + group * bytes;
        return {step, step + 64};
    }
    uint8_t* const step = tile + group / 2 * bytes;
    return {step + group % 2 * 32, step + 64 + group % 2 * ((bytes - 64) / 2)};
}

void pack_group(Kind kind, uint8_t* vectors, int64_t row, const uint8_t* integers, int shift) {
    uint32_t quads[8];
    for (int j = 0; j < 8; ++j) quads[j] = quad_at(integers + 4 * j, shift);
    if (kind == Kind::INT8) {
        for (int j = 0; j < 8; ++j) put(vectors + 64 * j, row, quads[j]);
        return;
    }
    constexpr uint32_t kNibbles = 0x0f0f0f0f;
    for (int j = 0; j < 4; ++j) {
        put(vectors + 64 * j, row, (quads[2 * j] & kNibbles) | (quads[2 * j + 1] & kNibbles) << 4);
    }
    if (kind != Kind::INT6) return;
    for (int half = 0; half < 2; ++half) {
        uint32_t pairs = 0;
        for (int j = 0; j < 4; ++j) pairs |= (quads[4 * half + j] >> 4 & 0x03030303) << 2 * j;
        put(vectors + 256 + 64 * half, row, pairs);
    }
}

}  // namespace

void pack_integers(const Place& place, const uint8_t* integers, int shift) {
    const int64_t num_groups = place.num_columns / 32;
    for (int64_t i = 0; i < place.num_rows; ++i) {
        const Lane lane = lane_of(place, i);
        for (int64_t group = 0; group < num_groups; ++group) {
            const GroupPlace at = group_place(place.kind, lane.tile, group);
            pack_group(place.kind, at.vectors, lane.row, integers + i * place.num_columns + group * 32, shift);
        }
    }
}

void pack_scales(const Place& place, const float* scales, const float* offsets, float factor) {
    const int64_t num_groups = place.num_columns / 32;
    for (int64_t i = 0; i < place.num_rows; ++i) {
        const Lane lane = lane_of(place, i);
        for (int64_t group = 0; group < num_groups; ++group) {
            uint8_t* const at = group_place(place.kind, lane.tile, group).scales;
            if (place.kind == Kind::INT6) {
                put_half(at, lane.row, scales[(i * num_groups + group) * 2] * factor);
                put_half(at + 32, lane.row, scales[(i * num_groups + group) * 2 + 1] * factor);
                continue;
            }
            put_half(at, lane.row, scales[i * num_groups + group] * factor);
            if (place.kind == Kind::INT4) put_half(at + 32, lane.row, offsets[i * num_groups + group] * factor);
        }
    }
}

void pack_floats(const Place& place, const float* values) {
    for (int64_t i = 0; i < place.num_rows; ++i) {
        const Lane lane = lane_of(place, i);
        const float* const row = values + i * place.num_columns;
        for (int64_t column = 0; column < place.num_columns; ++column) {
            uint32_t bits;
            std::memcpy(&bits, row + column, sizeof bits);
            if (place.kind == Kind::FP32) {
                put(lane.tile + 64 * column, lane.row, bits);
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
