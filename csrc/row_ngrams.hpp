// n-grams that a row shares with other rows: for each row, how often its different n-grams stand in another row,
// where a row counts once for each n-gram however often it holds it.
#pragma once

#include <vector>

#include "common.hpp"

namespace divfast {

// hits[row - groups[0]]: over the different n-grams of the row, in how many other rows of its group each one occurs.
void shared_ngrams(const RaggedView<uint64_t>& tokens, const int64_t* groups, int64_t n_groups, int order, int threads,
                   int64_t* hits);

// The same over a corpus that arrives in blocks: which rows share an n-gram is known only at the end, so the different
// n-grams of every row are kept, 8 bytes each.
class RowNgrams {
  public:
    explicit RowNgrams(int order);
    void add(const RaggedView<uint64_t>& tokens, int threads);
    // The rows of the other stand behind those that are here.
    void merge(const RowNgrams& other);

    int order() const { return order_; }
    int64_t rows() const { return rows_; }
    int64_t ngrams() const;
    // Takes an eighth as much memory again as the n-grams, twice over.
    std::vector<int64_t> hits(int threads) const;

    // All of it, for moving it to another process.
    RaggedBuffer<uint64_t> joined() const;
    void absorb(const RaggedView<uint64_t>& keys);

  private:
    static constexpr size_t kPart = size_t{1} << 20;
    void keep(RaggedBuffer<uint64_t>&& part);

    int order_;
    int64_t rows_ = 0;
    std::vector<RaggedBuffer<uint64_t>> parts_;
};

}  // namespace divfast
