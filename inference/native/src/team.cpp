#include "team.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
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
// A wait that is no chunk's time: a thread has lost its core in the middle of one. Then the caller does better
// without the others for a while, twice as long where it has just been so (measured on two cores beside one busy
// process: as fast as one thread, where two that always wait for each other ran at 0.7 of that).
constexpr auto kStall = std::chrono::milliseconds(1);
constexpr int kStallChunks = 3;
constexpr auto kShortAlone = std::chrono::milliseconds(5);
constexpr auto kLongAlone = std::chrono::milliseconds(80);
constexpr int64_t kLooksAlone = 64;  // at the clock, during a run: a long one is shared again once that is over
constexpr int kMostMembers = 256;
constexpr int64_t kMostBundles = 65535;

struct Range {
    uint64_t run;
    int64_t begin, end;

    Range(uint64_t run, int64_t begin, int64_t end) : run(run & 0xffffffff), begin(begin), end(end) {}
    explicit Range(uint64_t packed) : run(packed >> 32), begin(packed >> 16 & 0xffff), end(packed & 0xffff) {}

    uint64_t packed() const { return run << 32 | static_cast<uint64_t>(begin) << 16 | static_cast<uint64_t>(end); }
    bool is_empty() const { return begin >= end; }
};

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
    const int num_wanted = num_threads < 1 ? 1 : num_threads < kMostMembers ? num_threads : kMostMembers;
    members_ = std::make_unique<Member[]>(num_wanted);
    for (int thread = 1; thread < num_wanted; ++thread) {
        members_[thread].team = this;
        members_[thread].thread = thread;
    }
    num_members_ = num_wanted;  // a range without its thread is robbed by the others
    for (int thread = 1; thread < num_wanted; ++thread) {
        pthread_t handle;
        if (pthread_create(&handle, nullptr, enter, &members_[thread]) != 0) break;
        threads_.push_back(handle);
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
    const int64_t first_chunk = work_alone(num_chunks, call, context);
    if (first_chunk == num_chunks) return;
    num_chunks -= first_chunk;
    const Clock::time_point begun_at = Clock::now();
    const int64_t per_bundle = (num_chunks + kMostBundles - 1) / kMostBundles;
    const int64_t num_bundles = (num_chunks + per_bundle - 1) / per_bundle;
    call_.store(call, std::memory_order_relaxed);
    context_.store(context, std::memory_order_relaxed);
    first_chunk_.store(first_chunk, std::memory_order_relaxed);
    num_chunks_.store(num_chunks, std::memory_order_relaxed);
    chunks_per_bundle_.store(per_bundle, std::memory_order_relaxed);
    num_unfinished_.store(static_cast<uint32_t>(num_bundles));
    ++run_;
    for (int i = 0; i < num_members_; ++i) {
        const Range share{run_, num_bundles * i / num_members_, num_bundles * (i + 1) / num_members_};
        members_[i].range.store(share.packed());
    }
    calls_.fetch_add(1);
    if (num_sleeping_.load() > 0) wake_all(calls_);
    const uint32_t num_done = take_part(0);
    if (spin_until_finished()) return;
    const Clock::time_point done_at = Clock::now();
    sleep_until_finished();
    const auto waited = Clock::now() - done_at;
    const bool is_stall = num_done > 0 && waited > kStallChunks * (done_at - begun_at) / num_done;
    if (!is_stall || waited < kStall) return;
    const bool is_again = begun_at < alone_until_ + 2 * kShortAlone;
    alone_for_ = is_again ? std::min(2 * alone_for_, Clock::duration(kLongAlone)) : Clock::duration(kShortAlone);
    alone_until_ = Clock::now() + alone_for_;
}

int64_t Team::work_alone(int64_t num_chunks, Call call, void* context) {
    const int64_t at_once = (num_chunks + kLooksAlone - 1) / kLooksAlone;
    int64_t chunk = 0;
    while (chunk < num_chunks && Clock::now() < alone_until_) {
        const int64_t end = std::min(chunk + at_once, num_chunks);
        call(context, chunk, end, 0);
        chunk = end;
    }
    return chunk;
}

bool Team::spin_until_finished() const {
    for (int spins = 0; spins < kCallerSpins; ++spins) {
        if (num_unfinished_.load(std::memory_order_acquire) == 0) return true;
        pause();
    }
    return false;
}

void Team::sleep_until_finished() {
    is_caller_asleep_.store(true);
    while (const uint32_t num_unfinished = num_unfinished_.load()) wait_for_change(num_unfinished_, num_unfinished);
    is_caller_asleep_.store(false);
}

uint32_t Team::take_part(int thread) {
    uint32_t num_done = 0;
    do {
        const uint32_t num_drained = drain(thread);
        num_done += num_drained;
        // Told once a range: others' cores would wait for this line at every bundle.
        const bool is_last = num_drained > 0 && num_unfinished_.fetch_sub(num_drained) == num_drained;
        if (is_last && is_caller_asleep_.load()) wake_all(num_unfinished_);
    } while (rob_another(thread));
    return num_done;
}

uint32_t Team::drain(int thread) {
    std::atomic<uint64_t>& own = members_[thread].range;
    uint32_t num_done = 0;
    uint64_t seen = own.load(std::memory_order_acquire);
    while (!Range(seen).is_empty()) {
        // Read before the bundle is taken, valid once it is: these change only when no bundle is left.
        const Call call = call_.load(std::memory_order_relaxed);
        void* const context = context_.load(std::memory_order_relaxed);
        const int64_t first = first_chunk_.load(std::memory_order_relaxed);
        const int64_t num_chunks = num_chunks_.load(std::memory_order_relaxed);
        const int64_t per_bundle = chunks_per_bundle_.load(std::memory_order_relaxed);
        const Range range(seen);
        const Range rest{range.run, range.begin + 1, range.end};
        if (!own.compare_exchange_weak(seen, rest.packed(), std::memory_order_acq_rel)) continue;
        const int64_t end = std::min((range.begin + 1) * per_bundle, num_chunks);
        call(context, first + range.begin * per_bundle, first + end, thread);
        ++num_done;
        seen = own.load(std::memory_order_acquire);
    }
    return num_done;
}

bool Team::rob_another(int thread) {
    std::atomic<uint64_t>& own = members_[thread].range;
    const Range share(own.load(std::memory_order_acquire));
    if (!share.is_empty()) return true;  // of a run that has begun meanwhile
    for (int i = 1; i < num_members_; ++i) {
        std::atomic<uint64_t>& theirs = members_[(thread + i) % num_members_].range;
        uint64_t seen = theirs.load(std::memory_order_acquire);
        while (!Range(seen).is_empty() && Range(seen).run == share.run) {
            const Range range(seen);
            const int64_t middle = (range.begin + range.end) / 2;
            const Range left{range.run, range.begin, middle};
            if (!theirs.compare_exchange_weak(seen, left.packed(), std::memory_order_acq_rel)) continue;
            // Its own share of this run was given out before, nobody else writes to an empty range, and the run
            // cannot end before these are done: nothing is overwritten.
            own.store(Range{range.run, middle, range.end}.packed());
            return true;
        }
    }
    return false;
}

void Team::work(int thread) {
    int num_spins = kMostSpins;
    while (!is_closing_.load()) {
        const uint32_t seen = calls_.load();
        if (take_part(thread) > 0) continue;
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
