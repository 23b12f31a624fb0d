// Metrics of pairs that keep the order of symbols: longest common subsequence and edit distance, bit by bit.
#pragma once

#include "pairs.hpp"

namespace divfast {

// Mean F1 of the longest common subsequence, 2 LCS / (m + n); 0 for a pair with an empty row.
void lcs_means(const RaggedView<uint64_t>& tokens, const int64_t* groups, int64_t n_groups, int threads, const Stop& stop,
               double* out);

// Mean Levenshtein distance over the length of the longer row; 0 for two empty rows. Symbols of texts are code points.
void edit_means(const RaggedView<uint64_t>& tokens, const int64_t* groups, int64_t n_groups, int threads, const Stop& stop,
                double* out);
void edit_means(const RaggedView<char>& text, const int64_t* groups, int64_t n_groups, int threads, const Stop& stop,
                double* out);

// Levenshtein distance of two rows of symbols by a band of diagonals that is widened until it holds the answer:
// O(d n / 64) time for distance d. -1 where it was stopped.
int64_t banded_distance(const uint32_t* a, int64_t m, const uint32_t* b, int64_t n, const Stop& stop);

}  // namespace divfast
