#include "similarity.hpp"

#include <numeric>

#include "similarity_tiles.hpp"

namespace divfast {
namespace {

// Rows of a stripe, at most.
constexpr int64_t kHighest = 960;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Equal similarities in the order of rows, so that the result does not depend on who comes first.
bool before(float a, int64_t row_a, float b, int64_t row_b) { return a > b || (a == b && row_a < row_b); }

// The nearest of some rows, and what decides at a glance whether another one is among them.
struct Nearest {
    int64_t k;
    std::vector<float> similarity, threshold, lowest;
    std::vector<int64_t> neighbours;

    Nearest(int64_t rows, int64_t nearest)
        : k(nearest),
          similarity(static_cast<size_t>(rows * nearest), -kInfinity),
          threshold(static_cast<size_t>(rows), -kInfinity),
          lowest(static_cast<size_t>(rows), kInfinity),
          neighbours(static_cast<size_t>(rows * nearest), PairFindings::kNobody) {}

    float bound(int64_t row) const { return threshold[static_cast<size_t>(row)]; }

    void add(int64_t row, float s, int64_t other) {
        float* sims = similarity.data() + row * k;
        int64_t* who = neighbours.data() + row * k;
        int64_t at = k - 1;
        if (!before(s, other, sims[at], who[at])) return;
        for (; at > 0 && before(s, other, sims[at - 1], who[at - 1]); --at) {
            sims[at] = sims[at - 1];
            who[at] = who[at - 1];
        }
        sims[at] = s;
        who[at] = other;
        float& least = threshold[static_cast<size_t>(row)];
        least = std::max(least, sims[k - 1]);
    }

    void see_lowest(int64_t row, float s) {
        float& low = lowest[static_cast<size_t>(row)];
        if (s < low) low = s;
    }

    // Takes row `from` of another, none of whose neighbours is known here.
    void take(int64_t row, const Nearest& other, int64_t from) {
        const float* sims = other.similarity.data() + from * k;
        const int64_t* who = other.neighbours.data() + from * k;
        for (int64_t i = 0; i < k && who[i] != PairFindings::kNobody; ++i) add(row, sims[i], who[i]);
        see_lowest(row, other.lowest[static_cast<size_t>(from)]);
    }
};

// In this order of arguments NaN gives 0.
DIVFAST_CLONES void find_cells(const float* numbers, int64_t n, float low, float scale, float top, int32_t* cells) {
    for (int64_t i = 0; i < n; ++i) {
        cells[i] = static_cast<int32_t>(std::min(top, std::max(0.0f, (numbers[i] - low) * scale)));
    }
}

// Counts numbers by how many cuts are at or below them: by a table of the cells of an even grid, then by steps.
class Bins {
  public:
    // Neighbours often fall into one bin, and one counter would wait for itself.
    static constexpr int64_t kCounters = 4;

    explicit Bins(const std::vector<float>& cuts) : cuts_(cuts) {
        if (cuts.empty()) return;
        cuts_.push_back(kInfinity);
        low_ = cuts.front();
        const double span = static_cast<double>(cuts.back()) - static_cast<double>(low_);
        const auto cells = std::clamp<int64_t>(4 * static_cast<int64_t>(cuts.size()), 64, 1 << 16);
        top_ = static_cast<float>(cells - 1);
        scale_ = span > 0 ? static_cast<float>(static_cast<double>(cells) / span) : 1.0f;
        for (int64_t cell = 0; cell < cells; ++cell) {
            // One cell lower, whatever the rounding of its number.
            const double least = low_ + static_cast<double>(cell - 1) / static_cast<double>(scale_);
            first_.push_back(static_cast<int32_t>(
                cell == 0 ? 0 : std::lower_bound(cuts.begin(), cuts.end(), least) - cuts.begin()));
        }
    }

    size_t counters() const { return cuts_.size() * kCounters; }

    // `cells` has room for n numbers.
    void count(const float* numbers, int64_t n, int32_t* cells, int64_t* counts) const {
        find_cells(numbers, n, low_, scale_, top_, cells);
        for (int64_t i = 0; i < n; ++i) {
            int32_t bin = first_[static_cast<size_t>(cells[i])];
            // Where cuts are even there is no second step, so that the branch is free.
            bin += numbers[i] >= cuts_[static_cast<size_t>(bin)];
            const auto last = static_cast<int32_t>(cuts_.size()) - 1;
            while (bin < last && numbers[i] >= cuts_[static_cast<size_t>(bin)]) ++bin;
            ++counts[std::min(bin, last) * kCounters + i % kCounters];
        }
    }

