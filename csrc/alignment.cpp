#include "alignment.hpp"

#include <numeric>
#include <stdexcept>

#include "utf8.hpp"

namespace divfast {
namespace {

// A stripe of the shorter rows is at most this many machine words high, so that its state stays in registers.
constexpr int kStripe = 8;

// Eight rows stand side by side as bit vectors, `words` high, and one other row runs past them: slots[t] tells which
// of the masks, `words` for each, belong to its symbol t. What crosses into the next stripe goes through `carries`.
struct Pass {
    const Line* masks;
    const uint32_t* slots;
    size_t n;
    Line* carries;
    const Line* inside;  // the bits of each row that are symbols, `words` of them
};

inline void add_counts(const Lanes& bits, int64_t sign, int64_t* out) {
    for (int lane = 0; lane < kLanes; ++lane) out[lane] += sign * __builtin_popcountll(bits[lane]);
}

// Hyyro (2004). A bit of the state is 0 where the LCS grows by one. The top bit of a word is left free: the addition
// carries into it, and vector registers have no other carry.
template <int kWords, bool kCarry>
[[gnu::always_inline]] inline void lcs_pass(const Pass& pass, int64_t* out) {
    constexpr uint64_t kLow = ~uint64_t{0} >> 1;
    Lanes state[kWords];
    for (int w = 0; w < kWords; ++w) state[w] = Lanes{} + kLow;
    for (size_t t = 0; t < pass.n; ++t) {
        const Line* masks = pass.masks + size_t{pass.slots[t]} * kWords;
        Lanes carry = {};
        if (kCarry) carry = pass.carries[t].lanes;
        for (int w = 0; w < kWords; ++w) {
            const Lanes matched = state[w] & masks[w].lanes;
            const Lanes sum = state[w] + matched + carry;
            carry = sum >> 63;
            state[w] = (sum & kLow) | (state[w] ^ matched);
        }
        if (kCarry) pass.carries[t].lanes = carry;
    }
    for (int w = 0; w < kWords; ++w) add_counts(~state[w] & kLow, 1, out);
}

// Myers (1999) as Hyyro (2003) has it. Two bits for each cell tell whether it is one more or one less than the cell
// above. Summed over the last column they give the distance.
template <int kWords, bool kCarry>
[[gnu::always_inline]] inline void edit_pass(const Pass& pass, int64_t* out) {
    Lanes up[kWords], down[kWords];
    for (int w = 0; w < kWords; ++w) up[w] = ~Lanes{}, down[w] = Lanes{};
    for (size_t t = 0; t < pass.n; ++t) {
        const Line* masks = pass.masks + size_t{pass.slots[t]} * kWords;
        Lanes plus = Lanes{} + 1, minus = {};
        if (kCarry) plus = pass.carries[2 * t].lanes, minus = pass.carries[2 * t + 1].lanes;
        for (int w = 0; w < kWords; ++w) {
            const Lanes x = masks[w].lanes | minus;
            const Lanes zero = (((x & up[w]) + up[w]) ^ up[w]) | x | down[w];
            Lanes right = down[w] | ~(zero | up[w]), left = zero & up[w];
            const Lanes plus_out = right >> 63, minus_out = left >> 63;
            right = right << 1 | plus;
            left = left << 1 | minus;
            up[w] = left | ~(zero | right);
            down[w] = right & zero;
            plus = plus_out;
            minus = minus_out;
        }
        if (kCarry) pass.carries[2 * t].lanes = plus, pass.carries[2 * t + 1].lanes = minus;
    }
    for (int w = 0; w < kWords; ++w) {
        add_counts(up[w] & pass.inside[w].lanes, 1, out);
        add_counts(down[w] & pass.inside[w].lanes, -1, out);
    }
}

#define DIVFAST_PASSES(pass_of)                                                    \
    const bool carry = pass.carries != nullptr;                                    \
    switch (words) {                                                               \
        case 1: return carry ? pass_of<1, true>(pass, out) : pass_of<1, false>(pass, out); \
        case 2: return carry ? pass_of<2, true>(pass, out) : pass_of<2, false>(pass, out); \
        case 3: return carry ? pass_of<3, true>(pass, out) : pass_of<3, false>(pass, out); \
        case 4: return carry ? pass_of<4, true>(pass, out) : pass_of<4, false>(pass, out); \
        case 5: return carry ? pass_of<5, true>(pass, out) : pass_of<5, false>(pass, out); \
        case 6: return carry ? pass_of<6, true>(pass, out) : pass_of<6, false>(pass, out); \
        case 7: return carry ? pass_of<7, true>(pass, out) : pass_of<7, false>(pass, out); \
        default: return carry ? pass_of<8, true>(pass, out) : pass_of<8, false>(pass, out); \
    }

DIVFAST_CLONES void lcs_passes(int words, const Pass& pass, int64_t* out) { DIVFAST_PASSES(lcs_pass) }
DIVFAST_CLONES void edit_passes(int words, const Pass& pass, int64_t* out) { DIVFAST_PASSES(edit_pass) }

#undef DIVFAST_PASSES

struct Lcs {
    static constexpr int64_t kBits = 63;  // of a word that are symbols
    static constexpr size_t kCarries = 1;
    // A symbol that none of the eight rows has changes nothing.
    static constexpr bool kSkipsStrangers = true;
    static constexpr int64_t kLong = std::numeric_limits<int64_t>::max();

