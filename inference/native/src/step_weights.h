// A decoder as the step reads it: plain structs that decoder.py mirrors field by field and keeps alive.
#pragma once

#include "attention_cache.h"
#include "matrix.h"
#include "router.h"

namespace native {

// Matrices of one width whose outputs lie side by side.
struct Projection {
    const Matrix* parts;
    int64_t num_parts;

    bool is_integer() const {
        for (int64_t i = 0; i < num_parts; ++i)
            if (!native::is_integer(parts[i].kind)) return false;
        return true;
    }
};

// down(silu(gate x) * up x); gate_up gives both side by side. `size` 0: there is none.
struct MlpWeights {
    Projection gate_up, down;
    int64_t size;
};

struct LayerWeights {
    const float* attention_norm;  // [hidden_size]
    const float* mlp_norm;        // [hidden_size]
    Projection input;  // grouped: queries, keys, values; latent: the queries or their latent, kv latent and key
    const float* bias;            // grouped, [input rows] or null
    const float* query_norm;      // grouped: of each head; latent: of the query's latent; or null
    const float* key_norm;        // grouped: of each head, or null; latent: of the latent
    Projection query_up;          // latent, where queries have a latent of their own
    const Matrix* key_up;         // latent, a head each: [kv_lora_rank, nope], the key's part transposed
    const Matrix* value_up;       // latent, a head each: [v_head_dim, kv_lora_rank]
    Projection output;
    MlpWeights mlp;  // the MLP, or beside experts the shared one
    Projection router;
    const float* choice_bias;   // [num_experts]
    const MlpWeights* experts;  // [num_experts], or null
};

struct Weights {
    int64_t vocab_size, hidden_size, num_layers, num_heads, num_kv_heads;
    int64_t head_dim;  // grouped; 0 where attention is latent
    int64_t query_rank, kv_rank, nope_dim, rope_dim, value_dim;  // latent; query_rank 0: no query latent
    int64_t mlp_size, expert_size;  // the widest dense or shared MLP, and an expert
    Routing routing;
    float norm_eps, inner_norm_eps;  // the second inside attention
    float softmax_scale;
    double rotary_magnitude;
    const double* frequencies;  // [rotated dimensions / 2]
    const LayerWeights* layers;
    const float* norm;
    Projection head;

    bool is_latent() const { return head_dim == 0; }
    int64_t rotated_dim() const { return is_latent() ? rope_dim : head_dim; }
    int64_t key_width() const { return is_latent() ? kv_rank + rope_dim : head_dim; }
    int64_t value_width() const { return is_latent() ? kv_rank : head_dim; }
    // What attention hands to the output projection.
    int64_t attended_size() const { return num_heads * (is_latent() ? value_dim : head_dim); }
    int64_t input_size() const {
        if (is_latent()) return (query_rank > 0 ? query_rank : query_size()) + key_width();
        return (num_heads + 2 * num_kv_heads) * head_dim;
    }
    int64_t query_size() const { return num_heads * (is_latent() ? nope_dim + rope_dim : head_dim); }
    CacheShape cache_shape(CacheType type) const {
        return CacheShape{type, is_latent(), is_latent() ? 1 : num_kv_heads, key_width(), value_width()};
    }
};

// One call: spans of tokens one after the other.
struct Batch {
    int64_t num_spans;
    const int64_t* starts;        // [num_spans] positions computed before
    const int64_t* num_tokens;    // [num_spans]
    const int64_t* num_logits;    // [num_spans] of the last tokens
    const int64_t* block_starts;  // [num_spans] where a span's table begins in block_ids
    const int32_t* block_ids;
    float* hidden;         // [tokens, hidden_size]: the embeddings; written over
    void* const* caches;   // [num_layers]
    CacheType cache_type;
    float* logits;  // [sum of num_logits, vocab_size]
};

}  // namespace native
