// What is done to rows of bytes as a whole: gather, number, fingerprint, strip reasoning.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "common.hpp"

namespace divfast {

// Rows index[0], index[1], ... one after the other.
template <typename T>
RaggedBuffer<T> gather(const RaggedView<T>& rows, const int64_t* index, int64_t n) {
    RaggedBuffer<T> out;
    out.offsets.resize(static_cast<size_t>(n) + 1);
    for (int64_t i = 0; i < n; ++i) {
        out.offsets[static_cast<size_t>(i) + 1] = out.offsets[static_cast<size_t>(i)] + rows.length(index[i]);
    }
    out.values.resize(static_cast<size_t>(out.offsets.back()));
    for (int64_t i = 0; i < n; ++i) {
        std::copy(rows.begin(index[i]), rows.end(index[i]), out.values.data() + out.offsets[static_cast<size_t>(i)]);
    }
    return out;
}

// The fingerprint of every row.
std::vector<uint64_t> hash_rows(const RaggedView<char>& rows, int threads);

// For every row the number of the first row with the same bytes.
std::vector<int64_t> first_equal(const RaggedView<char>& rows, int threads);

// Numbers keys in order of first appearance, over as many calls as there are blocks, and remembers what came
// with each key: the same id with two different prompts is a mistake in the data.
class KeyIndex {
  public:
    // codes[i] is the number of keys.row(i). Returns the rows whose companion differs from the one their key
    // had before. Rows where `has` is zero get a fresh number; companions where it is zero are not compared.
    std::vector<int64_t> add(const RaggedView<char>& keys, const uint8_t* has, const RaggedView<char>& companions,
                const uint8_t* has_companion, int64_t* codes);
    int64_t size() const { return next_; }

  private:
    struct Entry {
        int64_t code;
        uint64_t companion;  // 0 where none was seen yet
    };
    std::unordered_map<std::string, Entry> entries_;
    int64_t next_ = 0;
};

// Folds groups of rows into `state`, group by group, so that a stream of blocks gives the same value as the whole.
uint64_t fingerprint(const RaggedView<char>& rows, const int64_t* groups, int64_t n_groups, uint64_t state);

// For every row a hash of the seed, its number counted from `first`, and its bytes: the lowest are a fair sample.
std::vector<uint64_t> priorities(const RaggedView<char>& rows, uint64_t seed, uint64_t first, int threads);

struct Stripped {
    RaggedBuffer<char> text;
    int64_t stripped = 0;  // rows that held the end of a reasoning passage
    int64_t emptied = 0;   // of these, rows with nothing after it
};

// Drops everything up to and including the last "</think>" of each row, and white space behind it.
// `found` is false, and nothing is copied, where no row holds the tag.
Stripped strip_reasoning(const RaggedView<char>& rows, bool& found);

// Every row without the white space at its ends.
RaggedBuffer<char, Bytes> strip_rows(const RaggedView<char>& rows);

}  // namespace divfast