    static void pass(int words, const Pass& pass, int64_t* out) { lcs_passes(words, pass, out); }
    static void start(Line* carries, size_t n) { std::fill(carries, carries + n, Line{}); }
    static double value(int64_t bits, int64_t m, int64_t n) {
        return m + n == 0 ? 0.0 : 2.0 * static_cast<double>(bits) / static_cast<double>(m + n);
    }
    static double equal(int64_t m) { return m == 0 ? 0.0 : 1.0; }
    static double apart(const uint32_t*, int64_t, const uint32_t*, int64_t, const Stop&) { return 0.0; }
};

struct Edit {
    static constexpr int64_t kBits = 64;
    static constexpr size_t kCarries = 2;
    static constexpr bool kSkipsStrangers = false;
    // Rows this long are compared two by two: where they are alike, a narrow band is enough.
    static constexpr int64_t kLong = 65536;

    static void pass(int words, const Pass& pass, int64_t* out) { edit_passes(words, pass, out); }
    static void start(Line* carries, size_t n) {
        for (size_t t = 0; t < n; ++t) carries[2 * t].lanes = Lanes{} + 1, carries[2 * t + 1].lanes = Lanes{};
    }
    static double value(int64_t bits, int64_t m, int64_t n) {
        // Above the first symbol of the row in its lane, the last column starts at n.
        return m + n == 0 ? 0.0 : static_cast<double>(n + bits) / static_cast<double>(std::max(m, n));
    }
    static double equal(int64_t) { return 0.0; }
    static double apart(const uint32_t* a, int64_t m, const uint32_t* b, int64_t n, const Stop& stop) {
        return static_cast<double>(banded_distance(a, m, b, n, stop)) / static_cast<double>(std::max(m, n));
    }
};

inline void symbols_of(const RaggedView<uint64_t>& rows, int64_t row, std::vector<uint64_t>& out) {
    out.assign(rows.begin(row), rows.end(row));
}
inline void symbols_of(const RaggedView<char>& rows, int64_t row, std::vector<uint64_t>& out) {
    out.clear();
    for (const char *p = rows.begin(row), *end = rows.end(row); p < end;) out.push_back(decode_utf8(p, end));
}

template <typename Rule, typename T>
class Alignment {
  public:
    struct Scratch {
        std::vector<uint32_t> slots;    // of every symbol; 0 where none of the eight rows has it
        std::vector<uint32_t> passing;  // of the row that runs past
        std::vector<Line> masks, carries;
        std::vector<int64_t> counts;
    };

    explicit Alignment(const RaggedView<T>& all) : all_(all) {}

