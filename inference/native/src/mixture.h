// The MLPs of a step: one for all rows, or a mixture of experts in which the rows that share an expert share
// the reading of its weights.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "linear.h"
#include "norm.h"
#include "step_weights.h"

namespace native {

// fp32 rows and their 8-bit side in memory of its own.
class Activations {
  public:
    Activations(int64_t max_rows, int64_t max_width)
        : values_(max_rows * max_width), integers_(max_rows, max_width) {}
    Rows rows(int64_t num_rows, int64_t width) { return integers_.over(values_.data(), width, num_rows, width); }
    float* row(const Rows& rows, int64_t index) { return values_.data() + index * rows.width; }

  private:
    std::vector<float> values_;
    RowsBuffer integers_;
};

// Calls f(row, thread) for every row; rows that cost little stay with the caller.
template <class F>
void for_rows(Team& team, int64_t num_rows, int64_t values_per_row, F&& f) {
    const int64_t at_once = std::max<int64_t>(1, 8192 / std::max<int64_t>(1, values_per_row));
    team.run((num_rows + at_once - 1) / at_once, [&](int64_t chunk, int thread) {
        const int64_t end = std::min(num_rows, (chunk + 1) * at_once);
        for (int64_t row = chunk * at_once; row < end; ++row) f(row, thread);
    });
}

// Products of different matrices with different rows, in one run of the team.
class GroupedLinear {
  public:
    void clear() { parts_.clear(); }
    void add(const Projection& projection, const Rows& x, float* y, int64_t y_stride) {
        for (int64_t i = 0; i < projection.num_parts; ++i) {
            const Matrix& matrix = projection.parts[i];
            for (int64_t row = 0; row < matrix.num_rows; row += kRowsAtOnce)
                parts_.push_back(Part{&matrix, x, y, y_stride, row, std::min(matrix.num_rows, row + kRowsAtOnce)});
            y += matrix.num_rows;
        }
    }
    void run(Team& team) const {
        team.run(static_cast<int64_t>(parts_.size()), [&](int64_t i, int) {
            const Part& part = parts_[i];
            linear_range(*part.matrix, part.x, part.y, part.y_stride, false, part.row_begin, part.row_end);
        });
    }

  private:
    static constexpr int64_t kRowsAtOnce = 256;
    struct Part {
        const Matrix* matrix;
        Rows x;
        float* y;
        int64_t y_stride, row_begin, row_end;
    };
    std::vector<Part> parts_;
};

// silu(gate) * up and its integers, a piece that stays in the first cache at a time. gate_up [2 * rows.width].
inline void activate_row(const float* gate_up, Activations& result, const Rows& rows, int64_t row) {
    constexpr int64_t kPiece = 512;
    for (int64_t begin = 0; begin < rows.width; begin += kPiece) {
        const int64_t end = std::min(rows.width, begin + kPiece);
        silu_times(gate_up + begin, gate_up + rows.width + begin, end - begin, result.row(rows, row) + begin);
        if (rows.width % kGroup == 0) quantize_columns(rows, row, begin, end);
    }
}

// A row of a view as a view of one row.
inline Rows one_row(const Rows& rows, int64_t row) {
    const int64_t groups = rows.width / kGroup;
    return Rows{rows.values + row * rows.stride, rows.stride,           rows.quantized + row * rows.width,
                rows.scales + row * groups,      rows.sums + row * groups, rows.half_sums + row * groups * 2,
                1,                               rows.width};
}

class Mixture {
  public:
    Mixture(const Weights& weights, int64_t max_rows)
        : routing_(weights.routing),
          hidden_size_(weights.hidden_size),
          expert_size_(weights.expert_size),
          max_routed_(max_rows * routing_.num_per_token),
          gathered_(max_routed_, hidden_size_),
          activated_(max_routed_, expert_size_),
          shared_activated_(max_rows, weights.mlp_size),
          gate_up_(max_routed_ * 2 * expert_size_),
          shared_gate_up_(max_rows * 2 * weights.mlp_size),
          down_((max_routed_ + max_rows) * hidden_size_),
          scores_(max_rows * 3 * routing_.num_experts),
          weights_(max_routed_),
          chosen_(max_routed_),
          groups_(max_rows * std::max<int64_t>(1, routing_.num_groups)),
          places_(max_routed_),
          ends_(routing_.num_experts + 1) {}

    // Adds the mixture of the normed rows x to `hidden` [rows, hidden_size].
    void run(const LayerWeights& layer, const Rows& x, float* hidden, Team& team) {
        choose(layer, x, team);
        gather(x, is_integer(layer), team);
        multiply_experts(layer, x, team);
        combine(layer.mlp.size > 0, x.num_rows, hidden, team);
    }

