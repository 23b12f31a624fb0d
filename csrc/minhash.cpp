#include "minhash.hpp"

#include <array>

#include "rows.hpp"

namespace divfast {
namespace {

constexpr size_t kLanes = 16;
typedef uint32_t Lanes __attribute__((vector_size(4 * kLanes)));

// Four vectors of sixteen, which the compiler keeps in registers.
DIVFAST_CLONES void least_of_tile(const uint32_t* elements, size_t n, const uint32_t* factors, const uint32_t* terms,
                                  uint32_t* least) {
    Lanes factor[4], term[4], best[4];
    for (int i = 0; i < 4; ++i) {
        std::memcpy(&factor[i], factors + kLanes * static_cast<size_t>(i), sizeof(Lanes));
        std::memcpy(&term[i], terms + kLanes * static_cast<size_t>(i), sizeof(Lanes));
        best[i] = term[i] | UINT32_MAX;
    }
    for (size_t at = 0; at < n; ++at) {
        for (int i = 0; i < 4; ++i) {
            const Lanes image = factor[i] * elements[at] + term[i];
            best[i] = image < best[i] ? image : best[i];
        }
    }
    std::memcpy(least, best, sizeof best);
}

// Key of no band: that of a text without shingles.
constexpr uint32_t kNoKey = 0;

uint32_t band_key(const uint32_t* least, size_t rows) {
    uint64_t state = kSeed1;
    for (size_t i = 0; i < rows; ++i) state = combine(state, least[i]);
    const auto key = static_cast<uint32_t>(state >> 32);
    return key == kNoKey ? 1 : key;
}

// Sorts by the high half, stably; that is all there is to compare, since the low halves come in order.
void sort_by_key(std::vector<uint64_t>& keyed, std::vector<uint64_t>& scratch) {
    constexpr int kDigits = 11;
    constexpr size_t kBuckets = size_t{1} << kDigits;
    scratch.resize(keyed.size());
    for (int shift = 32; shift < 64; shift += kDigits) {
        std::array<size_t, kBuckets> starts{};
        for (const uint64_t entry : keyed) ++starts[(entry >> shift) & (kBuckets - 1)];
        size_t sum = 0;
        for (size_t& start : starts) start = std::exchange(sum, sum + start);
        for (const uint64_t entry : keyed) scratch[starts[(entry >> shift) & (kBuckets - 1)]++] = entry;
        keyed.swap(scratch);
    }
}

// One pass over some bands of all texts.
class Pass {
  public:
    Pass(const DistinctTexts& texts, const ShingleRule& rule, double threshold, Forest& forest, size_t bands)
        : texts_(texts), rule_(rule), threshold_(threshold), forest_(forest), bands_(bands), keys_(texts.size() * bands) {}

    void find_keys(const MinHash& family, size_t first_band, size_t rows, const std::vector<int64_t>& runs, int threads) {
        parallel_for(static_cast<int64_t>(runs.size()) - 1, threads, [&](int64_t run) {
            const auto first = static_cast<size_t>(runs[static_cast<size_t>(run)]);
            const auto last = static_cast<size_t>(runs[static_cast<size_t>(run) + 1]);
            RaggedBuffer<char> scratch;
            const RaggedBuffer<uint64_t> found = shingles(texts_.range(first, last, scratch), rule_);
            std::vector<uint32_t> elements, least(bands_ * rows + MinHash::kTile);
            for (size_t text = first; text < last; ++text) {
                const auto from = static_cast<size_t>(found.offsets[text - first]);
                const auto to = static_cast<size_t>(found.offsets[text - first + 1]);
                if (from == to) continue;  // its keys are kNoKey
                elements.clear();
                for (size_t i = from; i < to; ++i) elements.push_back(static_cast<uint32_t>(found.values[i] >> 32));
                family.least_images(elements.data(), elements.size(), first_band * rows, (first_band + bands_) * rows,
                                    least.data());
                for (size_t band = 0; band < bands_; ++band) {
                    keys_[text * bands_ + band] = band_key(least.data() + band * rows, rows);
                }
            }
        });
    }

