// How often n-grams occur: how many occur once, twice, ... per group, and over a whole corpus.
#pragma once

#include <vector>

#include "common.hpp"
#include "ngram_keys.hpp"

namespace divfast {

// Frequencies of n-grams: many[i] different n-grams occur count[i] times each. Of several groups, one after the other.
struct Spectrum {
    std::vector<int64_t> count;
    std::vector<int64_t> many;
};

// Open addressing from non-zero fingerprints to counts, 21 to 43 bytes each once there are many.
class CountTable {
  public:
    void add(const uint64_t* keys, size_t n);
    void add(uint64_t key, int64_t count);
    // Makes room for n more.
    void reserve(size_t n);
    // Forgets all keys, and starts small again without giving memory back.
    void restart();
    int64_t size() const { return static_cast<int64_t>(size_); }

    template <typename Look>
    void each(const Look& look) const {
        for (size_t i = 0; i < slots_; ++i) {
            if (table_[i].key != 0) look(table_[i].key, table_[i].count);
        }
    }

  private:
    struct Slot {
        uint64_t key;
        int64_t count;
    };
    void grow(size_t at_least);
    Slot& find(uint64_t key);

    std::vector<Slot> table_, spare_;
    size_t slots_ = 0;
    size_t size_ = 0;
};

// Appends the frequencies of each group, the highest first; offsets (n_groups + 1) tells where each group starts.
Spectrum ngram_spectrum(const RaggedView<uint64_t>& tokens, const int64_t* groups, int64_t n_groups, int order, int threads,
                        std::vector<int64_t>& offsets);

// How often each n-gram of one order occurs in a corpus that arrives in blocks.
class NgramCounts {
  public:
    explicit NgramCounts(int order);
    void add(const RaggedView<uint64_t>& tokens, int threads);
    void merge(const NgramCounts& other, int threads);

    int order() const { return orders_.front(); }
    Spectrum spectrum() const;

    // All of it, for moving it to another process.
    void append_to(std::vector<uint64_t>& keys, std::vector<int64_t>& counts) const;
    void absorb(const uint64_t* keys, const int64_t* counts, int64_t n);

  private:
    std::vector<int> orders_;
    std::vector<CountTable> shards_;
};

}  // namespace divfast
