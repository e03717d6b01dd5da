// GGUF's blocks into tiles; inference/kernels/gguf_blocks.py tells what their bytes mean.
#include "pack_tiles.h"

namespace native {
namespace {

constexpr int64_t kSuperBlock = 256;

struct Format {
    int64_t num_columns;
    int64_t num_bytes;
};

constexpr Format format_of(Kind kind) {
    switch (kind) {
        case Kind::Q4K: return {256, 144};
        case Kind::Q6K: return {256, 210};
        case Kind::INT4: return {32, 20};
        case Kind::INT4S: return {32, 18};
        default: return {32, 34};
    }
}

uint16_t half_at(const uint8_t* bytes) { return static_cast<uint16_t>(bytes[0] | bytes[1] << 8); }

void low_nibbles_of(const uint8_t* bytes, int count, uint8_t* integers) {
    for (int k = 0; k < count; ++k) integers[k] = bytes[k] & 15;
}

void high_nibbles_of(const uint8_t* bytes, int count, uint8_t* integers) {
    for (int k = 0; k < count; ++k) integers[k] = bytes[k] >> 4;
}

void pack_q4_k(const Lane& lane, uint8_t* step, const uint8_t* block) {
    lane.put_half(step, half_at(block));
    lane.put_half(step + 32, half_at(block + 2));
    const uint8_t *const low = block + 4, *const high = block + 8, *const mixed = block + 12;
    for (int group = 0; group < 8; ++group) {
        const int j = group & 3;
        uint8_t* const own = step + 64 + 32 * group + lane.row;
        own[0] = group < 4 ? low[j] & 63 : (mixed[j] & 15) | low[j] >> 6 << 4;
        own[16] = group < 4 ? high[j] & 63 : mixed[j] >> 4 | high[j] >> 6 << 4;
        uint8_t integers[32];
        const uint8_t* const bytes = block + 16 + group / 2 * 32;
        group % 2 == 0 ? low_nibbles_of(bytes, 32, integers) : high_nibbles_of(bytes, 32, integers);
        put_nibbles(lane, step + 320 + 256 * group, integers);
    }
}

void pack_q6_k(const Lane& lane, uint8_t* step, const uint8_t* block) {
    lane.put_half(step, half_at(block + 208));
    for (int group = 0; group < 8; ++group) {
        const int j = group & 3;
        const uint8_t* const low = block + group / 4 * 64 + j % 2 * 32;
        const uint8_t* const upper = block + 128 + group / 4 * 32;
        uint8_t integers[32];
        j < 2 ? low_nibbles_of(low, 32, integers) : high_nibbles_of(low, 32, integers);
        for (int k = 0; k < 32; ++k) integers[k] |= (upper[k] >> 2 * j & 3) << 4;
        uint8_t* const own = step + 64 + 32 * group + lane.row;
        own[0] = block[192 + 2 * group];
        own[16] = block[192 + 2 * group + 1];
        put_nibbles(lane, step + 320 + 384 * group, integers);
        put_upper_pairs(lane, step + 320 + 384 * group + 256, integers);
    }
}

// A block of 32: scale, for INT4 the offset, then nibbles (low ones first) or signed bytes.
void pack_simple(Kind kind, const Lane& lane, int64_t group, const uint8_t* block) {
    const GroupPlace at(kind, lane.tile, group);
    lane.put_half(at.scales, half_at(block));
    uint8_t integers[32];
    if (kind == Kind::INT8) {
        for (int k = 0; k < 32; ++k) integers[k] = static_cast<uint8_t>(block[2 + k] + 128);
        return put_bytes(lane, at.vectors, integers);
    }
    if (kind == Kind::INT4) lane.put_half(at.scales + 32, half_at(block + 2));
    const uint8_t* const nibbles = block + (kind == Kind::INT4 ? 4 : 2);
    low_nibbles_of(nibbles, 16, integers);
    high_nibbles_of(nibbles, 16, integers + 16);
    put_nibbles(lane, at.vectors, integers);
}

}  // namespace

void pack_stored(const Place& place, const uint8_t* stored, const int64_t* order) {
    const Format format = format_of(place.kind);
    const int64_t num_blocks = place.num_columns / format.num_columns;
    const int64_t step_bytes = step_of(place.kind).num_bytes;
    for (int64_t i = 0; i < place.num_rows; ++i) {
        const Lane lane(place, i);
        const uint8_t* block = stored + (order ? order[i] : i) * num_blocks * format.num_bytes;
        for (int64_t number = 0; number < num_blocks; ++number, block += format.num_bytes) {
            if (format.num_columns != kSuperBlock) {
                pack_simple(place.kind, lane, number, block);
            } else if (place.kind == Kind::Q4K) {
                pack_q4_k(lane, lane.tile + number * step_bytes, block);
            } else {
                pack_q6_k(lane, lane.tile + number * step_bytes, block);
            }
        }
    }
}

}  // namespace native