  private:
    void choose(const LayerWeights& layer, const Rows& x, Team& team) {
        const int64_t experts = routing_.num_experts, count = routing_.num_per_token;
        linear(layer.router.parts, layer.router.num_parts, x, scores_.data(), 3 * experts, false, team);
        for_rows(team, x.num_rows, 4 * experts, [&](int64_t row, int) {
            float* scores = scores_.data() + row * 3 * experts;
            route(scores, layer.choice_bias, routing_, scores + experts, groups_.data() + row * routing_.num_groups,
                  chosen_.data() + row * count, weights_.data() + row * count);
        });
        // Rows of one expert come to lie side by side, in the order of their tokens.
        std::fill(ends_.begin(), ends_.end(), 0);
        for (int64_t i = 0; i < x.num_rows * count; ++i) ++ends_[chosen_[i] + 1];
        for (int64_t e = 0; e < experts; ++e) ends_[e + 1] += ends_[e];
        for (int64_t i = 0; i < x.num_rows * count; ++i) places_[i] = ends_[chosen_[i]]++;
    }

    // Whether no expert reads floats of the normed rows.
    bool is_integer(const LayerWeights& layer) const {
        return std::all_of(layer.experts, layer.experts + routing_.num_experts,
                           [](const MlpWeights& expert) { return expert.gate_up.is_integer(); });
    }

    int64_t first_of(int64_t expert) const { return expert > 0 ? ends_[expert - 1] : 0; }

    void gather(const Rows& x, bool is_integer, Team& team) {
        if (x.num_rows == 1) return;
        const Rows to = gathered_.rows(max_routed_, hidden_size_);
        const int64_t groups = hidden_size_ / kGroup;
        for_rows(team, x.num_rows * routing_.num_per_token, hidden_size_, [&](int64_t i, int) {
            const Rows source = one_row(x, i / routing_.num_per_token), place = one_row(to, places_[i]);
            if (!is_integer) std::memcpy(gathered_.row(to, places_[i]), source.values, hidden_size_ * sizeof(float));
            std::memcpy(place.quantized, source.quantized, hidden_size_);
            std::memcpy(place.scales, source.scales, groups * sizeof(float));
            std::memcpy(place.sums, source.sums, groups * sizeof(float));
            std::memcpy(place.half_sums, source.half_sums, 2 * groups * sizeof(float));
        });
    }

    // `num_rows` rows of a view from `row` on.
    static Rows some(const Rows& rows, int64_t row, int64_t num_rows) {
        Rows part = one_row(rows, row);
        part.num_rows = num_rows;
        return part;
    }

    template <class F>
    void for_experts(F&& f) const {
        for (int64_t e = 0; e < routing_.num_experts; ++e)
            if (ends_[e] > first_of(e)) f(e, first_of(e), ends_[e] - first_of(e));
    }

    void multiply_experts(const LayerWeights& layer, const Rows& x, Team& team) {
        const int64_t routed = x.num_rows * routing_.num_per_token, shared = layer.mlp.size;
        const Rows gathered = x.num_rows == 1 ? x : gathered_.rows(routed, hidden_size_);
        products_.clear();
        for_experts([&](int64_t e, int64_t first, int64_t count) {
            const Rows rows = x.num_rows == 1 ? x : some(gathered, first, count);
            products_.add(layer.experts[e].gate_up, rows, gate_up_.data() + first * 2 * expert_size_,
                          2 * expert_size_);
        });
        if (shared > 0) products_.add(layer.mlp.gate_up, x, shared_gate_up_.data(), 2 * shared);
        products_.run(team);
        const Rows activated = activate(gate_up_, activated_, routed, expert_size_, team);
        products_.clear();
        for_experts([&](int64_t e, int64_t first, int64_t count) {
            products_.add(layer.experts[e].down, some(activated, first, count), down_.data() + first * hidden_size_,
                          hidden_size_);
        });
        if (shared > 0)
            products_.add(layer.mlp.down, activate(shared_gate_up_, shared_activated_, x.num_rows, shared, team),
                          down_.data() + max_routed_ * hidden_size_, hidden_size_);
        products_.run(team);
    }

    static Rows activate(const std::vector<float>& gate_up, Activations& result, int64_t num_rows, int64_t size,
                         Team& team) {
        const Rows rows = result.rows(num_rows, size);
        for_rows(team, num_rows, size, [&](int64_t row, int) {
            activate_row(gate_up.data() + row * 2 * size, result, rows, row);
        });
        return rows;
    }

    // The experts in the order of their choice, then the shared one.
    void combine(bool has_shared, int64_t num_rows, float* hidden, Team& team) {
        const int64_t count = routing_.num_per_token;
        for_rows(team, num_rows, hidden_size_, [&](int64_t row, int) {
            float* sum = hidden + row * hidden_size_;
            for (int64_t i = row * count; i < (row + 1) * count; ++i)
                add_scaled(down_.data() + places_[i] * hidden_size_, weights_[i], hidden_size_, sum);
            if (has_shared) add(down_.data() + (max_routed_ + row) * hidden_size_, hidden_size_, sum);
        });
    }

    const Routing routing_;
    const int64_t hidden_size_, expert_size_, max_routed_;
    Activations gathered_, activated_, shared_activated_;
    std::vector<float> gate_up_, shared_gate_up_, down_, scores_, weights_;
    std::vector<int32_t> chosen_, groups_;
    std::vector<int64_t> places_, ends_;
    GroupedLinear products_;
};

}  // namespace native
