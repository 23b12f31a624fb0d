// Near-duplicates: MinHash signatures cut into bands, pairs that share a band compared by their shingles, components.
#pragma once

#include <atomic>
#include <vector>

#include "shingles.hpp"
#include "texts.hpp"

namespace divfast {

// Families of linear permutations of 32-bit numbers; the hash of a set is the least image of its elements.
class MinHash {
  public:
    MinHash(int hashes, uint64_t seed);
    // Hashes first .. last into `least`, which has room for kTile more.
    void least_images(const uint32_t* elements, size_t n, size_t first, size_t last, uint32_t* least) const;

    static constexpr size_t kTile = 64;

  private:
    std::vector<uint32_t> factors_, terms_;
};

// Components that threads grow together. The smallest member of a component is its root, whatever the order.
class Forest {
  public:
    explicit Forest(size_t n);
    uint32_t find(uint32_t x);
    void unite(uint32_t a, uint32_t b);

  private:
    std::vector<std::atomic<uint32_t>> parents_;
};

struct Bands {
    int count = 21;
    int rows = 6;
    uint64_t seed = 0;
};

// For every text the first one of its component, where two texts are joined if their signatures agree in a band and
// the Jaccard similarity of their shingles reaches the threshold. The same for any number of threads and any limit.
//
// Holds 4 bytes a text, and as many bands at a time as fit into `limit` bytes (0: all) at 4 bytes a text each, beside
// 16 bytes a text for every thread that sorts one.
std::vector<uint32_t> near_duplicates(const DistinctTexts& texts, const ShingleRule& rule, double threshold,
                                      const Bands& bands, int64_t limit, int threads);

// The same within each group of rows, every pair compared; equal[i] is the first row of the group with the text of
// row i. Without `near` only equal rows are joined.
struct GroupDuplicates {
    std::vector<int64_t> equal, near;
};
GroupDuplicates group_duplicates(const RaggedView<char>& rows, const int64_t* groups, int64_t n_groups, bool near,
                                 const ShingleRule& rule, double threshold, int threads);

}  // namespace divfast
