// The rows that go through the layers together: some tokens of some spans, and which of them answer.
#pragma once

#include <algorithm>
#include <vector>

#include "attention.h"
#include "step_weights.h"

namespace native {

struct Window {
    std::vector<SpanRows> spans;
    std::vector<SpanRows> answering;  // the rows whose logits are wanted, numbered once the others are gone
    std::vector<int64_t> kept;        // where those rows are among all
    std::vector<int64_t> positions;   // of each row
    std::vector<const int32_t*> tables;

    int64_t num_rows() const { return static_cast<int64_t>(positions.size()); }

    void clear() {
        spans.clear();
        answering.clear();
        kept.clear();
        positions.clear();
        tables.clear();
    }

    // The tokens [begin, end) of the batch's span.
    void add(const Batch& batch, int64_t span, int64_t begin, int64_t end) {
        const int32_t* table = batch.block_ids + batch.block_starts[span];
        const int64_t start = batch.starts[span], first_row = num_rows();
        spans.push_back(SpanRows{table, first_row, end - begin, start + begin});
        for (int64_t token = begin; token < end; ++token) {
            positions.push_back(start + token);
            tables.push_back(table);
        }
        const int64_t first = std::max(begin, batch.num_tokens[span] - batch.num_logits[span]);
        if (first >= end) return;
        answering.push_back(SpanRows{table, static_cast<int64_t>(kept.size()), end - first, start + first});
        for (int64_t token = first; token < end; ++token) kept.push_back(first_row + token - begin);
    }

    // Lets the rows go that do not answer; the last layer needs nothing of them but their keys and values.
    void keep_answering() {
        for (size_t i = 0; i < kept.size(); ++i) {
            positions[i] = positions[kept[i]];
            tables[i] = tables[kept[i]];
        }
        positions.resize(kept.size());
        tables.resize(kept.size());
        spans = answering;
    }

    // The same for [rows, width] values: kept rows move to the front.
    void compact(float* rows, int64_t width) const {
        for (size_t i = 0; i < kept.size(); ++i)
            if (kept[i] != static_cast<int64_t>(i)) std::copy_n(rows + kept[i] * width, width, rows + i * width);
    }
};

// Cuts a batch into windows of nearly one size, none above `max_rows`, and calls f(window) for each.
template <class F>
void for_windows(const Batch& batch, int64_t max_rows, Window& window, F&& f) {
    int64_t total = 0;
    for (int64_t span = 0; span < batch.num_spans; ++span) total += batch.num_tokens[span];
    const int64_t num_windows = (total + max_rows - 1) / max_rows;
    const int64_t size = num_windows > 0 ? (total + num_windows - 1) / num_windows : 0;
    window.clear();
    for (int64_t span = 0; span < batch.num_spans; ++span)
        for (int64_t token = 0; token < batch.num_tokens[span];) {
            const int64_t end = std::min(batch.num_tokens[span], token + size - window.num_rows());
            window.add(batch, span, token, end);
            token = end;
            if (window.num_rows() < size) continue;
            f(window);
            window.clear();
        }
    if (window.num_rows() > 0) f(window);
}

}  // namespace native