    void load(int64_t first, int64_t last) {
        different_.find(all_, first, last);
        const size_t k = different_.rows.size();
        const auto length = [&](size_t i) { return all_.length(different_.rows[i]); };
        std::vector<size_t> order(k);
        std::iota(order.begin(), order.end(), size_t{0});
        // Rows of like length fill the lanes evenly. Bytes stand in for symbols here.
        std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return length(a) < length(b); });
        const int64_t total = last > first ? all_.offsets[last] - all_.offsets[first] : 0;
        if (total >> 31 != 0) throw std::length_error("a group of more than 2^31 symbols");
        numbers_.clear(std::min<size_t>(static_cast<size_t>(total), 4096));
        symbols_.clear();
        bounds_.assign(1, 0);
        weight_.clear();
        std::vector<uint64_t> row;
        for (const size_t i : order) {
            symbols_of(all_, different_.rows[i], row);
            for (const uint64_t symbol : row) symbols_.push_back(numbers_(symbol));
            bounds_.push_back(static_cast<int64_t>(symbols_.size()));
            weight_.push_back(different_.weight[i]);
        }
    }

    PairSum equal() const {
        PairSum sum;
        for (int64_t i = 0; i < rows(); ++i) sum.add(Rule::equal(length(i)), weight(i) * (weight(i) - 1.0) / 2.0);
        return sum;
    }

    int64_t blocks() const { return (rows() + kLanes - 1) / kLanes; }

    PairSum run(int64_t block, Scratch& scratch, const Stop& stop) const {
        const int64_t first = block * kLanes, end = std::min(rows(), first + kLanes);
        int64_t longest = 0;
        for (int64_t i = first; i < end; ++i) longest = std::max(longest, length(i));
        if (longest >= Rule::kLong) return two_by_two(first, end, stop);
        scratch.slots.resize(std::max<size_t>(scratch.slots.size(), numbers_.size()), 0);
        PairSum sum;
        const int64_t stripe = kStripe * Rule::kBits;
        if (longest <= stripe) {
            run_past(first, end, first + 1, rows(), longest, scratch, stop, sum);
        } else {
            // Between two stripes the carries of every symbol are kept, so not for too many rows at once.
            for (int64_t from = first + 1, to; from < rows(); from = to) {
                for (to = from + 1; to < rows() && bounds(to + 1) - bounds(from) < kKept; ++to) {}
                run_past(first, end, from, to, longest, scratch, stop, sum);
            }
        }
        return sum;
    }

  private:
    static constexpr int64_t kKept = 1 << 15;

    int64_t rows() const { return static_cast<int64_t>(weight_.size()); }
    int64_t bounds(int64_t i) const { return bounds_[static_cast<size_t>(i)]; }
    int64_t length(int64_t i) const { return bounds(i + 1) - bounds(i); }
    double weight(int64_t i) const { return weight_[static_cast<size_t>(i)]; }
    const uint32_t* row(int64_t i) const { return symbols_.data() + bounds(i); }

    PairSum two_by_two(int64_t first, int64_t end, const Stop& stop) const {
        PairSum sum;
        for (int64_t i = first; i < end; ++i) {
            for (int64_t j = i + 1; j < rows() && !stop; ++j) {
                sum.add(Rule::apart(row(i), length(i), row(j), length(j), stop), weight(i) * weight(j));
            }
        }
        return sum;
    }

