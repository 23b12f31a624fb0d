#include "shingles.hpp"

#include <stdexcept>

#include "tokens.hpp"
#include "utf8.hpp"

namespace divfast {
namespace {

// Rows of fingerprints of units to rows of fingerprints of runs of n units.
template <typename Unit>
void close_runs(const Unit& run, size_t units, size_t n, RaggedBuffer<uint64_t>& out) {
    if (units != 0) {
        const size_t runs = units < n ? 1 : units - n + 1;
        for (size_t i = 0; i < runs; ++i) out.values.push_back(run(i, std::min(units, i + n)));
    }
    out.close_row();
}

void char_shingles(const RaggedView<char>& text, size_t n, RaggedBuffer<uint64_t>& out) {
    std::vector<const char*> starts;
    for (int64_t row = 0; row < text.rows; ++row) {
        const char *p = text.begin(row), *const end = text.end(row);
        starts.clear();
        while (p < end) {
            starts.push_back(p);
            decode_utf8(p, end);
        }
        const size_t units = starts.size();
        starts.push_back(end);
        close_runs(
            [&](size_t from, size_t to) {
                return hash_bytes(starts[from], static_cast<size_t>(starts[to] - starts[from]));
            },
            units, n, out);
    }
}

void word_shingles(const RaggedView<char>& text, size_t n, RaggedBuffer<uint64_t>& out) {
    for (const RaggedBuffer<uint64_t>& part : tokenize(text, Tokenizer::words, 1)) {
        for (size_t row = 0; row + 1 < part.offsets.size(); ++row) {
            const uint64_t* tokens = part.values.data() + part.offsets[row];
            close_runs(
                [&](size_t from, size_t to) {
                    uint64_t state = kSeed2;
                    for (size_t i = from; i < to; ++i) state = combine(state, tokens[i]);
                    return state;
                },
                static_cast<size_t>(part.offsets[row + 1] - part.offsets[row]), n, out);
        }
    }
}

}  // namespace

ShingleRule shingle_rule(const std::string& unit, int n) {
    if (n < 1) throw std::invalid_argument("a shingle must have at least one unit");
    if (unit != "chars" && unit != "words") throw std::invalid_argument("unknown unit of shingles: " + unit);
    return {n, unit == "words"};
}

RaggedBuffer<uint64_t> shingles(const RaggedView<char>& text, const ShingleRule& rule) {
    RaggedBuffer<uint64_t> out;
    out.offsets.reserve(static_cast<size_t>(text.rows) + 1);
    const auto n = static_cast<size_t>(rule.n);
    if (rule.words) {
        word_shingles(text, n, out);
    } else {
        out.values.reserve(static_cast<size_t>(text.total()));
        char_shingles(text, n, out);
    }
    return out;
}

void to_set(std::vector<uint64_t>& shingles) {
    std::sort(shingles.begin(), shingles.end());
    shingles.erase(std::unique(shingles.begin(), shingles.end()), shingles.end());
}

std::vector<RaggedBuffer<char>> fold_text(const RaggedView<char>& text, int threads) {
    const int64_t parts = std::max<int64_t>(1, std::min<int64_t>(text.rows, 4 * resolve_threads(threads)));
    std::vector<RaggedBuffer<char>> folded(static_cast<size_t>(parts));
    parallel_for(parts, threads, [&](int64_t part) {
        RaggedBuffer<char>& out = folded[static_cast<size_t>(part)];
        std::string word;
        for (int64_t row = text.rows * part / parts; row < text.rows * (part + 1) / parts; ++row) {
            const char *p = text.begin(row), *const end = text.end(row);
            const auto start = out.values.size();
            bool blank = false;
            while (p < end) {
                const char* at = p;
                const uint32_t code = decode_utf8(p, end);
                if (is_space(code)) {
                    blank = out.values.size() > start;
                    continue;
                }
                if (blank) out.values.push_back(' ');
                blank = false;
                word.clear();
                // What is not UTF-8 stays as it is: two different bytes are two different characters.
                if (code == 0xFFFD) {
                    word.assign(at, p);
                } else {
                    append_lower(word, code);
                }
                out.values.insert(out.values.end(), word.begin(), word.end());
            }
            out.close_row();
        }
    });
    return folded;
}

size_t rank_by_rarity(const Sets& sets, std::vector<std::vector<uint32_t>>& ranked) {
    struct Place {
        uint64_t shingle;
        uint32_t set;
    };
    struct Run {
        size_t begin, count;
    };
    std::vector<Place> places;
    for (size_t i = 0; i < sets.size(); ++i) {
        for (const uint64_t shingle : sets[i]) places.push_back({shingle, static_cast<uint32_t>(i)});
    }
    std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) { return a.shingle < b.shingle; });
    std::vector<Run> runs;
    for (size_t i = 0; i < places.size(); ++i) {
        if (i == 0 || places[i].shingle != places[i - 1].shingle) runs.push_back({i, 0});
        ++runs.back().count;
    }
    if (runs.size() >= UINT32_MAX) throw std::length_error("more different shingles in one group than can be numbered");
    std::stable_sort(runs.begin(), runs.end(), [](const Run& a, const Run& b) { return a.count < b.count; });
    ranked.assign(sets.size(), {});
    for (size_t i = 0; i < sets.size(); ++i) ranked[i].reserve(sets[i].size());
    // In the order of ranks, so that each set comes out increasing.
    for (size_t rank = 0; rank < runs.size(); ++rank) {
        for (size_t i = 0; i < runs[rank].count; ++i) {
            ranked[places[runs[rank].begin + i].set].push_back(static_cast<uint32_t>(rank));
        }
    }
    return runs.size();
}

}  // namespace divfast