    void join_band(size_t band) {
        std::vector<uint64_t> keyed, scratch;
        keyed.reserve(texts_.size());
        for (size_t text = 0; text < texts_.size(); ++text) {
            const uint32_t key = keys_[text * bands_ + band];
            if (key != kNoKey) keyed.push_back((uint64_t{key} << 32) | text);
        }
        sort_by_key(keyed, scratch);
        scratch = {};
        for (size_t begin = 0, end = 0; begin < keyed.size(); begin = end) {
            while (end < keyed.size() && keyed[end] >> 32 == keyed[begin] >> 32) ++end;
            if (end - begin > 1) join_bucket(keyed.data() + begin, end - begin, band);
        }
    }

  private:
    // Whether two texts share an earlier band, and so are compared there.
    bool met(uint32_t a, uint32_t b, size_t band) const {
        const uint32_t *x = keys_.data() + a * bands_, *y = keys_.data() + b * bands_;
        for (size_t i = 0; i < band; ++i) {
            if (x[i] == y[i]) return true;
        }
        return false;
    }

    void join_bucket(const uint64_t* keyed, size_t n, size_t band) {
        std::vector<uint32_t> members(n);
        for (size_t i = 0; i < n; ++i) members[i] = static_cast<uint32_t>(keyed[i]);
        if (!anything_open(members, band)) return;
        Sets sets(n);
        RaggedBuffer<char> scratch;
        for (size_t i = 0; i < n; ++i) {
            sets[i] = shingles(texts_.range(members[i], members[i] + size_t{1}, scratch), rule_).values;
            to_set(sets[i]);
        }
        join_similar(
            sets, threshold_, [&](uint32_t i) { return forest_.find(members[i]); },
            [&](uint32_t i, uint32_t j) { return met(members[i], members[j], band); },
            [&](uint32_t i, uint32_t j) { forest_.unite(members[i], members[j]); });
    }

    // Most buckets hold what earlier bands have joined already. Asking about every pair is for few members only.
    bool anything_open(const std::vector<uint32_t>& members, size_t band) {
        const uint32_t root = forest_.find(members[0]);
        const auto joined = [&](uint32_t member) { return forest_.find(member) == root; };
        if (std::all_of(members.begin() + 1, members.end(), joined)) return false;
        if (members.size() > kFewSets) return true;
        for (size_t i = 1; i < members.size(); ++i) {
            for (size_t j = 0; j < i; ++j) {
                if (forest_.find(members[i]) != forest_.find(members[j]) && !met(members[i], members[j], band)) return true;
            }
        }
        return false;
    }