  private:
    std::vector<float> cuts_;
    std::vector<int32_t> first_;
    float low_ = 0, scale_ = 0, top_ = 0;
};

// 2^(sharpness (s - 1)), at most 2, to 2^-22 of itself and of the exponent's own rounding; 0 below 2^-126.
DIVFAST_CLONES void raise_powers(const float* similarities, int64_t n, float sharpness, float* powers) {
    for (int64_t i = 0; i < n; ++i) {
        const float x = (similarities[i] - 1.0f) * sharpness;
        const float y = std::min(1.0f, std::max(-126.5f, x));
        const int32_t whole = static_cast<int32_t>(y + 127.5f) - 127;
        const float f = (y - static_cast<float>(whole)) * 0.693147181f;
        float p = 0.00138888889f + f * 0.000198412698f;
        p = 0.0416666667f + f * (0.00833333333f + f * p);
        p = 1.0f + f * (1.0f + f * (0.5f + f * (0.166666667f + f * p)));
        const int32_t bits = (whole + 127) << 23;
        float power;
        std::memcpy(&power, &bits, 4);
        powers[i] = p * power;
    }
}

class Search {
  public:
    Search(const Matrix& rows, const Matrix* others, const PairRequest& request)
        : rows_(rows),
          others_(others == nullptr ? rows : *others),
          symmetric_(others == nullptr),
          request_(request),
          bins_(request.cuts),
          found_(rows.n, request.nearest),
          counts_(bins_.counters()),
          exponentials_(static_cast<size_t>(request.sharpness > 0 ? rows.n : 0)) {}

    template <typename Tile>
    void run(int threads) {
        constexpr int64_t kWide = Tile::kWide;
        const int64_t panels = (rows_.n + kWide - 1) / kWide;
        locks_ = std::vector<std::mutex>(static_cast<size_t>(panels));
        const int64_t workers = resolve_threads(threads);
        // Packing the columns again for every stripe is what speaks for high ones; the caches and idle threads, for
        // low ones.
        const int64_t fitting = (int64_t{1} << 19) / std::max<int64_t>(1, rows_.d * kWide);
        const int64_t high =
            kWide * std::clamp<int64_t>(std::min(fitting, panels / (4 * workers)), 1, kHighest / kWide);
        const int64_t stripes = (rows_.n + high - 1) / high;
        // Few rows and many others: the others are shared out as well.
        const int64_t columns = (others_.n + kWide - 1) / kWide;
        const int64_t parts =
            symmetric_ ? 1 : std::clamp<int64_t>(4 * workers / std::max<int64_t>(1, stripes), 1, columns + 1);
        parallel_for(stripes * parts, static_cast<int>(workers), [&](int64_t task) {
            const int64_t start = task / parts * high, part = task % parts;
            const int64_t from = symmetric_ ? start : columns * part / parts * kWide;
            const int64_t to = symmetric_ ? others_.n : columns * (part + 1) / parts * kWide;
            look<Tile>(start, std::min(rows_.n, start + high), from, std::min(to, others_.n));
        });
    }

    PairFindings result() && {
        for (size_t b = 0; b < counts_.size(); b += Bins::kCounters) {
            const int64_t* counters = counts_.data() + b;
            counts_[b / Bins::kCounters] = std::accumulate(counters, counters + Bins::kCounters, int64_t{0});
        }
        counts_.resize(counts_.size() / Bins::kCounters);
        return {std::move(found_.similarity), std::move(found_.neighbours), std::move(found_.lowest),
                std::move(counts_), std::move(exponentials_)};
    }

