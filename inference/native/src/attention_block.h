// Attention of a few queries over a run of cached positions, block by block, with a running softmax.
//
// Positions are taken in segments of kSegmentBlocks blocks. Each has a softmax of its own, and segments are
// merged first to last: the order of every addition follows from positions alone, so a query's bits are the
// same in any chunk, batch or split of the work, and a long context can still be spread over threads.
#pragma once

#include <cmath>
#include <type_traits>
#include <vector>

#include "attention_cache.h"
#include "attention_product.h"

namespace native {

constexpr int64_t kSegmentBlocks = 8;
constexpr int64_t kSegmentTokens = kSegmentBlocks * kBlockTokens;
constexpr int64_t kJobRows = 64;  // queries times heads that read a block together

// Neighbouring queries of one sequence and neighbouring heads that share keys. Row q * num_heads + h.
struct AttentionJob {
    const int32_t* block_ids;
    int64_t first_row;  // among the step's rows
    int64_t num_queries, first_position;
    int64_t kv_head, first_head, num_heads;

    int64_t num_rows() const { return num_queries * num_heads; }
    int64_t num_segments() const { return (first_position + num_queries - 1) / kSegmentTokens + 1; }
    // The first query at this position or behind it.
    int64_t query_at(int64_t position) const {
        const int64_t query = position - first_position;
        return query < 0 ? 0 : query < num_queries ? query : num_queries;
    }
    // The first row that sees anything of a segment.
    int64_t first_row_of(int64_t segment) const { return query_at(segment * kSegmentTokens) * num_heads; }
};

// Of kJobRows rows: the greatest score, lanes that add up to the sum of e^(score - greatest), and values so weighted.
struct RunningSoftmax {
    float *greatest, *lanes, *values;
    static int64_t size(int64_t value_width) { return kJobRows * (1 + kFloats + value_width); }
    explicit RunningSoftmax(float* memory)
        : greatest(memory), lanes(memory + kJobRows), values(memory + kJobRows * (1 + kFloats)) {}
};

// One thread's memory.
struct AttentionScratch {
    std::vector<float> queries, scores, segment, total, keys;
    std::vector<uint16_t> converted;
    void reserve(const CacheShape& shape) {
        queries.resize(kJobRows * shape.key_width);
        scores.resize(kJobRows * kBlockTokens);
        segment.resize(RunningSoftmax::size(shape.value_width));
        total.resize(RunningSoftmax::size(shape.value_width));
        if (shape.is_latent) keys.resize(shape.key_width * kBlockTokens);
        if (shape.type == CacheType::E4M3) converted.resize(kBlockTokens * (shape.key_width + shape.value_width));
    }
};

NATIVE_INLINE float exp_one(float x) { return exp_of(splat(x))[0]; }

// The greatest of a row of scores over a block; those from `num_seen` on count for nothing, whatever they hold.
NATIVE_INLINE float greatest_seen(float* scores, int64_t num_seen) {
    for (int64_t i = num_seen; i < kBlockTokens; ++i) scores[i] = -INFINITY;
    Floats top = load(scores);
#pragma GCC unroll 16
    for (int64_t i = kFloats; i < kBlockTokens; i += kFloats) top = greater(top, load(scores + i));
    return greatest_of(top);
}

// Turns scores [num_rows, kBlockTokens] of the rows from `row` on into weights and adds them to the sums. `kept`
// [num_rows] is what earlier weights and values shrink by, since the greatest score may have grown.
inline void weigh(float* scores, int64_t num_rows, int64_t num_seen, bool is_first, int64_t row,
                  const RunningSoftmax& result, float* kept) {
    float highest[kJobRows + kFloats];
    for (int64_t i = 0; i < num_rows; ++i) highest[i] = greatest_seen(scores + i * kBlockTokens, num_seen);
    for (int64_t i = 0; i < num_rows && !is_first; i += kFloats) {
        const Floats before = load(result.greatest + row + i), now = greater(before, load(highest + i));
        store(kept + i, exp_of(before - now));
        store(highest + i, now);
    }
    for (int64_t i = 0; i < num_rows; ++i) {
        float* lanes = result.lanes + (row + i) * kFloats;
        Floats sum = is_first ? Floats{} : load(lanes) * kept[i];
#pragma GCC unroll 4
        for (int64_t j = 0; j < kBlockTokens; j += kFloats) {
            const Floats weight = exp_of(load(scores + i * kBlockTokens + j) - highest[i]);
            store(scores + i * kBlockTokens + j, weight);
            sum += weight;
        }
        store(lanes, sum);
        result.greatest[row + i] = highest[i];
    }
}

// Adds a later segment to the rows [first_row, num_rows) of what came before it.
inline void merge(const RunningSoftmax& later, int64_t first_row, int64_t num_rows, int64_t value_width,
                  const RunningSoftmax& total) {
    for (int64_t row = first_row; row < num_rows; ++row) {
        const float before = total.greatest[row], now = later.greatest[row];
        const float highest = before > now ? before : now;
        const Floats keep = splat(exp_one(before - highest)), take = splat(exp_one(now - highest));
        total.greatest[row] = highest;
        const auto add = [&](float* sums, const float* added) {
            store(sums, fma(load(added), take, load(sums) * keep));
        };
        add(total.lanes + row * kFloats, later.lanes + row * kFloats);
        for (int64_t i = row * value_width; i < (row + 1) * value_width; i += kFloats)
            add(total.values + i, later.values + i);
    }
}

// Attention's reader of one layer's cache.
template <class Stored>
class BlockAttention {
  public:
    BlockAttention(const CacheShape& shape, const Stored* cache) : shape_(shape), cache_(cache) {}