    // The rows first..end in lanes, and from..to running past them.
    void run_past(int64_t first, int64_t end, int64_t from, int64_t to, int64_t longest, Scratch& scratch,
                  const Stop& stop, PairSum& sum) const {
        const int64_t stripe = kStripe * Rule::kBits;
        const bool carry = longest > stripe;
        scratch.counts.assign(static_cast<size_t>((to - from) * kLanes), 0);
        if (carry) {
            const auto kept = static_cast<size_t>(bounds(to) - bounds(from));
            scratch.carries.resize(kept * Rule::kCarries);
            Rule::start(scratch.carries.data(), kept);
        }
        for (int64_t top = 0; top < longest || top == 0; top += stripe) {
            const int64_t bottom = std::min(longest, top + stripe);
            const auto words = static_cast<size_t>(std::max<int64_t>(1, (bottom - top + Rule::kBits - 1) / Rule::kBits));
            Line inside[kStripe];
            const size_t known = raise_masks(first, end, top, bottom, words, inside, scratch);
            for (int64_t j = from; j < to && !stop; ++j) {
                const size_t n = line_up(j, carry, known, scratch);
                Pass pass{scratch.masks.data(), scratch.passing.data(), n, nullptr, inside};
                if (carry) pass.carries = scratch.carries.data() + static_cast<size_t>(bounds(j) - bounds(from)) * Rule::kCarries;
                Rule::pass(static_cast<int>(words), pass, scratch.counts.data() + (j - from) * kLanes);
            }
            for (int64_t i = first; i < end; ++i) {
                for (int64_t p = top; p < std::min(bottom, length(i)); ++p) scratch.slots[row(i)[p]] = 0;
            }
        }
        for (int64_t j = from; j < to; ++j) {
            const int64_t* counts = scratch.counts.data() + (j - from) * kLanes;
            for (int64_t i = first; i < std::min(end, j); ++i) {
                sum.add(Rule::value(counts[i - first], length(i), length(j)), weight(i) * weight(j));
            }
        }
    }

    // Sets the masks of the symbols between top and bottom of the rows in lanes; returns how many slots there are.
    size_t raise_masks(int64_t first, int64_t end, int64_t top, int64_t bottom, size_t words, Line* inside,
                       Scratch& scratch) const {
        scratch.masks.assign(words, Line{});
        uint32_t slots = 1;
        for (int64_t i = first; i < end; ++i) {
            const auto lane = static_cast<int>(i - first);
            for (int64_t p = top; p < std::min(bottom, length(i)); ++p) {
                uint32_t& slot = scratch.slots[row(i)[p]];
                if (slot == 0) {
                    slot = slots++;
                    scratch.masks.resize(slots * words, Line{});
                }
                const auto word = static_cast<size_t>((p - top) / Rule::kBits);
                const uint64_t bit = uint64_t{1} << ((p - top) % Rule::kBits);
                scratch.masks[slot * words + word].lanes[lane] |= bit;
                inside[word].lanes[lane] |= bit;
            }
        }
        return slots;
    }

    // Translates row j into slots; returns how many of its symbols matter.
    size_t line_up(int64_t j, bool carry, size_t known, Scratch& scratch) const {
        const auto n = static_cast<size_t>(length(j));
        if (scratch.passing.size() < n) scratch.passing.resize(n);
        const uint32_t* symbols = row(j);
        if (!Rule::kSkipsStrangers || carry) {
            for (size_t t = 0; t < n; ++t) scratch.passing[t] = scratch.slots[symbols[t]];
            return n;
        }
        size_t kept = 0;
        if (known == 1) return kept;
        for (size_t t = 0; t < n; ++t) {
            const uint32_t slot = scratch.slots[symbols[t]];
            scratch.passing[kept] = slot;
            kept += slot != 0;
        }
        return kept;
    }

    RaggedView<T> all_;
    Different different_;
    Numbers numbers_;
    std::vector<uint32_t> symbols_;
    std::vector<int64_t> bounds_{0};
    std::vector<double> weight_;
};

}  // namespace

void lcs_means(const RaggedView<uint64_t>& tokens, const int64_t* groups, int64_t n_groups, int threads, const Stop& stop,
               double* out) {
    pair_means(Alignment<Lcs, uint64_t>(tokens), tokens.offsets, groups, n_groups, threads, stop, out);
}

void edit_means(const RaggedView<uint64_t>& tokens, const int64_t* groups, int64_t n_groups, int threads, const Stop& stop,
                double* out) {
    pair_means(Alignment<Edit, uint64_t>(tokens), tokens.offsets, groups, n_groups, threads, stop, out);
}

void edit_means(const RaggedView<char>& text, const int64_t* groups, int64_t n_groups, int threads, const Stop& stop,
                double* out) {
    pair_means(Alignment<Edit, char>(text), text.offsets, groups, n_groups, threads, stop, out);
}

}  // namespace divfast
