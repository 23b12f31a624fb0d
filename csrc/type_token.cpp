#include "type_token.hpp"

#include <limits>
#include <stdexcept>

#include "ngram_keys.hpp"

namespace divfast {
namespace {

// Small numbers for the words of a row, in order of first appearance.
class Numbering {
  public:
    // Writes the number of each token and returns how many different ones there are.
    size_t operator()(const uint64_t* token, size_t n, std::vector<uint32_t>& out) {
        size_t slots = 16;
        while (slots < 2 * n) slots <<= 1;
        if (++row_ == 0 || table_.size() < slots) {
            table_.assign(std::max(slots, table_.size()), Slot{});
            row_ = 1;
        }
        if (out.size() < n) out.resize(n);
        const size_t mask = slots - 1;
        uint32_t types = 0;
        for (size_t i = 0; i < n; ++i) {
            const uint64_t key = unigram(token[i]);
            size_t at = key & mask;
            // What an earlier row has left counts as free.
            while (table_[at].row == row_ && table_[at].key != key) at = (at + 1) & mask;
            if (table_[at].row != row_) table_[at] = {key, row_, types++};
            out[i] = table_[at].number;
        }
        return types;
    }

  private:
    struct Slot {
        uint64_t key = 0;
        uint32_t row = 0;
        uint32_t number = 0;
    };
    std::vector<Slot> table_;
    uint32_t row_ = 0;
};

struct Workspace {
    Numbering number;
    std::vector<uint32_t> words;
    std::vector<int64_t> marks;  // one for each type
};

double moving_average(Workspace& work, size_t n, size_t types, size_t window) {
    if (n <= window) return static_cast<double>(types) / static_cast<double>(n);
    std::vector<int64_t>& count = work.marks;
    count.assign(types, 0);
    int64_t inside = 0, sum = 0;
    for (size_t i = 0; i < n; ++i) {
        inside += count[work.words[i]]++ == 0;
        if (i >= window) inside -= --count[work.words[i - window]] == 0;
        if (i + 1 >= window) sum += inside;
    }
    return static_cast<double>(sum) / static_cast<double>(window) / static_cast<double>(n - window + 1);
}

// Tokens over factors, reading from one end to the other.
double factor_length(Workspace& work, size_t n, size_t types, const TypeToken& how, bool backwards) {
    std::vector<int64_t>& seen = work.marks;  // the factor in which a word was last seen
    seen.assign(types, 0);
    int64_t factor = 1, length = 0, different = 0;
    const auto ratio = [&] { return static_cast<double>(different) / static_cast<double>(length); };
    for (size_t i = 0; i < n; ++i) {
        int64_t& mark = seen[work.words[backwards ? n - 1 - i : i]];
        different += mark != factor;
        mark = factor;
        ++length;
        if (how.open_end && i + 1 == n) break;
        if (length >= how.shortest && ratio() < how.threshold) {
            ++factor;
            length = different = 0;
        }
    }
    double factors = static_cast<double>(factor - 1);
    if (length > 0) factors += (1.0 - ratio()) / (1.0 - how.threshold);
    return factors > 0 ? static_cast<double>(n) / factors : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

TypeToken::Measure measure_from_name(const std::string& name) {
    if (name == "ttr") return TypeToken::Measure::ttr;
    if (name == "mattr") return TypeToken::Measure::mattr;
    if (name == "mtld") return TypeToken::Measure::mtld;
    throw std::invalid_argument("unknown measure " + name);
}

void type_token(const RaggedView<uint64_t>& tokens, const TypeToken& how, int threads, double* out) {
    if (how.window < 1) throw std::invalid_argument("window must be at least 1");
    if (!(how.threshold > 0 && how.threshold < 1)) throw std::invalid_argument("threshold must be between 0 and 1");
    const int64_t pieces = std::max<int64_t>(1, std::min<int64_t>(tokens.total() >> 15, 8 * resolve_threads(threads)));
    const std::vector<int64_t> cuts = balanced_cuts(tokens.offsets, tokens.rows, pieces);
    parallel_for(static_cast<int64_t>(cuts.size()) - 1, threads, [&](int64_t p) {
        Workspace work;
        for (int64_t row = cuts[static_cast<size_t>(p)]; row < cuts[static_cast<size_t>(p) + 1]; ++row) {
            const auto n = static_cast<size_t>(tokens.length(row));
            if (n == 0) {
                out[row] = std::numeric_limits<double>::quiet_NaN();
                continue;
            }
            const size_t types = work.number(tokens.begin(row), n, work.words);
            switch (how.measure) {
                case TypeToken::Measure::ttr:
                    out[row] = static_cast<double>(types) / static_cast<double>(n);
                    break;
                case TypeToken::Measure::mattr:
                    out[row] = moving_average(work, n, types, static_cast<size_t>(how.window));
                    break;
                case TypeToken::Measure::mtld:
                    out[row] = (factor_length(work, n, types, how, false) + factor_length(work, n, types, how, true)) / 2;
                    break;
            }
        }
    });
}

}  // namespace divfast