    // Computes the rows from job.first_row_of(segment) on and leaves the others as they are.
    void attend_segment(const AttentionJob& job, int64_t segment, AttentionScratch& scratch,
                        const RunningSoftmax& result) const {
        const int64_t first_block = segment * kSegmentBlocks;
        const int64_t last_position = job.first_position + job.num_queries - 1;
        const int64_t seen_end = last_position / kBlockTokens + 1, segment_end = first_block + kSegmentBlocks;
        const int64_t end = seen_end < segment_end ? seen_end : segment_end;
        for (int64_t block = first_block; block < end; ++block)
            attend_block(job, block, block + 1 < seen_end ? block + 1 : block, scratch, result);
    }

  private:
    const Stored* keys_of(const AttentionJob& job, int64_t block) const {
        return cache_ + job.block_ids[block] * shape_.block_size() + job.kv_head * shape_.key_width * kBlockTokens;
    }
    const Stored* values_of(const AttentionJob& job, int64_t block) const {
        return cache_ + job.block_ids[block] * shape_.block_size() +
               (shape_.num_kv_heads * shape_.key_width + job.kv_head * shape_.value_width) * kBlockTokens;
    }

    // `next` is the block that comes after it.
    void attend_block(const AttentionJob& job, int64_t block, int64_t next, AttentionScratch& scratch,
                      const RunningSoftmax& result) const {
        uint16_t* converted = scratch.converted.data();
        if (shape_.is_latent) {
            const auto* rows = computable(keys_of(job, block), kBlockTokens * shape_.key_width, converted);
            transpose_block(rows, shape_.key_width, scratch.keys.data());
            const Block<float> keys{scratch.keys.data(), nullptr, kBlockTokens};
            attend_loaded(job, block, keys, in_place(rows, keys_of(job, next), shape_.key_width), scratch, result);
            return;
        }
        const int64_t key_size = shape_.key_width * kBlockTokens, value_size = shape_.value_width * kBlockTokens;
        const auto* keys = computable(keys_of(job, block), key_size, converted);
        const auto* values = computable(values_of(job, block), value_size, converted + key_size);
        attend_loaded(job, block, in_place(keys, keys_of(job, next), kBlockTokens),
                      in_place(values, values_of(job, next), shape_.value_width), scratch, result);
    }

    // A matrix read where it is stored has a next one to ask for; one that was converted has none.
    template <class Element>
    static Block<Element> in_place(const Element* values, const Stored* next, int64_t stride) {
        if constexpr (std::is_same_v<Element, Stored>) return Block<Element>{values, next, stride};
        return Block<Element>{values, nullptr, stride};
    }

    // keys [key_width, kBlockTokens], values [kBlockTokens, value_width]. Queries that see the whole block go
    // together; the few that it ends in go one by one, each over what it sees and nothing else.
    template <class Key, class Value>
    void attend_loaded(const AttentionJob& job, int64_t block, Block<Key> keys, Block<Value> values,
                       AttentionScratch& scratch, const RunningSoftmax& result) const {
        const int64_t start = block * kBlockTokens;
        const int64_t full = job.query_at(start + kBlockTokens - 1);
        const bool is_first = block % kSegmentBlocks == 0;
        const auto attend = [&](int64_t query, int64_t end, int64_t num_seen) {
            const int64_t row = query * job.num_heads, num_rows = (end - query) * job.num_heads;
            float* scores = scratch.scores.data() + row * kBlockTokens;
            float* sums = result.values + row * shape_.value_width;
            float kept[kJobRows + kFloats];
            multiply(num_rows, scratch.queries.data() + row * shape_.key_width, shape_.key_width, shape_.key_width,
                     keys, kBlockTokens, scores, kBlockTokens, nullptr);
            weigh(scores, num_rows, num_seen, is_first, row, result, kept);
            multiply(num_rows, scores, kBlockTokens, num_seen, values, shape_.value_width, sums, shape_.value_width,
                     is_first ? nullptr : kept);
        };
        for (int64_t query = job.query_at(start); query < full; ++query)
            attend(query, query + 1, job.first_position + query - start + 1);
        if (full < job.num_queries) attend(full, job.num_queries, kBlockTokens);
    }

    const CacheShape& shape_;
    const Stored* cache_;
};

}  // namespace native
