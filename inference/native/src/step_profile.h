// Where a step's time goes, by kind of work; off unless asked for.
#pragma once

#include <chrono>
#include <cstdint>

namespace native {

enum class Work { NORM, INPUT, ROTATE, ABSORB, ATTENTION, OUTPUT, GATE_UP, ACTIVATE, DOWN, MIXTURE, HEAD, COUNT };

class Profile {
  public:
    static constexpr int64_t kSize = static_cast<int64_t>(Work::COUNT);
    bool is_on = false;
    double seconds[kSize] = {};

    template <class F>
    void time(Work work, F&& f) {
        if (!is_on) return f();
        const auto start = std::chrono::steady_clock::now();
        f();
        const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
        seconds[static_cast<int64_t>(work)] += spent.count();
    }
};

}  // namespace native