    const DistinctTexts& texts_;
    const ShingleRule& rule_;
    double threshold_;
    Forest& forest_;
    size_t bands_;
    std::vector<uint32_t> keys_;  // text by text
};

void join_group(const RaggedView<char>& rows, int64_t first, int64_t last, bool near, const ShingleRule& rule,
                double threshold, GroupDuplicates& out) {
    const RaggedView<char> group{rows.values, rows.offsets + first, last - first};
    const std::vector<int64_t> equal = first_equal(group, 1);
    std::vector<int64_t> members;
    for (int64_t i = 0; i < group.rows; ++i) {
        const int64_t row = equal[static_cast<size_t>(i)];
        out.equal[static_cast<size_t>(first + i)] = out.near[static_cast<size_t>(first + i)] = first + row;
        if (row == i && group.length(i) > 0) members.push_back(i);
    }
    if (!near || members.size() < 2) return;
    const RaggedBuffer<char> texts = gather(group, members.data(), static_cast<int64_t>(members.size()));
    const RaggedBuffer<uint64_t> found = shingles({texts.values.data(), texts.offsets.data(), texts.rows()}, rule);
    Sets sets;
    std::vector<int64_t> of;  // rows with shingles
    for (size_t i = 0; i < members.size(); ++i) {
        if (found.offsets[i] == found.offsets[i + 1]) continue;
        sets.emplace_back(found.values.begin() + found.offsets[i], found.values.begin() + found.offsets[i + 1]);
        to_set(sets.back());
        of.push_back(members[i]);
    }
    Forest forest(sets.size());
    join_similar(
        sets, threshold, [&](uint32_t i) { return forest.find(i); },
        [](uint32_t, uint32_t) { return false; },
        [&](uint32_t i, uint32_t j) { forest.unite(i, j); });
    for (size_t i = 0; i < of.size(); ++i) {
        out.near[static_cast<size_t>(first + of[i])] = first + of[forest.find(static_cast<uint32_t>(i))];
    }
    for (int64_t i = first; i < last; ++i) {
        out.near[static_cast<size_t>(i)] = out.near[static_cast<size_t>(out.equal[static_cast<size_t>(i)])];
    }
}

}  // namespace

MinHash::MinHash(int hashes, uint64_t seed) {
    // Odd factors make permutations. The counter is mixed twice, so that neighbouring seeds have nothing in common.
    uint64_t state = combine(kSeed0, seed);
    const size_t n = static_cast<size_t>(hashes) + kTile;
    for (size_t i = 0; i < n; ++i) {
        state = combine(state, i);
        factors_.push_back(static_cast<uint32_t>(state) | 1);
        terms_.push_back(static_cast<uint32_t>(state >> 32));
    }
}

void MinHash::least_images(const uint32_t* elements, size_t n, size_t first, size_t last, uint32_t* least) const {
    for (size_t at = first; at < last; at += kTile) {
        least_of_tile(elements, n, factors_.data() + at, terms_.data() + at, least + (at - first));
    }
}

Forest::Forest(size_t n) : parents_(n) {
    for (size_t i = 0; i < n; ++i) parents_[i].store(static_cast<uint32_t>(i), std::memory_order_relaxed);
}

uint32_t Forest::find(uint32_t x) {
    while (true) {
        uint32_t parent = parents_[x].load(std::memory_order_relaxed);
        if (parent == x) return x;
        const uint32_t above = parents_[parent].load(std::memory_order_relaxed);
        // Halves the path. Where another thread was faster, what it wrote is as good.
        if (above != parent) parents_[x].compare_exchange_weak(parent, above, std::memory_order_relaxed);
        x = above;
    }
}

void Forest::unite(uint32_t a, uint32_t b) {
    while ((a = find(a)) != (b = find(b))) {
        if (a < b) std::swap(a, b);
        uint32_t root = a;
        if (parents_[a].compare_exchange_strong(root, b, std::memory_order_relaxed)) return;
    }
}

std::vector<uint32_t> near_duplicates(const DistinctTexts& texts, const ShingleRule& rule, double threshold,
                                      const Bands& bands, int64_t limit, int threads) {
    const size_t n = texts.size(), count = static_cast<size_t>(bands.count), rows = static_cast<size_t>(bands.rows);
    threads = resolve_threads(threads);
    size_t at_once = count;
    if (limit > 0 && n > 0) {
        const auto fit = static_cast<int64_t>(static_cast<size_t>(limit) / n);
        threads = static_cast<int>(std::clamp<int64_t>((fit - 4) / 16, 1, threads));
        at_once = static_cast<size_t>(std::clamp<int64_t>((fit - 16 * threads) / 4, 1, bands.count));
    }
    const MinHash family(bands.count * bands.rows, bands.seed);
    const std::vector<int64_t> runs = texts.runs();
    Forest forest(n);
    for (size_t first = 0; n > 0 && first < count; first += at_once) {
        Pass pass(texts, rule, threshold, forest, std::min(at_once, count - first));
        pass.find_keys(family, first, rows, runs, threads);
        parallel_for(static_cast<int64_t>(std::min(at_once, count - first)), threads,
                     [&](int64_t band) { pass.join_band(static_cast<size_t>(band)); });
    }
    std::vector<uint32_t> roots(n);
    for (size_t i = 0; i < n; ++i) roots[i] = forest.find(static_cast<uint32_t>(i));
    return roots;
}

GroupDuplicates group_duplicates(const RaggedView<char>& rows, const int64_t* groups, int64_t n_groups, bool near,
                                 const ShingleRule& rule, double threshold, int threads) {
    GroupDuplicates out;
    out.equal.resize(static_cast<size_t>(rows.rows));
    out.near.resize(static_cast<size_t>(rows.rows));
    std::vector<int64_t> weight(static_cast<size_t>(n_groups) + 1);
    for (int64_t g = 0; g <= n_groups; ++g) {
        weight[static_cast<size_t>(g)] = (rows.rows == 0 ? 0 : rows.offsets[groups[g]]) + g;
    }
    const std::vector<int64_t> cuts = balanced_cuts(weight.data(), n_groups, 8 * resolve_threads(threads));
    parallel_for(static_cast<int64_t>(cuts.size()) - 1, threads, [&](int64_t part) {
        for (int64_t g = cuts[static_cast<size_t>(part)]; g < cuts[static_cast<size_t>(part) + 1]; ++g) {
            join_group(rows, groups[g], groups[g + 1], near, rule, threshold, out);
        }
    });
    return out;
}

}  // namespace divfast
