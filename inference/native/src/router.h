// DeepSeek-V3's router (noaux_tc): which experts a token goes to, and how much each counts.
#pragma once

#include <cmath>
#include <cstdint>

namespace native {

struct Routing {
    int64_t num_experts, num_per_token, num_groups, num_groups_chosen;
    int32_t normalizes;
    float scaling;
};

// The `count` greatest of scores[size] into chosen, greatest first, the lower index on a tie.
inline void choose_greatest(const float* scores, int64_t size, int64_t count, int32_t* chosen) {
    int64_t num_chosen = 0;
    for (int32_t i = 0; i < size; ++i) {
        if (num_chosen == count && !(scores[i] > scores[chosen[count - 1]])) continue;
        int64_t at = num_chosen < count ? num_chosen++ : count - 1;
        for (; at > 0 && scores[i] > scores[chosen[at - 1]]; --at) chosen[at] = chosen[at - 1];
        chosen[at] = i;
    }
}

// Experts outside the best groups drop out; a group's score is the sum of its two best.
inline void keep_best_groups(float* choice, const Routing& routing, float* group_scores, int32_t* groups) {
    const int64_t size = routing.num_experts / routing.num_groups;
    for (int64_t g = 0; g < routing.num_groups; ++g) {
        int32_t best[2] = {0, 0};
        choose_greatest(choice + g * size, size, size < 2 ? size : 2, best);
        group_scores[g] = choice[g * size + best[0]] + (size < 2 ? 0.0f : choice[g * size + best[1]]);
    }
    choose_greatest(group_scores, routing.num_groups, routing.num_groups_chosen, groups);
    for (int64_t g = 0; g < routing.num_groups; ++g) {
        bool is_kept = false;
        for (int64_t j = 0; j < routing.num_groups_chosen; ++j) is_kept |= groups[j] == g;
        for (int64_t e = g * size; !is_kept && e < (g + 1) * size; ++e) choice[e] = -INFINITY;
    }
}

// logits  [num_experts], become the sigmoid scores
// bias    [num_experts], added for choosing only
// chosen, weights  [num_per_token], the best first
// scratch [2 * num_experts] floats; group_choice [num_groups]
inline void route(float* logits, const float* bias, const Routing& routing, float* scratch, int32_t* group_choice,
                  int32_t* chosen, float* weights) {
    float* choice = scratch;
    for (int64_t e = 0; e < routing.num_experts; ++e) {
        logits[e] = 1.0f / (1.0f + std::exp(-logits[e]));
        choice[e] = logits[e] + bias[e];
    }
    if (routing.num_groups > 1) keep_best_groups(choice, routing, scratch + routing.num_experts, group_choice);
    choose_greatest(choice, routing.num_experts, routing.num_per_token, chosen);
    float sum = 0.0f;
    for (int64_t k = 0; k < routing.num_per_token; ++k) sum += weights[k] = logits[chosen[k]];
    const float factor = routing.normalizes ? routing.scaling / (sum + 1e-20f) : routing.scaling;
    for (int64_t k = 0; k < routing.num_per_token; ++k) weights[k] *= factor;
}

}  // namespace native
