// Where the numbers of one row go in its tile.
#pragma once

#include <cstring>

#include "pack.h"

namespace native {

// The lane of one row within its tile.
struct Lane {
    uint8_t* tile;
    int64_t row;  // 0 to 15

    Lane(const Place& place, int64_t index)
        : tile(place.data + (place.row + index) / kTileRows * tile_bytes(place.kind, place.num_columns)),
          row((place.row + index) % kTileRows) {}

    void put_word(uint8_t* vector, uint32_t word) const { std::memcpy(vector + 4 * row, &word, sizeof word); }
    void put_half(uint8_t* halves, uint16_t half) const { std::memcpy(halves + 2 * row, &half, sizeof half); }
};

// Four neighbouring columns as one word.
inline uint32_t quad_at(const uint8_t* integers) {
    return integers[0] | integers[1] << 8 | integers[2] << 16 | static_cast<uint32_t>(integers[3]) << 24;
}

inline void put_bytes(const Lane& lane, uint8_t* vectors, const uint8_t* integers) {
    for (int j = 0; j < 8; ++j) lane.put_word(vectors + 64 * j, quad_at(integers + 4 * j));
}

// The lower four bits of 32 integers.
inline void put_nibbles(const Lane& lane, uint8_t* vectors, const uint8_t* integers) {
    constexpr uint32_t kNibbles = 0x0f0f0f0f;
    for (int j = 0; j < 4; ++j) {
        const uint32_t low = quad_at(integers + 8 * j) & kNibbles;
        const uint32_t high = quad_at(integers + 8 * j + 4) & kNibbles;
        lane.put_word(vectors + 64 * j, low | high << 4);
    }
}

// Bits 4 and 5 of 32 integers.
inline void put_upper_pairs(const Lane& lane, uint8_t* vectors, const uint8_t* integers) {
    for (int half = 0; half < 2; ++half) {
        uint32_t pairs = 0;
        for (int j = 0; j < 4; ++j) {
            pairs |= (quad_at(integers + 16 * half + 4 * j) >> 4 & 0x03030303) << 2 * j;
        }
        lane.put_word(vectors + 64 * half, pairs);
    }
}

// Where a group's scales (and 32 bytes later INT4's offsets) and its vectors lie; for INT4, INT4S and INT8.
struct GroupPlace {
    uint8_t* scales;
    uint8_t* vectors;

    GroupPlace(Kind kind, uint8_t* tile, int64_t group) {
        const Step step = step_of(kind);
        const int64_t groups = step.num_columns / 32;
        uint8_t* const start = tile + group / groups * step.num_bytes;
        scales = start + group % groups * 32;
        vectors = start + 64 + group % groups * ((step.num_bytes - 64) / groups);
    }
};

}  // namespace native
