// What Python calls of the kernels, by ctypes: see library.py for the twin declarations.
#include "linear.h"
#include "pack.h"
#include "simd.h"

using namespace native;

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT const char* native_instruction_set() { return kInstructionSet; }

EXPORT Team* native_team_create(int32_t num_threads) { return new Team(num_threads); }
EXPORT void native_team_destroy(Team* team) { delete team; }
EXPORT int32_t native_team_size(const Team* team) { return team->size(); }

EXPORT int64_t native_packed_bytes(int32_t kind, int64_t num_rows, int64_t num_columns) {
    return num_tiles(num_rows) * tile_bytes(static_cast<Kind>(kind), num_columns);
}

EXPORT void native_pack_integers(const Place* place, const uint8_t* integers, int32_t shift) {
    pack_integers(*place, integers, shift);
}
EXPORT void native_pack_scales(const Place* place, const float* scales, const float* offsets, float factor) {
    pack_scales(*place, scales, offsets, factor);
}
EXPORT void native_pack_floats(const Place* place, const float* values) { pack_floats(*place, values); }
EXPORT void native_pack_stored(const Place* place, const uint8_t* stored, const int64_t* order) {
    pack_stored(*place, stored, order);
}

// y [num_rows of x, rows of the matrix] = x [num_rows, num_columns] times the matrix transposed.
EXPORT void native_linear(const Matrix* matrix, const float* x, int64_t num_rows, float* y, bool accumulate,
                          Team* team) {
    RowsBuffer buffer(num_rows, matrix->num_columns);
    const Rows rows = buffer.over(x, matrix->num_columns, num_rows, matrix->num_columns);
    team->run(num_rows, [&](int64_t row, int) { quantize_row(rows, row); });
    linear(*matrix, rows, y, matrix->num_rows, accumulate, *team);
}