  private:
    template <typename Tile>
    void look(int64_t start, int64_t stop, int64_t from, int64_t to) {
        constexpr int64_t kWide = Tile::kWide, kLanes = Tile::kLanes;
        const int64_t high = stop - start;
        Nearest own(high, request_.nearest);
        std::vector<int64_t> counts(counts_.size()), sums(static_cast<size_t>(exponentials_.empty() ? 0 : high));
        std::vector<float> least(static_cast<size_t>(high * kLanes), kInfinity);
        // What is too far for the row so far will not do later.
        for_panels(start, stop, kWide, [&](int64_t row) {
            own.threshold[static_cast<size_t>(row - start)] = found_.threshold[static_cast<size_t>(row)];
        });
        // Of another set nothing is kept by column.
        std::vector<float> deaf(static_cast<size_t>(kWide), kInfinity), unused = deaf, powers = deaf;
        std::vector<int32_t> cells(static_cast<size_t>(kWide));

        Stripe<Tile> stripe(rows_, start, stop);
        stripe.walk(others_, symmetric_, from, to, [&](int64_t column, int64_t wide, int64_t height) {
            // In a panel of a symmetric matrix that the diagonal crosses, pairs begin behind it.
            const auto begin = [&](int64_t i) {
                return symmetric_ ? std::max<int64_t>(0, start + i + 1 - column) : int64_t{0};
            };
            for (int64_t i = 0; i < height && !counts.empty(); ++i) {
                const int64_t first = std::min(begin(i), wide);
                bins_.count(stripe.products(i) + first, wide - first, cells.data(), counts.data());
            }
            std::unique_lock<std::mutex> lock;
            if (symmetric_) lock = std::unique_lock(locks_[static_cast<size_t>(column / kWide)]);
            for (int64_t i = 0; i < height && !sums.empty(); ++i) {
                raise_powers(stripe.products(i), kWide, request_.sharpness, powers.data());
                add_powers(powers.data(), column, wide, start + i, sums[static_cast<size_t>(i)]);
            }
            const float* thresholds = symmetric_ ? found_.threshold.data() + column : deaf.data();
            float* lowest = symmetric_ ? found_.lowest.data() + column : unused.data();
            for (int64_t i = 0; i < height; ++i) {
                const float* products = stripe.products(i);
                const int64_t first = begin(i);
                const bool whole = first == 0 && wide == kWide;
                if (whole && !Tile::scan(products, own.bound(i), thresholds, least.data() + i * kLanes, lowest)) {
                    continue;
                }
                for (int64_t j = first; j < wide; ++j) {
                    const float s = products[j];
                    if (!whole) {
                        own.see_lowest(i, s);
                        if (s < lowest[j]) lowest[j] = s;
                    }
                    if (s >= own.bound(i)) own.add(i, s, column + j);
                    if (symmetric_ && s >= thresholds[j]) found_.add(column + j, s, start + i);
                }
            }
            return true;
        });

        for (int64_t i = 0; i < high; ++i) {
            for (int64_t l = 0; l < kLanes; ++l) own.see_lowest(i, least[static_cast<size_t>(i * kLanes + l)]);
        }
        for_panels(start, stop, kWide, [&](int64_t row) {
            found_.take(row, own, row - start);
            if (!sums.empty()) exponentials_[static_cast<size_t>(row)] += sums[static_cast<size_t>(row - start)];
        });
        std::lock_guard<std::mutex> lock(counting_);
        for (size_t b = 0; b < counts.size(); ++b) counts_[b] += counts[b];
    }

    // As whole numbers, whose sum is the same in every order.
    void add_powers(const float* powers, int64_t column, int64_t wide, int64_t row, int64_t& sum) {
        const float one = static_cast<float>(int64_t{1} << request_.fraction);
        for (int64_t j = symmetric_ ? std::max<int64_t>(0, row - column) : 0; j < wide; ++j) {
            const auto term = static_cast<int64_t>(powers[j] * one);
            sum += term;
            if (symmetric_ && column + j != row) exponentials_[static_cast<size_t>(column + j)] += term;
        }
    }

    // Calls `body` for every row, holding the lock of its panel.
    template <typename Body>
    void for_panels(int64_t start, int64_t stop, int64_t wide, const Body& body) {
        for (int64_t first = start; first < stop; first += wide) {
            std::lock_guard<std::mutex> lock(locks_[static_cast<size_t>(first / wide)]);
            for (int64_t row = first; row < std::min(stop, first + wide); ++row) body(row);
        }
    }

    const Matrix rows_, others_;
    const bool symmetric_;
    const PairRequest& request_;
    const Bins bins_;
    Nearest found_;
    std::vector<int64_t> counts_, exponentials_;
    std::vector<std::mutex> locks_;
    std::mutex counting_;
};

}  // namespace

PairFindings find_pairs(const Matrix& rows, const Matrix* others, const PairRequest& request, int threads) {
    Search search(rows, others, request);
    with_tile([&](auto tile) { search.run<decltype(tile)>(threads); });
    return std::move(search).result();
}

}  // namespace divfast
