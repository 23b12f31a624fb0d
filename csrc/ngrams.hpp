// Distinct n-grams: counts per group, and sets that grow over a whole corpus. n-grams never cross rows.
#pragma once

#include <memory>
#include <vector>

#include "common.hpp"

namespace divfast {

// For every group (a run of rows) and each order 1..max_order: how many different n-grams, how many in all.
// unique and total are groups x max_order, row-major.
void ngram_counts(const RaggedView<uint64_t>& tokens, const int64_t* groups, int64_t n_groups, int max_order,
                  int threads, int64_t* unique, int64_t* total);

// Open addressing set of non-zero 64-bit fingerprints, 10.7 to 21.3 bytes each once there are many.
class FingerprintSet {
  public:
    void insert(const uint64_t* keys, size_t n);
    // Makes room for n more. Without it, keys in the slot order of another set would pile up while this one grows.
    void reserve(size_t n);
    int64_t size() const { return static_cast<int64_t>(size_); }
    void append_to(std::vector<uint64_t>& out) const;

  private:
    // One cache line, filled from the front. Looking at all of it costs less than one wrong guess of where to stop.
    struct alignas(64) Bucket {
        uint64_t keys[8];
    };
    void grow(size_t at_least);
    bool put(uint64_t key);

    std::vector<Bucket> buckets_;
    size_t size_ = 0;
};

// The different n-grams of a corpus that arrives in blocks. Each order is cut into shards by the high bits of
// the fingerprint: a shard stays in cache while it is filled, and threads never share one.
class NgramSets {
  public:
    explicit NgramSets(std::vector<int> orders);
    void add(const RaggedView<uint64_t>& tokens, int threads);
    void merge(const NgramSets& other, int threads);

    const std::vector<int>& orders() const { return orders_; }
    std::vector<int64_t> unique() const;
    const std::vector<int64_t>& total() const { return total_; }

    // The fingerprints of one order, for moving a set to another process.
    std::vector<uint64_t> fingerprints(size_t order_index) const;
    void absorb(size_t order_index, const uint64_t* keys, int64_t n, int64_t total);

  private:
    std::vector<int> orders_;
    std::vector<int64_t> total_;
    std::vector<std::vector<FingerprintSet>> shards_;
};

}  // namespace divfast
