// What decoder.py calls.
#include "step.h"

#include <new>

using native::Batch;
using native::DecoderStep;
using native::Profile;
using native::Weights;

#define EXPORT extern "C" __attribute__((visibility("default")))

// Null where there is too little memory. The structs that `weights` points to must outlive the step.
EXPORT void* native_step_create(const Weights* weights, int64_t max_rows, int32_t num_threads) {
    try {
        return new DecoderStep(*weights, max_rows, num_threads);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

EXPORT void native_step_destroy(void* step) { delete static_cast<DecoderStep*>(step); }

// Not to be called by two threads at once for one step. Returns 0, or 1 where there is too little memory.
EXPORT int32_t native_step_forward(void* step, const Batch* batch) {
    try {
        static_cast<DecoderStep*>(step)->forward(*batch);
        return 0;
    } catch (const std::bad_alloc&) {
        return 1;
    }
}

// Seconds by kind of work since the last call, in step_profile.h's order; switches the clock on or off.
EXPORT void native_step_profile(void* step, int32_t is_on, double* seconds) {
    Profile& profile = static_cast<DecoderStep*>(step)->profile;
    for (int64_t i = 0; i < Profile::kSize; ++i) {
        seconds[i] = profile.seconds[i];
        profile.seconds[i] = 0.0;
    }
    profile.is_on = is_on != 0;
}
