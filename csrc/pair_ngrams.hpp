// Metrics of pairs that count shared n-grams: Jaccard distance and chrF.
#pragma once

#include "pairs.hpp"

namespace divfast {

// Mean Jaccard distance of the n-grams of two rows, as sets or as multisets. A pair of rows without n-grams is left out.
void jaccard_means(const RaggedView<uint64_t>& tokens, const int64_t* groups, int64_t n_groups, int order, bool multiset,
                   int threads, const Stop& stop, double* out);

// Mean chrF, 0 to 100, of both directions of every pair, as sacrebleu without smoothing; 0 for a pair with an empty row.
void chrf_means(const RaggedView<char>& text, const int64_t* groups, int64_t n_groups, int char_order, int word_order,
                double beta, int threads, const Stop& stop, double* out);

}  // namespace divfast
