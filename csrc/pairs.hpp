// Means over all pairs of rows of a group: what the pairwise metrics share. A kernel says what a pair is worth.
#pragma once

#include <limits>

#include "common.hpp"

namespace divfast {

// Eight rows side by side, 64 bits of each.
using Lanes = uint64_t __attribute__((vector_size(64)));
constexpr int64_t kLanes = 8;

// In memory they fill a cache line. A vector type alone does not tell its alignment to a container.
struct alignas(64) Line {
    Lanes lanes = {};
};

// Set by a thread that wants the work to end; what is returned then is meaningless.
using Stop = std::atomic<bool>;

// Numbers keys 0, 1, 2, ... in order of first appearance.
class Numbers {
  public:
    void clear(size_t expected) {
        size_t slots = 64;
        while (slots < 2 * expected && slots < (size_t{1} << 20)) slots <<= 1;
        slots_.assign(slots, Slot{});
        size_ = 0;
    }
    uint32_t size() const { return size_; }
    uint32_t operator()(uint64_t key) {
        const size_t mask = slots_.size() - 1;
        size_t at = fold(key ^ kSeed0, kSeed1) & mask;
        while (slots_[at].number != 0 && slots_[at].key != key) at = (at + 1) & mask;
        if (slots_[at].number != 0) return slots_[at].number - 1;
        slots_[at] = {key, ++size_};
        if (size_t{size_} * 2 > slots_.size()) grow();
        return size_ - 1;
    }

  private:
    struct Slot {
        uint64_t key = 0;
        uint32_t number = 0;  // from 1; 0 marks an empty slot
    };
    void grow() {
        std::vector<Slot> old(2 * slots_.size());
        old.swap(slots_);
        const size_t mask = slots_.size() - 1;
        for (const Slot& slot : old) {
            if (slot.number == 0) continue;
            size_t at = fold(slot.key ^ kSeed0, kSeed1) & mask;
            while (slots_[at].number != 0) at = (at + 1) & mask;
            slots_[at] = slot;
        }
    }

    std::vector<Slot> slots_;
    uint32_t size_ = 0;
};

// The different rows of a group and how often each occurs: samples of one prompt are often the same.
struct Different {
    std::vector<int64_t> rows;
    std::vector<double> weight;

    template <typename T>
    void find(const RaggedView<T>& all, int64_t first, int64_t last) {
        rows.clear();
        weight.clear();
        size_t slots = 16;
        while (slots < 2 * static_cast<size_t>(last - first)) slots <<= 1;
        table_.assign(slots, 0);
        hashes_.clear();
        for (int64_t row = first; row < last; ++row) {
            const auto bytes = static_cast<size_t>(all.length(row)) * sizeof(T);
            const char* data = bytes == 0 ? "" : reinterpret_cast<const char*>(all.begin(row));
            const uint64_t hash = hash_bytes(data, bytes);
            size_t at = hash & (slots - 1);
            for (; table_[at] != 0; at = (at + 1) & (slots - 1)) {
                const int64_t other = rows[table_[at] - 1];
                if (hashes_[table_[at] - 1] == hash && all.length(other) == all.length(row) &&
                    std::equal(all.begin(row), all.end(row), all.begin(other))) {
                    break;
                }
            }
            if (table_[at] != 0) {
                weight[table_[at] - 1] += 1.0;
                continue;
            }
            rows.push_back(row);
            weight.push_back(1.0);
            hashes_.push_back(hash);
            table_[at] = static_cast<uint32_t>(rows.size());
        }
    }

  private:
    std::vector<uint32_t> table_;
    std::vector<uint64_t> hashes_;
};

// A sum over pairs, and how many pairs are in it.
struct PairSum {
    double total = 0.0;
    double pairs = 0.0;

    void add(double value, double times) {
        total += value * times;
        pairs += times;
    }
    void add(const PairSum& other) {
        total += other.total;
        pairs += other.pairs;
    }
    double mean() const { return pairs > 0.0 ? total / pairs : std::numeric_limits<double>::quiet_NaN(); }
};

// The mean over the pairs of every group, NaN where there is none. A kernel has
//   void load(first, last)                     takes a group, on one thread
//   PairSum equal() const                      the pairs of equal rows
//   int64_t blocks() const, struct Scratch     the pairs of different rows come in blocks, on any thread
//   PairSum run(block, scratch, stop) const
// Sums are made block by block in order, so the number of threads changes nothing.
template <typename Kernel>
void pair_means(const Kernel& fresh, const int64_t* offsets, const int64_t* groups, int64_t n_groups, int threads,
                const Stop& stop, double* out) {
    threads = resolve_threads(threads);
    std::vector<int64_t> cost(static_cast<size_t>(n_groups)), prefix(static_cast<size_t>(n_groups) + 1);
    int64_t total = 0;
    for (int64_t g = 0; g < n_groups; ++g) {
        const int64_t k = groups[g + 1] - groups[g];
        const int64_t length = k == 0 ? 0 : offsets[groups[g + 1]] - offsets[groups[g]];
        total += cost[static_cast<size_t>(g)] = k * (length + k) + 1;
    }
    // A group that would keep one thread busy while the others have nothing left is shared between them.
    const int64_t large = threads == 1 ? std::numeric_limits<int64_t>::max() : std::max<int64_t>(1 << 20, total / (4 * threads));
    for (int64_t g = 0; g < n_groups; ++g) {
        const int64_t own = cost[static_cast<size_t>(g)];
        prefix[static_cast<size_t>(g) + 1] = prefix[static_cast<size_t>(g)] + (own > large ? 1 : own);
    }
    const std::vector<int64_t> cuts = balanced_cuts(prefix.data(), n_groups, 16 * threads);
    parallel_for(static_cast<int64_t>(cuts.size()) - 1, threads, [&](int64_t part) {
        Kernel kernel(fresh);
        typename Kernel::Scratch scratch;
        for (int64_t g = cuts[static_cast<size_t>(part)]; g < cuts[static_cast<size_t>(part) + 1] && !stop; ++g) {
            if (cost[static_cast<size_t>(g)] > large) continue;
            kernel.load(groups[g], groups[g + 1]);
            PairSum sum = kernel.equal();
            for (int64_t block = 0; block < kernel.blocks(); ++block) sum.add(kernel.run(block, scratch, stop));
            out[g] = sum.mean();
        }
    });
    for (int64_t g = 0; g < n_groups && !stop; ++g) {
        if (cost[static_cast<size_t>(g)] <= large) continue;
        Kernel kernel(fresh);
        kernel.load(groups[g], groups[g + 1]);
        PairSum sum = kernel.equal();
        std::vector<PairSum> sums(static_cast<size_t>(kernel.blocks()));
        parallel_for(kernel.blocks(), threads, [&](int64_t block) {
            typename Kernel::Scratch scratch;
            sums[static_cast<size_t>(block)] = kernel.run(block, scratch, stop);
        });
        for (const PairSum& part : sums) sum.add(part);
        out[g] = sum.mean();
    }
}

}  // namespace divfast
