// How many n-grams of a row also stand in another row of its group, counted as BLEU clips them.
//
// Row i may match an n-gram as often as the row that has most of it, i itself left out. So it loses matches only where
// it alone has most of it, and then as many as it has more than the next: two counts an n-gram are enough. Matches are
// therefore the places whose n-gram occurs elsewhere, less what the sole owners of a largest count have too many.
#pragma once

#include <vector>

#include "common.hpp"

namespace divfast {

// Places are counted in 32 bits.
constexpr int64_t kMostTokens = (int64_t{1} << 32) - 2;

// Whole rows that lie side by side in memory, or, where values is null, in the file.
struct TokenChunk {
    const uint64_t* values;
    int64_t first, last;
};

// The rows of one corpus. offsets[row] is the place of a row's first token among all tokens, and in the file.
struct TokenTape {
    std::vector<TokenChunk> chunks;
    const int64_t* offsets;
    int64_t rows;
    int file;

    // Appends chunks of about a quarter of a million tokens for rows [first, last), whose tokens start at `values`.
    void cut(const uint64_t* values, int64_t first, int64_t last);
};

// Fills matches, rows x max_order, for the rows of a tape as one group. Beside the tape it takes about `memory` bytes;
// where they are too few for all n-grams, it reads the tape several times. 0: as many as are worth their while.
// Throws std::system_error where the file cannot be read.
void corpus_matches(const TokenTape& tape, int max_order, int64_t memory, int threads, uint32_t* matches);

// The same for every group of rows.
void group_matches(const RaggedView<uint64_t>& tokens, const int64_t* groups, int64_t n_groups, int max_order,
                   int64_t memory, int threads, uint32_t* matches);

// For every row the length of another row of its group that is closest to its own, the shorter one of two; -1 where
// there is no other.
void closest_lengths(const int64_t* lengths, const int64_t* groups, int64_t n_groups, int threads, int64_t* closest);

}  // namespace divfast
