// Fingerprints of n-grams, and those of a block of rows sorted into shards for tables that grow over a corpus.
#pragma once

#include <vector>

#include "common.hpp"

namespace divfast {

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

// Fingerprint of an n-gram from that of its first n - 1 tokens and either its last token or its last n - 1 tokens.
inline uint64_t extend(uint64_t prefix, uint64_t rest) { return nonzero(combine(prefix, rest)); }

// Writes the fingerprints of the n-grams of a row and returns how many there are.
inline size_t row_keys(const RaggedView<uint64_t>& tokens, int64_t row, int order, std::vector<uint64_t>& keys) {
    const uint64_t* token = tokens.begin(row);
    const auto length = static_cast<size_t>(tokens.length(row));
    const auto n = static_cast<size_t>(order);
    if (length < n) return 0;
    if (keys.size() < length) keys.resize(length);
    for (size_t i = 0; i < length; ++i) keys[i] = unigram(token[i]);
    for (size_t k = 1; k < n; ++k) {
        for (size_t i = 0; i + k < length; ++i) keys[i] = extend(keys[i], token[i + k]);
    }
    return length - n + 1;
}

// Cuts groups into runs of about as many tokens each, several for each thread.
inline std::vector<int64_t> group_cuts(const RaggedView<uint64_t>& tokens, const int64_t* groups, int64_t n_groups, int threads) {
    std::vector<int64_t> weight(static_cast<size_t>(n_groups) + 1);
    for (int64_t g = 0; g <= n_groups; ++g) {
        // One for the group itself, so that a million empty groups are still shared out.
        weight[static_cast<size_t>(g)] = (tokens.rows == 0 ? 0 : tokens.offsets[groups[g]]) + g;
    }
    return balanced_cuts(weight.data(), n_groups, 8 * resolve_threads(threads));
}

// How many keys ahead of the one looked up its slot is fetched.
constexpr size_t kAhead = 12;

// A table over a corpus is cut into shards by the high bits of the fingerprint: a shard stays in cache while it is
// filled, and threads never share one.
constexpr int kShardBits = 7;
constexpr size_t kShards = size_t{1} << kShardBits;

inline size_t shard_of(uint64_t key) { return static_cast<size_t>(key >> (64 - kShardBits)); }

// Whether an n-gram just seen may be passed over, for sets, or not, for counts.
enum class Repeats { passed_over, kept };

// The keys of some rows by shard.
struct ShardedKeys {
    const uint64_t* keys = nullptr;
    const size_t* bounds = nullptr;  // kShards + 1
    int64_t total = 0;               // n-grams that these rows hold, those passed over included
    bool parallel = false;           // whether there are enough of them for threads

