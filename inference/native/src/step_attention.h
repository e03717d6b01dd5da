// A layer's attention from normed rows to the rows that its output projection takes: grouped-query, or latent
// in its absorbed form.
#pragma once

#include <memory>
#include <optional>

#include "mixture.h"
#include "norm.h"
#include "rope.h"
#include "step_profile.h"
#include "step_window.h"

namespace native {

class StepAttention {
  public:
    StepAttention(const Weights& weights, int64_t max_rows, Team& team, Profile& profile)
        : weights_(weights),
          team_(team),
          profile_(profile),
          rotary_{weights.frequencies, weights.rotated_dim(), weights.rotary_magnitude},
          input_(max_rows * weights.input_size()),
          rotations_(max_rows * weights.rotated_dim()),
          attended_(max_rows, weights.attended_size()) {
        if (!weights.is_latent()) return;
        absorbed_.resize(max_rows * weights.num_heads * weights.key_width());
        latents_.resize(max_rows * weights.num_heads * weights.kv_rank);
        if (weights.query_rank == 0) return;
        query_latents_ = std::make_unique<Activations>(max_rows, weights.query_rank);
        queries_.resize(max_rows * weights.query_size());
    }

    // Once a window, before its layers.
    void prepare(const Window& window, CacheType type) {
        shape_ = weights_.cache_shape(type);
        auto& attention = attentions_[static_cast<int>(type)];
        if (!attention) attention.emplace(shape_, weights_.num_heads, team_.size());
        attention_ = &*attention;
        attention_->plan(window.spans);
        for_rows(team_, window.num_rows(), 16 * rotary_.dim, [&](int64_t row, int) {
            rotary_.at(window.positions[row], rotations_.data() + row * rotary_.dim);
        });
    }

    // Projects the window's normed rows and writes their keys and values into the layer's cache.
    void take_in(const LayerWeights& layer, const Rows& x, const Window& window, void* cache) {
        profile_.time(Work::INPUT, [&] {
            linear(layer.input.parts, layer.input.num_parts, x, input_.data(), weights_.input_size(), false, team_);
        });
        profile_.time(Work::ROTATE, [&] {
            // Neighbouring positions share cache lines of the transposed keys: runs of them stay together.
            const bool is_decode = window.num_rows() == static_cast<int64_t>(window.spans.size());
            for_rows(team_, window.num_rows(), is_decode ? weights_.input_size() : 8192 / 32, [&](int64_t row, int) {
                switch (shape_.type) {
                    case CacheType::BF16: return store_row(layer, window, row, static_cast<uint16_t*>(cache));
                    case CacheType::E4M3: return store_row(layer, window, row, static_cast<uint8_t*>(cache));
                    case CacheType::FP32: return store_row(layer, window, row, static_cast<float*>(cache));
                }
            });
        });
    }

    // Only the window's answering rows go on.
    void keep_answering(const Window& window) {
        window.compact(input_.data(), weights_.input_size());
        window.compact(rotations_.data(), rotary_.dim);
        attention_->plan(window.answering);
    }

    // What the rows taken in see, quantized for the output projection.
    Rows attend(const LayerWeights& layer, int64_t num_rows, const void* cache) {
        const Rows result = attended_.rows(num_rows, weights_.attended_size());
        float* values = attended_.row(result, 0);
        if (weights_.is_latent()) {
            attend_latent(layer, num_rows, cache, values);
        } else {
            profile_.time(Work::ATTENTION, [&] {
                attention_->run(AttentionCall{input_.data(), weights_.input_size(), values, result.width,
                                              weights_.softmax_scale, cache},
                                team_);
            });
        }
        profile_.time(Work::NORM, [&] {
            for_rows(team_, num_rows, result.width, [&](int64_t row, int) { quantize_row(result, row); });
        });
        return result;
    }

