// A whole decoder step: the residual stream through all layers, and logits for the rows that answer.
//
// The residual is fp32; every product takes 8-bit (or fp32) activations. All work on a row depends on that row
// and on its own sequence's cache, in an order that its position fixes.
#pragma once

#include <memory>

#include "step_attention.h"

namespace native {

class DecoderStep {
  public:
    DecoderStep(const Weights& weights, int64_t max_rows, int num_threads)
        : weights_(weights),
          max_rows_(max_rows),
          team_(num_threads),
          attention_(weights_, max_rows, team_, profile),
          normed_(max_rows, weights.hidden_size),
          gate_up_(max_rows * 2 * weights.mlp_size),
          activated_(max_rows, weights.mlp_size) {
        if (weights.routing.num_experts > 0) mixture_ = std::make_unique<Mixture>(weights_, max_rows);
    }

    void forward(const Batch& batch) {
        float* hidden = batch.hidden;
        float* logits = batch.logits;
        for_windows(batch, max_rows_, window_, [&](Window& window) {
            const int64_t num_rows = window.num_rows();
            run(batch, window, hidden);
            const int64_t num_logits = static_cast<int64_t>(window.kept.size());
            if (num_logits > 0) answer(hidden, num_logits, logits);
            hidden += num_rows * weights_.hidden_size;
            logits += num_logits * weights_.vocab_size;
        });
    }

    Profile profile;

  private:
    void run(const Batch& batch, Window& window, float* hidden) {
        attention_.prepare(window, batch.cache_type);
        for (int64_t i = 0; i < weights_.num_layers; ++i) {
            const LayerWeights& layer = weights_.layers[i];
            attention_.take_in(layer, norm(layer.attention_norm, hidden, window.num_rows()), window, batch.caches[i]);
            const bool is_last = i + 1 == weights_.num_layers;
            if (is_last && window.num_rows() > static_cast<int64_t>(window.kept.size())) {
                attention_.keep_answering(window);
                window.compact(hidden, weights_.hidden_size);
                window.keep_answering();
            }
            if (window.num_rows() == 0) return;
            const Rows attended = attention_.attend(layer, window.num_rows(), batch.caches[i]);
            profile.time(Work::OUTPUT, [&] {
                linear(layer.output.parts, layer.output.num_parts, attended, hidden, weights_.hidden_size, true,
                       team_);
            });
            run_mlp(layer, norm(layer.mlp_norm, hidden, window.num_rows()), hidden);
        }
    }

    Rows norm(const float* weight, const float* hidden, int64_t num_rows) {
        const Rows rows = normed_.rows(num_rows, weights_.hidden_size);
        profile.time(Work::NORM, [&] {
            for_rows(team_, num_rows, 2 * weights_.hidden_size, [&](int64_t row, int) {
                rms_norm(hidden + row * weights_.hidden_size, weight, weights_.norm_eps, weights_.hidden_size,
                         normed_.row(rows, row));
                quantize_row(rows, row);
            });
        });
        return rows;
    }

    void run_mlp(const LayerWeights& layer, const Rows& x, float* hidden) {
        if (layer.experts != nullptr) {
            profile.time(Work::MIXTURE, [&] { mixture_->run(layer, x, hidden, team_); });
            return;
        }
        const int64_t size = layer.mlp.size;
        profile.time(Work::GATE_UP, [&] {
            linear(layer.mlp.gate_up.parts, layer.mlp.gate_up.num_parts, x, gate_up_.data(), 2 * size, false, team_);
        });
        const Rows activated = activated_.rows(x.num_rows, size);
        profile.time(Work::ACTIVATE, [&] {
            for_rows(team_, x.num_rows, 2 * size, [&](int64_t row, int) {
                activate_row(gate_up_.data() + row * 2 * size, activated_, activated, row);
            });
        });
        profile.time(Work::DOWN, [&] {
            linear(layer.mlp.down.parts, layer.mlp.down.num_parts, activated, hidden, weights_.hidden_size, true,
                   team_);
        });
    }

    void answer(const float* hidden, int64_t num_rows, float* logits) {
        const Rows rows = norm(weights_.norm, hidden, num_rows);
        profile.time(Work::HEAD, [&] {
            linear(weights_.head.parts, weights_.head.num_parts, rows, logits, weights_.vocab_size, false, team_);
        });
    }

    const Weights weights_;
    const int64_t max_rows_;
    Team team_;
    StepAttention attention_;
    Activations normed_;
    std::vector<float> gate_up_;  // [rows, 2 * mlp_size]
    Activations activated_;
    std::unique_ptr<Mixture> mixture_;
    Window window_;
};

}  // namespace native
