#include "ngrams.hpp"

#include <stdexcept>

namespace divfast {
namespace {

// Zero marks an empty slot, so no n-gram may have it.
inline uint64_t nonzero(uint64_t key) { return key == 0 ? kSeed0 : key; }

// One-to-one, and spreads token ids of a learned tokenizer, which are small numbers, over all 64 bits.
inline uint64_t unigram(uint64_t token) {
    token ^= token >> 32;
    token *= kSeed1;
    token ^= token >> 29;
    token *= kSeed0;
    return nonzero(token ^ (token >> 32));
}

// Fingerprint of an n-gram from that of its first n - 1 tokens and its last token.
inline uint64_t extend(uint64_t prefix, uint64_t token) { return nonzero(combine(prefix, token)); }

size_t table_size(size_t keys) {
    size_t slots = 16;
    while (slots < 2 * keys) slots <<= 1;
    return slots;
}

// How many of the n keys are different. The table is scratch that lives as long as its thread.
int64_t count_distinct(const uint64_t* keys, size_t n, std::vector<uint64_t>& table) {
    const size_t slots = table_size(n), mask = slots - 1;
    if (table.size() < slots) table.resize(slots);
    std::memset(table.data(), 0, slots * sizeof(uint64_t));
    int64_t distinct = 0;
    constexpr size_t kAhead = 12;
    for (size_t i = 0; i < n; ++i) {
        if (i + kAhead < n) __builtin_prefetch(&table[keys[i + kAhead] & mask], 1);
        const uint64_t key = keys[i];
        size_t at = key & mask;
        while (table[at] != 0 && table[at] != key) at = (at + 1) & mask;
        distinct += table[at] == 0;
        table[at] = key;
    }
    return distinct;
}

struct Workspace {
    std::vector<uint64_t> grams, keys, table;
};

void count_group(const RaggedView<uint64_t>& tokens, int64_t first, int64_t last, int max_order, Workspace& work,
                 int64_t* unique, int64_t* total) {
    const size_t n = first < last ? static_cast<size_t>(tokens.offsets[last] - tokens.offsets[first]) : 0;
    if (work.grams.size() < n) {
        work.grams.resize(n);
        work.keys.resize(n);
    }
    const uint64_t* base = n == 0 ? nullptr : tokens.begin(first);
    for (int order = 1; order <= max_order; ++order) {
        size_t kept = 0;
        for (int64_t row = first; row < last; ++row) {
            const int64_t length = tokens.length(row);
            if (length < order) continue;
            const uint64_t* token = tokens.begin(row);
            uint64_t* gram = work.grams.data() + (token - base);
            const size_t grams = static_cast<size_t>(length - order + 1);
            for (size_t i = 0; i < grams; ++i) {
                gram[i] = order == 1 ? unigram(token[i]) : extend(gram[i], token[i + static_cast<size_t>(order) - 1]);
                work.keys[kept + i] = gram[i];
            }
            kept += grams;
        }
        total[order - 1] = static_cast<int64_t>(kept);
        unique[order - 1] = kept == 0 ? 0 : count_distinct(work.keys.data(), kept, work.table);
    }
}

}  // namespace

void ngram_counts(const RaggedView<uint64_t>& tokens, const int64_t* groups, int64_t n_groups, int max_order,
                  int threads, int64_t* unique, int64_t* total) {
    std::vector<int64_t> weight(static_cast<size_t>(n_groups) + 1);
    for (int64_t g = 0; g <= n_groups; ++g) {
        // One for the group itself, so that a million empty groups are still shared out.
        weight[static_cast<size_t>(g)] = (tokens.rows == 0 ? 0 : tokens.offsets[groups[g]]) + g;
    }
    const std::vector<int64_t> cuts = balanced_cuts(weight.data(), n_groups, 8 * resolve_threads(threads));
    parallel_for(static_cast<int64_t>(cuts.size()) - 1, threads, [&](int64_t part) {
        Workspace work;
        for (int64_t g = cuts[static_cast<size_t>(part)]; g < cuts[static_cast<size_t>(part) + 1]; ++g) {
            count_group(tokens, groups[g], groups[g + 1], max_order, work, unique + g * max_order, total + g * max_order);
        }
    });
}

void FingerprintSet::grow(size_t at_least) {
    std::vector<uint64_t> old;
    old.swap(slots_);
    slots_.assign(table_size(at_least), 0);
    const size_t mask = slots_.size() - 1;
    for (const uint64_t key : old) {
        if (key == 0) continue;
        size_t at = key & mask;
        while (slots_[at] != 0) at = (at + 1) & mask;
        slots_[at] = key;
    }
}

void FingerprintSet::insert(const uint64_t* keys, size_t n) {
    constexpr size_t kAhead = 12;
    // A small set takes a whole block without growing on the way; a large one at most doubles.
    reserve(std::min(n, size_ + 512));
    for (size_t i = 0; i < n; ++i) {
        // Up to three quarters full: 10.7 to 21.3 bytes an n-gram.
        if (4 * (size_ + 1) > 3 * slots_.size()) grow(std::max<size_t>(16, size_ + 1));
        const size_t mask = slots_.size() - 1;
        if (i + kAhead < n) __builtin_prefetch(&slots_[keys[i + kAhead] & mask], 1);
        const uint64_t key = keys[i];
        size_t at = key & mask;
        while (slots_[at] != 0 && slots_[at] != key) at = (at + 1) & mask;
        size_ += slots_[at] == 0;
        slots_[at] = key;
    }
}

void FingerprintSet::reserve(size_t n) {
    if (4 * (size_ + n) > 3 * slots_.size()) grow(size_ + n);
}

void FingerprintSet::append_to(std::vector<uint64_t>& out) const {
    for (const uint64_t key : slots_) {
        if (key != 0) out.push_back(key);
    }
}

NgramSets::NgramSets(std::vector<int> orders) : orders_(std::move(orders)) {
    if (orders_.empty()) throw std::invalid_argument("NgramSets needs at least one order");
    for (size_t i = 0; i < orders_.size(); ++i) {
        if (orders_[i] < 1 || (i > 0 && orders_[i] <= orders_[i - 1])) {
            throw std::invalid_argument("orders must be positive and increasing");
        }
    }
    total_.assign(orders_.size(), 0);
    shards_.assign(orders_.size(), std::vector<FingerprintSet>(kShards));
}

void NgramSets::add(const RaggedView<uint64_t>& tokens, int threads) {
    if (tokens.total() == 0) return;
    // Rows are taken a few million tokens at a time, so that the scattered copies stay small whatever the block.
    constexpr int64_t kTokensAtOnce = int64_t{1} << 21;
    const int64_t rounds = tokens.total() / kTokensAtOnce + 1;
    const std::vector<int64_t> starts = balanced_cuts(tokens.offsets, tokens.rows, rounds);
    std::vector<uint64_t> grams, scattered;
    for (size_t round = 0; round + 1 < starts.size(); ++round) {
        const int64_t first = starts[round], last = starts[round + 1];
        const size_t n = static_cast<size_t>(tokens.offsets[last] - tokens.offsets[first]);
        if (n == 0) continue;
        if (grams.size() < n) {
            grams.resize(n);
            scattered.resize(n);
        }
        const uint64_t* base = tokens.begin(first);
        const int64_t parts = std::max<int64_t>(1, std::min<int64_t>(static_cast<int64_t>(n >> 15), resolve_threads(threads)));
        const std::vector<int64_t> cuts = balanced_cuts(tokens.offsets + first, last - first, parts);
        const size_t pieces = cuts.size() - 1;
        std::vector<std::vector<size_t>> place(pieces, std::vector<size_t>(kShards));
        size_t index = 0;
        for (int order = 1; order <= orders_.back(); ++order) {
            const bool wanted = orders_[index] == order;
            parallel_for(static_cast<int64_t>(pieces), threads, [&](int64_t piece) {
                std::vector<size_t>& count = place[static_cast<size_t>(piece)];
                std::fill(count.begin(), count.end(), 0);
                for (int64_t r = cuts[static_cast<size_t>(piece)]; r < cuts[static_cast<size_t>(piece) + 1]; ++r) {
                    const int64_t row = first + r, length = tokens.length(row);
                    if (length < order) continue;
                    const uint64_t* token = tokens.begin(row);
                    uint64_t* gram = grams.data() + (token - base);
                    const int64_t many = length - order + 1;
                    for (int64_t i = 0; i < many; ++i) {
                        gram[i] = order == 1 ? unigram(token[i]) : extend(gram[i], token[i + order - 1]);
                        ++count[gram[i] >> (64 - kShardBits)];
                    }
                }
            });
            if (!wanted) continue;
            // Counting sort by shard: piece p writes its part of shard s behind the parts of the pieces before it.
            std::vector<size_t> shard_begin(kShards + 1, 0);
            size_t running = 0;
            for (size_t s = 0; s < kShards; ++s) {
                shard_begin[s] = running;
                for (auto& count : place) {
                    const size_t many = count[s];
                    count[s] = running;
                    running += many;
                }
            }
            shard_begin[kShards] = running;
            total_[index] += static_cast<int64_t>(running);
            parallel_for(static_cast<int64_t>(pieces), threads, [&](int64_t piece) {
                std::vector<size_t>& at = place[static_cast<size_t>(piece)];
                for (int64_t r = cuts[static_cast<size_t>(piece)]; r < cuts[static_cast<size_t>(piece) + 1]; ++r) {
                    const int64_t row = first + r, many = tokens.length(row) - order + 1;
                    const uint64_t* gram = grams.data() + (tokens.begin(row) - base);
                    for (int64_t i = 0; i < many; ++i) scattered[at[gram[i] >> (64 - kShardBits)]++] = gram[i];
                }
            });
            std::vector<FingerprintSet>& shards = shards_[index];
            const int64_t runs = parts > 1 ? 4 * resolve_threads(threads) : 1;
            parallel_for(runs, threads, [&](int64_t run) {
                const size_t from = kShards * static_cast<size_t>(run) / static_cast<size_t>(runs);
                const size_t to = kShards * static_cast<size_t>(run + 1) / static_cast<size_t>(runs);
                for (size_t s = from; s < to; ++s) {
                    shards[s].insert(scattered.data() + shard_begin[s], shard_begin[s + 1] - shard_begin[s]);
                }
            });
            ++index;
        }
    }
}

void NgramSets::merge(const NgramSets& other, int threads) {
    if (other.orders_ != orders_) throw std::invalid_argument("only sets of the same orders can be merged");
    for (size_t i = 0; i < orders_.size(); ++i) {
        total_[i] += other.total_[i];
        parallel_for(static_cast<int64_t>(kShards), threads, [&](int64_t s) {
            std::vector<uint64_t> keys;
            other.shards_[i][static_cast<size_t>(s)].append_to(keys);
            shards_[i][static_cast<size_t>(s)].reserve(keys.size());
            shards_[i][static_cast<size_t>(s)].insert(keys.data(), keys.size());
        });
    }
}

std::vector<int64_t> NgramSets::unique() const {
    std::vector<int64_t> out;
    for (const auto& shards : shards_) {
        int64_t sum = 0;
        for (const auto& shard : shards) sum += shard.size();
        out.push_back(sum);
    }
    return out;
}

std::vector<uint64_t> NgramSets::fingerprints(size_t order_index) const {
    std::vector<uint64_t> out;
    for (const auto& shard : shards_.at(order_index)) shard.append_to(out);
    return out;
}

void NgramSets::absorb(size_t order_index, const uint64_t* keys, int64_t n, int64_t total) {
    std::vector<FingerprintSet>& shards = shards_.at(order_index);
    total_[order_index] += total;
    for (FingerprintSet& shard : shards) shard.reserve(static_cast<size_t>(n) / kShards + 16);
    for (int64_t i = 0; i < n; ++i) shards[keys[i] >> (64 - kShardBits)].insert(&keys[i], 1);
}

}  // namespace divfast
