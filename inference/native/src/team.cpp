#include "team.h"

#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace native {
namespace {

// About 50 microseconds on today's cores: longer than the serial parts between two runs of one step, shorter
// than a time slice that another process could use.
constexpr int kMostSpins = 1500;
constexpr int kFewestSpins = 30;
// What the caller waits for others' last chunks: some chunks' time. Whoever takes longer has lost its core, and
// gets the caller's when that sleeps.
constexpr int kCallerSpins = 500;

void pause() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("isb");
#endif
}

#if defined(__linux__)
void wait_for_change(std::atomic<uint32_t>& word, uint32_t seen) {
    syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
}

void wake_all(std::atomic<uint32_t>& word) {
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1 << 30, nullptr, nullptr, 0);
}
#else
void wait_for_change(std::atomic<uint32_t>&, uint32_t) {
    const timespec moment{0, 50000};
    nanosleep(&moment, nullptr);
}

void wake_all(std::atomic<uint32_t>&) {}
#endif

}  // namespace

Team::Team(int num_threads) : owner_(getpid()) {
    const int num_others = num_threads > 1 ? num_threads - 1 : 0;
    members_.reserve(num_others);
    for (int i = 0; i < num_others; ++i) {
        members_.push_back(Member{this, i + 1});
        pthread_t thread;
        if (pthread_create(&thread, nullptr, enter, &members_.back()) != 0) break;
        threads_.push_back(thread);
    }
}

Team::~Team() {
    if (owner_ != getpid()) return;  // a forked child: the threads are the parent's
    is_closing_ = true;
    calls_.fetch_add(1);
    wake_all(calls_);
    for (pthread_t thread : threads_) pthread_join(thread, nullptr);
}

void* Team::enter(void* member) {
    const auto* self = static_cast<Member*>(member);
    self->team->work(self->thread);
    return nullptr;
}

void Team::run_shared(int64_t num_chunks, Call call, void* context) {
    call_.store(call, std::memory_order_relaxed);
    context_.store(context, std::memory_order_relaxed);
    num_chunks_.store(num_chunks, std::memory_order_relaxed);
    num_unfinished_.store(static_cast<uint32_t>(num_chunks), std::memory_order_relaxed);
    const uint64_t run = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
    ticket_.store(run << 32 | static_cast<uint64_t>(num_chunks));
    calls_.fetch_add(1);
    if (num_sleeping_.load() > 0) wake_all(calls_);
    take_part(0);
    wait_until_finished();
}

void Team::wait_until_finished() {
    for (int spins = 0; spins < kCallerSpins; ++spins) {
        if (num_unfinished_.load(std::memory_order_acquire) == 0) return;
        pause();
    }
    is_caller_asleep_.store(true);
    while (const uint32_t num_unfinished = num_unfinished_.load()) wait_for_change(num_unfinished_, num_unfinished);
    is_caller_asleep_.store(false);
}

bool Team::take_part(int thread) {
    int64_t num_done = 0;
    uint64_t ticket = ticket_.load(std::memory_order_acquire);
    while ((ticket & 0xffffffff) != 0) {
        // Read before the chunk is taken, valid once it is: these change only when no chunk is left.
        const Call call = call_.load(std::memory_order_relaxed);
        void* const context = context_.load(std::memory_order_relaxed);
        const int64_t num_chunks = num_chunks_.load(std::memory_order_relaxed);
        if (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel)) continue;
        call(context, num_chunks - static_cast<int64_t>(ticket & 0xffffffff), thread);
        ++num_done;
        const bool is_last = num_unfinished_.fetch_sub(1) == 1;
        if (is_last && is_caller_asleep_.load()) wake_all(num_unfinished_);
        ticket = ticket_.load(std::memory_order_acquire);
    }
    return num_done > 0;
}

void Team::work(int thread) {
    int num_spins = kMostSpins;
    while (!is_closing_.load()) {
        const uint32_t seen = calls_.load();
        if (take_part(thread)) continue;
        if (spin_until_called(seen, num_spins)) {
            num_spins = num_spins * 2 < kMostSpins ? num_spins * 2 : kMostSpins;
        } else {
            num_spins = num_spins / 2 > kFewestSpins ? num_spins / 2 : kFewestSpins;
            sleep_until_called(seen);
        }
    }
}

bool Team::spin_until_called(uint32_t seen, int num_spins) const {
    for (int spins = 0; spins < num_spins; ++spins) {
        if (calls_.load(std::memory_order_relaxed) != seen) return true;
        pause();
    }
    return false;
}

void Team::sleep_until_called(uint32_t seen) {
    num_sleeping_.fetch_add(1);
    if (calls_.load() == seen) wait_for_change(calls_, seen);
    num_sleeping_.fetch_sub(1);
}

}  // namespace native
