// A team of threads that share out chunks of work, for steps of some microseconds.
//
// Each thread takes chunks one by one from a range of its own, so that it walks memory forward, and half of what
// is left of another's range once its own is empty. Nobody waits for a thread that has taken nothing: a core that
// another process keeps busy gets less work instead of holding up the rest, and in a forked child, which has no
// threads, the caller does it all; for some milliseconds it also does where a thread has just lost its core in the
// middle of a chunk. Idle threads spin for tens of microseconds, less where that was in vain before, then sleep.
#pragma once

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

namespace native {

class Team {
  public:
    // `num_threads` counts the caller. Threads that the system refuses are done without.
    explicit Team(int num_threads);
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    int size() const { return static_cast<int>(threads_.size()) + 1; }

    // Calls f(int64_t chunk, int thread) once for each chunk below `num_chunks`, and returns when all are
    // done. Thread 0 is the caller; no two calls with one thread's number overlap. Neighbouring chunks mostly
    // go to one thread, in rising order. Not to be called from within f, nor by two callers at once; f must not
    // throw.
    template <class F>
    void run(int64_t num_chunks, F&& f) {
        using Function = std::remove_reference_t<F>;
        if (threads_.empty() || num_chunks < 2) {
            for (int64_t chunk = 0; chunk < num_chunks; ++chunk) f(chunk, 0);
            return;
        }
        const Call call = [](void* context, int64_t begin, int64_t end, int thread) {
            Function& function = *static_cast<Function*>(context);
            for (int64_t chunk = begin; chunk < end; ++chunk) function(chunk, thread);
        };
        run_shared(num_chunks, call, const_cast<void*>(static_cast<const void*>(&f)));
    }

  private:
    using Clock = std::chrono::steady_clock;
    using Call = void (*)(void* context, int64_t begin, int64_t end, int thread);

    // The bundles of chunks a thread has still to take: the run's number in the upper half, then the first
    // bundle and the one after the last, 16 bits each. A late thread can neither take from a run that is over
    // nor see the next run's function with the last run's bundles.
    struct alignas(64) Member {
        std::atomic<uint64_t> range{0};
        Team* team = nullptr;
        int thread = 0;
    };

    static void* enter(void* member);
    void run_shared(int64_t num_chunks, Call call, void* context);
    // What the caller does before the others are trusted again: so many chunks, from the first on.
    int64_t work_alone(int64_t num_chunks, Call call, void* context);
    void work(int thread);
    uint32_t take_part(int thread);
    uint32_t drain(int thread);
    bool rob_another(int thread);
    bool spin_until_called(uint32_t seen, int num_spins) const;
    void sleep_until_called(uint32_t seen);
    bool spin_until_finished() const;
    void sleep_until_finished();

    std::atomic<Call> call_{nullptr};
    std::atomic<void*> context_{nullptr};
    std::atomic<int64_t> first_chunk_{0};  // of those that are shared
    std::atomic<int64_t> num_chunks_{0};   // from there on
    std::atomic<int64_t> chunks_per_bundle_{1};
    uint64_t run_ = 0;
    Clock::time_point alone_until_{};
    Clock::duration alone_for_{};
    alignas(64) std::atomic<uint32_t> num_unfinished_{0};  // bundles
    std::atomic<bool> is_caller_asleep_{false};
    alignas(64) std::atomic<uint32_t> calls_{0};  // what sleepers wait on
    std::atomic<int> num_sleeping_{0};
    std::atomic<bool> is_closing_{false};
    int64_t owner_;
    std::vector<pthread_t> threads_;
    std::unique_ptr<Member[]> members_;
    int num_members_ = 1;
};

}  // namespace native
