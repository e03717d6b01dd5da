// Attention of a step's rows over the paged cache: cut into jobs, shared out over the team.
#pragma once

#include <algorithm>
#include <vector>

#include "attention_block.h"
#include "team.h"

namespace native {

// Neighbouring rows of a step that belong to one sequence.
struct SpanRows {
    const int32_t* block_ids;
    int64_t first_row, num_rows, first_position;
};

// Queries [rows, num_heads, key_width] with `query_stride` floats a row; the result [rows, num_heads, value_width].
struct AttentionCall {
    const float* queries;
    int64_t query_stride;
    float* result;
    int64_t result_stride;
    float scale;  // of scores
    const void* cache;
};

class Attention {
  public:
    Attention(const CacheShape& shape, int64_t num_heads, int num_threads)
        : shape_(shape), num_heads_(num_heads), scratch_(num_threads) {
        for (auto& scratch : scratch_) scratch.reserve(shape);
    }

    // What follows from the spans alone, once for all layers.
    void plan(const std::vector<SpanRows>& spans) {
        jobs_.clear();
        for (const SpanRows& span : spans) add_jobs(span);
        int64_t num_segments = 0;
        for (const AttentionJob& job : jobs_) num_segments += job.num_segments();
        // Jobs longer than a fair piece are split at their segments: there are few of them.
        const int64_t piece = num_segments / (4 * static_cast<int64_t>(scratch_.size())) + 1;
        shares_.clear();
        split_jobs_.clear();
        int64_t num_partials = 0;
        for (size_t j = 0; j < jobs_.size(); ++j) {
            const int64_t length = jobs_[j].num_segments();
            if (length <= piece) {
                shares_.push_back(Share{static_cast<int64_t>(j), 0, -1});
                continue;
            }
            split_jobs_.push_back(Share{static_cast<int64_t>(j), 0, num_partials});
            for (int64_t segment = 0; segment < length; ++segment)
                shares_.push_back(Share{static_cast<int64_t>(j), segment, num_partials++});
        }
        const size_t size = num_partials * RunningSoftmax::size(shape_.value_width);
        if (partials_.size() < size) partials_.resize(size);
    }

    void run(const AttentionCall& call, Team& team) {
        switch (shape_.type) {
            case CacheType::BF16: return run_over<uint16_t>(call, team);
            case CacheType::E4M3: return run_over<uint8_t>(call, team);
            case CacheType::FP32: return run_over<float>(call, team);
        }
    }

  private:
    // A whole job (partial -1) or one segment of it, whose sums go to that place.
    struct Share {
        int64_t job, segment, partial;
    };

    void add_jobs(const SpanRows& span) {
        const int64_t group = num_heads_ / shape_.num_kv_heads;
        const int64_t heads_at_once = group < 16 ? group : 16, queries_at_once = kJobRows / heads_at_once;
        for (int64_t kv_head = 0; kv_head < shape_.num_kv_heads; ++kv_head)
            for (int64_t head = 0; head < group; head += heads_at_once)
                for (int64_t query = 0; query < span.num_rows; query += queries_at_once) {
                    const int64_t num_queries = std::min(queries_at_once, span.num_rows - query);
                    jobs_.push_back(AttentionJob{span.block_ids, span.first_row + query, num_queries,
                                                 span.first_position + query, kv_head, kv_head * group + head,
                                                 std::min(heads_at_once, group - head)});
                }
    }

    template <class Stored>
    void run_over(const AttentionCall& call, Team& team) {
        const BlockAttention<Stored> cache(shape_, static_cast<const Stored*>(call.cache));
        team.run(static_cast<int64_t>(shares_.size()), [&](int64_t i, int thread) {
            const Share& share = shares_[i];
            const AttentionJob& job = jobs_[share.job];
            AttentionScratch& scratch = scratch_[thread];
            load_queries(job, call, scratch);
            if (share.partial >= 0) {
                cache.attend_segment(job, share.segment, scratch, partial(share.partial));
                return;
            }
            const RunningSoftmax total(scratch.total.data()), later(scratch.segment.data());
            cache.attend_segment(job, 0, scratch, total);
            for (int64_t segment = 1; segment < job.num_segments(); ++segment) {
                cache.attend_segment(job, segment, scratch, later);
                merge(later, job.first_row_of(segment), job.num_rows(), shape_.value_width, total);
            }
            write_result(job, total, call);
        });
        team.run(static_cast<int64_t>(split_jobs_.size()), [&](int64_t i, int) {
            const Share& share = split_jobs_[i];
            const AttentionJob& job = jobs_[share.job];
            const RunningSoftmax total = partial(share.partial);
            for (int64_t segment = 1; segment < job.num_segments(); ++segment)
                merge(partial(share.partial + segment), job.first_row_of(segment), job.num_rows(),
                      shape_.value_width, total);
            write_result(job, total, call);
        });
    }

    RunningSoftmax partial(int64_t index) {
        return RunningSoftmax(partials_.data() + index * RunningSoftmax::size(shape_.value_width));
    }

    void load_queries(const AttentionJob& job, const AttentionCall& call, AttentionScratch& scratch) const {
        for (int64_t query = 0; query < job.num_queries; ++query) {
            const float* from = call.queries + (job.first_row + query) * call.query_stride +
                                job.first_head * shape_.key_width;
            float* to = scratch.queries.data() + query * job.num_heads * shape_.key_width;
            for (int64_t i = 0; i < job.num_heads * shape_.key_width; ++i) to[i] = from[i] * call.scale;
        }
    }

    void write_result(const AttentionJob& job, const RunningSoftmax& total, const AttentionCall& call) const {
        for (int64_t row = 0; row < job.num_rows(); ++row) {
            const float* sums = total.values + row * shape_.value_width;
            float* to = call.result + (job.first_row + row / job.num_heads) * call.result_stride +
                        (job.first_head + row % job.num_heads) * shape_.value_width;
            const float inverse = 1.0f / sum_of(load(total.lanes + row * kFloats));
            for (int64_t i = 0; i < shape_.value_width; i += kFloats) store(to + i, load(sums + i) * inverse);
        }
    }

    CacheShape shape_;
    int64_t num_heads_;
    std::vector<AttentionScratch> scratch_;
    std::vector<AttentionJob> jobs_;
    std::vector<Share> shares_, split_jobs_;
    std::vector<float> partials_;
};

}  // namespace native
