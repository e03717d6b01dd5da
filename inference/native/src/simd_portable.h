// Plain C++ for every other processor; the compiler makes vectors of the loops where it can.
#pragma once

#include <cstdint>
#include <cstring>

#include "half.h"

namespace native {

constexpr const char* kInstructionSet = "portable";
constexpr int kLanes = 16;
constexpr int kMaxTokens = 2;

struct Int {
    uint32_t lane[kLanes];  // four bytes each, the first in the lowest bits; sums as two's complement
};
struct Float {
    float lane[kLanes];
};

template <class F>
inline Int each_int(F&& f) {
    Int result;
    for (int i = 0; i < kLanes; ++i) result.lane[i] = f(i);
    return result;
}

template <class F>
inline Float each_float(F&& f) {
    Float result;
    for (int i = 0; i < kLanes; ++i) result.lane[i] = f(i);
    return result;
}

inline Int load(const uint8_t* bytes) {
    return each_int([&](int i) {
        const uint8_t* four = bytes + 4 * i;
        return four[0] | four[1] << 8 | four[2] << 16 | static_cast<uint32_t>(four[3]) << 24;
    });
}
inline Int zero_int() { return Int{}; }
inline Float zero_float() { return Float{}; }

inline Int low_nibbles(const Int& bytes) {
    return each_int([&](int i) { return bytes.lane[i] & 0x0f0f0f0f; });
}
inline Int high_nibbles(const Int& bytes) {
    return each_int([&](int i) { return bytes.lane[i] >> 4 & 0x0f0f0f0f; });
}

// Bits 2j and 2j + 1 of each byte of `pairs` above the nibbles.
template <int j>
inline Int with_upper_pair(const Int& nibbles, const Int& pairs) {
    return each_int([&](int i) { return nibbles.lane[i] | (pairs.lane[i] >> 2 * j & 0x03030303) << 4; });
}

// sum + the products of each lane's four unsigned bytes with the same four signed bytes.
inline Int dot(const Int& sum, const Int& quad, const int8_t* four) {
    return each_int([&](int i) {
        int32_t result = static_cast<int32_t>(sum.lane[i]);
        for (int k = 0; k < 4; ++k) result += static_cast<int32_t>(quad.lane[i] >> 8 * k & 255) * four[k];
        return static_cast<uint32_t>(result);
    });
}

// The same for bytes below 128, which some processors multiply faster.
inline Int dot_small(const Int& sum, const Int& quad, const int8_t* four) { return dot(sum, quad, four); }

inline Int broadcast_int(int32_t value) {
    return each_int([&](int) { return static_cast<uint32_t>(value); });
}
inline Int subtract(const Int& a, const Int& b) {
    return each_int([&](int i) { return a.lane[i] - b.lane[i]; });
}
template <int bits>
inline Int shift_left(const Int& integers) {
    return each_int([&](int i) { return integers.lane[i] << bits; });
}
// One signed or unsigned byte for each lane.
inline Int load_signed(const uint8_t* bytes) {
    return each_int([&](int i) { return static_cast<uint32_t>(static_cast<int8_t>(bytes[i])); });
}
inline Int load_unsigned(const uint8_t* bytes) {
    return each_int([&](int i) { return static_cast<uint32_t>(bytes[i]); });
}

inline Float to_float(const Int& integers) {
    return each_float([&](int i) { return static_cast<float>(static_cast<int32_t>(integers.lane[i])); });
}
inline Float load_halves(const uint8_t* halves) {
    return each_float([&](int i) {
        return half_to_float(static_cast<uint16_t>(halves[2 * i] | halves[2 * i + 1] << 8));
    });
}
inline Float as_floats(const Int& bits) {
    Float result;
    std::memcpy(&result, &bits, sizeof result);
    return result;
}
inline Float even_bf16(const Int& pairs) {
    return as_floats(each_int([&](int i) { return pairs.lane[i] << 16; }));
}
inline Float odd_bf16(const Int& pairs) {
    return as_floats(each_int([&](int i) { return pairs.lane[i] & 0xffff0000; }));
}
inline Float broadcast(float value) {
    return each_float([&](int) { return value; });
}
inline Float multiply(const Float& a, const Float& b) {
    return each_float([&](int i) { return a.lane[i] * b.lane[i]; });
}
inline Float add(const Float& a, const Float& b) {
    return each_float([&](int i) { return a.lane[i] + b.lane[i]; });
}
inline Float multiply_add(const Float& a, const Float& b, const Float& sum) {
    return each_float([&](int i) { return a.lane[i] * b.lane[i] + sum.lane[i]; });
}

// Writes the first `count` lanes, added to what is there where `accumulate`.
inline void store(float* y, const Float& value, int64_t count, bool accumulate) {
    for (int64_t i = 0; i < kLanes && i < count; ++i) {
        y[i] = accumulate ? value.lane[i] + y[i] : value.lane[i];
    }
}

inline void prefetch(const uint8_t*) {}

}  // namespace native