  private:
    template <class Stored>
    void store_row(const LayerWeights& layer, const Window& window, int64_t row, Stored* cache) {
        float* input = input_.data() + row * weights_.input_size();
        const float* rotation = rotations_.data() + row * rotary_.dim;
        const int64_t position = window.positions[row];
        Stored* block = cache + window.tables[row][position / kBlockTokens] * shape_.block_size();
        if (weights_.is_latent()) {
            float* latent = input + weights_.input_size() - weights_.key_width();
            rms_norm(latent, layer.key_norm, weights_.inner_norm_eps, weights_.kv_rank, latent);
            rotate(latent + weights_.kv_rank, 1, 0, weights_.rope_dim, rotation);
            write_position(shape_, block, position % kBlockTokens, latent, latent);
            return;
        }
        const int64_t dim = weights_.head_dim, num_rotated = weights_.num_heads + weights_.num_kv_heads;
        if (layer.bias != nullptr) add(layer.bias, weights_.input_size(), input);
        for (int64_t head = 0; layer.query_norm != nullptr && head < num_rotated; ++head)
            rms_norm(input + head * dim, head < weights_.num_heads ? layer.query_norm : layer.key_norm,
                     weights_.inner_norm_eps, dim, input + head * dim);
        rotate(input, num_rotated, dim, dim, rotation);
        write_position(shape_, block, position % kBlockTokens, input + weights_.num_heads * dim,
                       input + num_rotated * dim);
    }

    // Queries and where a row of them starts next.
    struct Queries {
        float* values;
        int64_t stride;
    };

    Queries latent_queries(const LayerWeights& layer, int64_t num_rows) {
        if (weights_.query_rank == 0) return {input_.data(), weights_.input_size()};
        const Rows latents = query_latents_->rows(num_rows, weights_.query_rank);
        for_rows(team_, num_rows, 2 * weights_.query_rank, [&](int64_t row, int) {
            rms_norm(input_.data() + row * weights_.input_size(), layer.query_norm, weights_.inner_norm_eps,
                     weights_.query_rank, query_latents_->row(latents, row));
            quantize_row(latents, row);
        });
        linear(layer.query_up.parts, layer.query_up.num_parts, latents, queries_.data(), weights_.query_size(),
               false, team_);
        return {queries_.data(), weights_.query_size()};
    }

    // One head's columns of rows of fp32.
    static Rows columns(const float* values, int64_t stride, int64_t num_rows, int64_t width) {
        return Rows{values, stride, nullptr, nullptr, nullptr, nullptr, num_rows, width};
    }

    // Queries are taken to the latent's space (key_up), and what they see there back (value_up).
    void attend_latent(const LayerWeights& layer, int64_t num_rows, const void* cache, float* result) {
        const int64_t heads = weights_.num_heads, rank = weights_.kv_rank, key_width = weights_.key_width();
        const int64_t query_dim = weights_.nope_dim + weights_.rope_dim;
        profile_.time(Work::ABSORB, [&] {
            const Queries queries = latent_queries(layer, num_rows);
            team_.run(heads, [&](int64_t head, int) {
                const float* query = queries.values + head * query_dim;
                float* absorbed = absorbed_.data() + head * key_width;
                linear_range(layer.key_up[head], columns(query, queries.stride, num_rows, weights_.nope_dim),
                             absorbed, heads * key_width, false, 0, rank);
                for (int64_t row = 0; row < num_rows; ++row) {
                    float* rotated = absorbed + row * heads * key_width + rank;
                    std::copy_n(query + row * queries.stride + weights_.nope_dim, weights_.rope_dim, rotated);
                    rotate(rotated, 1, 0, weights_.rope_dim, rotations_.data() + row * rotary_.dim);
                }
            });
        });
        profile_.time(Work::ATTENTION, [&] {
            attention_->run(AttentionCall{absorbed_.data(), heads * key_width, latents_.data(), heads * rank,
                                          weights_.softmax_scale, cache},
                            team_);
        });
        profile_.time(Work::ABSORB, [&] {
            team_.run(heads, [&](int64_t head, int) {
                linear_range(layer.value_up[head], columns(latents_.data() + head * rank, heads * rank, num_rows, rank),
                             result + head * weights_.value_dim, weights_.attended_size(), false, 0,
                             weights_.value_dim);
            });
        });
    }

    const Weights& weights_;
    Team& team_;
    Profile& profile_;
    const Rotary rotary_;
    CacheShape shape_{};
    std::vector<float> input_;      // [rows, input_size] what the first projection gives
    std::vector<float> rotations_;  // [rows, rotated dim]
    std::vector<float> absorbed_;   // latent: [rows, heads, key_width]
    std::vector<float> latents_;    // latent: [rows, heads, kv_rank]
    std::vector<float> queries_;    // latent: [rows, query_size]
    std::unique_ptr<Activations> query_latents_;
    Activations attended_;
    std::optional<Attention> attentions_[3];  // by CacheType
    Attention* attention_ = nullptr;
};

}  // namespace native