    const uint64_t* begin(size_t shard) const { return keys + bounds[shard]; }
    size_t size(size_t shard) const { return bounds[shard + 1] - bounds[shard]; }
};

// Runs body(shard) for the shards from `first` on, several in a row on one thread.
template <typename Body>
void each_shard(size_t first, bool parallel, int threads, const Body& body) {
    const int64_t runs = parallel ? 4 * resolve_threads(threads) : 1;
    parallel_for(runs, threads, [&](int64_t run) {
        const size_t many = kShards - first;
        const size_t from = first + many * static_cast<size_t>(run) / static_cast<size_t>(runs);
        const size_t to = first + many * static_cast<size_t>(run + 1) / static_cast<size_t>(runs);
        for (size_t s = from; s < to; ++s) body(s);
    });
}

// Gives take(index, ShardedKeys) the n-grams of each order orders[index], rows a few million tokens at a time.
template <Repeats repeats, typename Take>
void shard_ngrams(const RaggedView<uint64_t>& tokens, const std::vector<int>& orders, int threads, const Take& take) {
    if (tokens.total() == 0) return;
    // Rows are taken a few million tokens at a time, so that the copies stay small whatever the block.
    constexpr int64_t kTokensAtOnce = int64_t{1} << 21;
    // Most repeats are of something just seen. A small table of what was last seen stops them before they are moved.
    constexpr int kRecentBits = 14;
    const int64_t rounds = tokens.total() / kTokensAtOnce + 1;
    const std::vector<int64_t> starts = balanced_cuts(tokens.offsets, tokens.rows, rounds);
    std::vector<uint64_t> grams, kept, scattered;
    std::vector<std::vector<uint64_t>> recent;
    for (size_t round = 0; round + 1 < starts.size(); ++round) {
        const int64_t first = starts[round], last = starts[round + 1];
        const size_t n = static_cast<size_t>(tokens.offsets[last] - tokens.offsets[first]);
        if (n == 0) continue;
        if (grams.size() < n) {
            grams.resize(n);
            kept.resize(n);
            scattered.resize(n);
        }
        const uint64_t* base = tokens.begin(first);
        const int64_t parts = std::max<int64_t>(1, std::min<int64_t>(static_cast<int64_t>(n >> 15), resolve_threads(threads)));
        const std::vector<int64_t> cuts = balanced_cuts(tokens.offsets + first, last - first, parts);
        const size_t pieces = cuts.size() - 1;
        if (recent.size() < pieces) recent.resize(pieces, std::vector<uint64_t>(size_t{1} << kRecentBits));
        std::vector<std::vector<size_t>> place(pieces, std::vector<size_t>(kShards));
        std::vector<size_t> kept_of(pieces);
        std::vector<int64_t> total_of(pieces);
        const auto begin_of = [&](size_t piece) {
            return static_cast<size_t>(tokens.offsets[first + cuts[piece]] - tokens.offsets[first]);
        };
        size_t index = 0;
        for (int order = 1; order <= orders.back(); ++order) {
            const bool wanted = orders[index] == order;
            parallel_for(static_cast<int64_t>(pieces), threads, [&](int64_t p) {
                const auto piece = static_cast<size_t>(p);
                std::vector<size_t>& count = place[piece];
                std::fill(count.begin(), count.end(), 0);
                // Emptied for each order: a token 0 twice has the fingerprint of a single one.
                std::fill(recent[piece].begin(), recent[piece].end(), 0);
                uint64_t* seen = recent[piece].data();
                uint64_t* out = kept.data() + begin_of(piece);
                int64_t grams_here = 0;
                for (int64_t row = first + cuts[piece]; row < first + cuts[piece + 1]; ++row) {
                    const int64_t many = tokens.length(row) - order + 1;
                    if (many <= 0) continue;
                    const uint64_t* token = tokens.begin(row);
                    uint64_t* gram = grams.data() + (token - base);
                    grams_here += many;
                    for (int64_t i = 0; i < many; ++i) {
                        const uint64_t key = order == 1 ? unigram(token[i]) : extend(gram[i], token[i + order - 1]);
                        gram[i] = key;
                        bool fresh = true;
                        if constexpr (repeats == Repeats::passed_over) {
                            uint64_t& last_seen = seen[key & ((size_t{1} << kRecentBits) - 1)];
                            fresh = last_seen != key;
                            last_seen = key;
                        }
                        *out = key;
                        out += fresh;
                        count[shard_of(key)] += fresh;
                    }
                }
                kept_of[piece] = static_cast<size_t>(out - (kept.data() + begin_of(piece)));
                total_of[piece] = grams_here;
            });
            int64_t total = 0;
            for (const int64_t many : total_of) total += many;
            if (total == 0) break;  // and longer ones there are none
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
            parallel_for(static_cast<int64_t>(pieces), threads, [&](int64_t p) {
                const auto piece = static_cast<size_t>(p);
                std::vector<size_t>& at = place[piece];
                const uint64_t* key = kept.data() + begin_of(piece);
                for (const uint64_t* end = key + kept_of[piece]; key < end; ++key) {
                    scattered[at[shard_of(*key)]++] = *key;
                }
            });
            take(index, ShardedKeys{scattered.data(), shard_begin.data(), total, parts > 1});
            ++index;
        }
    }
}

}  // namespace divfast
