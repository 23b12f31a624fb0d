#include "greedy.hpp"

#include <cmath>
#include <limits>

#include "greedy_costs.hpp"

namespace divfast {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();
// Rows that share a lower bound of their costs.
constexpr int64_t kChunk = 2048;
// How many of the most promising chunks have their best row counted first, so that the others have a limit to stay under.
constexpr int64_t kScouts = 64;

void lower(std::atomic<double>& limit, double value) {
    double now = limit.load(std::memory_order_relaxed);
    while (value < now && !limit.compare_exchange_weak(now, value, std::memory_order_relaxed)) {
    }
}

bool is_better(const Choice& a, const Choice& b) {
    return a.row >= 0 && (b.row < 0 || a.cost < b.cost || (a.cost == b.cost && a.row < b.row));
}

// Costs never fall, so a cost from earlier is a lower bound: rows whose bound is above the least cost found so far are
// left alone. Every row that may have the least cost is counted, so the choice is the one that counting all would make.
template <typename Cost>
class Lazy : public Greedy {
  public:
    Lazy(Vectors rows, double q, int threads)
        : rows_(rows),
          threads_(threads),
          cost_(rows, q),
          values_(static_cast<size_t>(rows.rows), Cost::kFirst),
          seen_(static_cast<size_t>(rows.rows), 0),
          bounds_(static_cast<size_t>((rows.rows + kChunk - 1) / kChunk), Cost::kFirst) {}

    void take(int64_t row) override {
        cost_.take(row);
        ++taken_;
        values_[static_cast<size_t>(row)] = kInfinite;
    }

    Choice cheapest() override {
        const auto chunks = static_cast<int64_t>(bounds_.size());
        std::vector<int64_t> order(bounds_.size());
        for (int64_t c = 0; c < chunks; ++c) order[static_cast<size_t>(c)] = c;
        std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
            const double left = bounds_[static_cast<size_t>(a)], right = bounds_[static_cast<size_t>(b)];
            return left < right || (left == right && a < b);
        });
        std::atomic<double> limit{kInfinite};
        if (chunks > 1) {
            parallel_for(std::min(chunks, kScouts), threads_, [&](int64_t i) { scout(order[static_cast<size_t>(i)], limit); });
        }
        std::vector<Choice> found(bounds_.size());
        parallel_for(chunks, threads_, [&](int64_t i) {
            const int64_t chunk = order[static_cast<size_t>(i)];
            if (bounds_[static_cast<size_t>(chunk)] <= reach(limit)) found[static_cast<size_t>(chunk)] = search(chunk, limit);
        });
        Choice best;
        for (const Choice& one : found) {
            if (is_better(one, best)) best = one;
        }
        return best;
    }

    int64_t central() const override {
        const int64_t d = rows_.width, chunks = static_cast<int64_t>(bounds_.size());
        if (rows_.rows == 0) return -1;
        // Summed by chunks in their order, so that the number of threads changes nothing.
        std::vector<double> mean(static_cast<size_t>(d), 0.0);
        constexpr int64_t kTogether = 64;
        for (int64_t start = 0; start < chunks; start += kTogether) {
            const int64_t many = std::min(kTogether, chunks - start);
            std::vector<double> sums(static_cast<size_t>(many * d), 0.0);
            parallel_for(many, threads_, [&](int64_t c) {
                double* sum = sums.data() + c * d;
                for (int64_t i = first(start + c); i < first(start + c + 1); ++i) {
                    const float* row = rows_.row(i);
                    for (int64_t j = 0; j < d; ++j) sum[j] += static_cast<double>(row[j]);
                }
            });
            for (int64_t c = 0; c < many; ++c) {
                for (int64_t j = 0; j < d; ++j) mean[static_cast<size_t>(j)] += sums[static_cast<size_t>(c * d + j)];
            }
        }
        for (double& x : mean) x /= static_cast<double>(rows_.rows);
        std::vector<Choice> found(bounds_.size());
        parallel_for(chunks, threads_, [&](int64_t c) {
            for (int64_t i = first(c); i < first(c + 1); ++i) {
                const Choice one{i, squared_distance(rows_.row(i), mean.data(), d)};
                if (is_better(one, found[static_cast<size_t>(c)])) found[static_cast<size_t>(c)] = one;
            }
        });
        Choice best;
        for (const Choice& one : found) {
            if (is_better(one, best)) best = one;
        }
        return std::max<int64_t>(best.row, 0);
    }

  private:
    int64_t first(int64_t chunk) const { return std::min(chunk * kChunk, rows_.rows); }
    double reach(const std::atomic<double>& limit) const {
        return limit.load(std::memory_order_relaxed) + cost_.slack();
    }
    bool is_fresh(int64_t row) const { return seen_[static_cast<size_t>(row)] == taken_; }

    void update(const int64_t* rows, int64_t count, std::atomic<double>& limit, typename Cost::Scratch& scratch) {
        cost_.update(rows, count, reach(limit), values_.data(), seen_.data(), scratch);
        for (int64_t c = 0; c < count; ++c) {
            if (is_fresh(rows[c])) lower(limit, values_[static_cast<size_t>(rows[c])]);
        }
    }

    // Counts the row of a chunk with the least bound.
    void scout(int64_t chunk, std::atomic<double>& limit) {
        int64_t best = first(chunk);
        for (int64_t i = best; i < first(chunk + 1); ++i) {
            if (values_[static_cast<size_t>(i)] < values_[static_cast<size_t>(best)]) best = i;
        }
        if (values_[static_cast<size_t>(best)] == kInfinite) return;
        typename Cost::Scratch scratch;
        if (is_fresh(best)) {
            lower(limit, values_[static_cast<size_t>(best)]);
        } else {
            update(&best, 1, limit, scratch);
        }
    }

    Choice search(int64_t chunk, std::atomic<double>& limit) {
        typename Cost::Scratch scratch;
        int64_t waiting[kAtOnce];
        int64_t count = 0;
        for (int64_t i = first(chunk); i < first(chunk + 1); ++i) {
            if (is_fresh(i) || !(values_[static_cast<size_t>(i)] <= reach(limit)) || values_[static_cast<size_t>(i)] == kInfinite) continue;
            waiting[count++] = i;
            if (count == kAtOnce) {
                update(waiting, count, limit, scratch);
                count = 0;
            }
        }
        if (count > 0) update(waiting, count, limit, scratch);
        Choice best;
        double bound = kInfinite;
        for (int64_t i = first(chunk); i < first(chunk + 1); ++i) {
            const double value = values_[static_cast<size_t>(i)];
            bound = std::min(bound, value);
            if (value < kInfinite && is_fresh(i) && is_better({i, value}, best)) best = {i, value};
        }
        bounds_[static_cast<size_t>(chunk)] = bound;
        return best;
    }

    Vectors rows_;
    int threads_;
    Cost cost_;
    uint32_t taken_ = 0;
    std::vector<double> values_;
    std::vector<uint32_t> seen_;  // how many of the rows taken a value knows
    std::vector<double> bounds_;  // of each chunk, at most its least value
};

// body(group, threads) for every group: the large ones on all threads one after the other, the rest side by side.
template <typename Body>
void over_groups(const int64_t* groups, int64_t n_groups, int threads, const Body& body) {
    threads = resolve_threads(threads);
    const int64_t large = std::max<int64_t>(kChunk, (groups[n_groups] - groups[0]) / (2 * threads));
    std::vector<int64_t> small;
    for (int64_t g = 0; g < n_groups; ++g) {
        if (groups[g + 1] - groups[g] > large) {
            body(g, threads);
        } else {
            small.push_back(g);
        }
    }
    constexpr int64_t kTogether = 16;
    const auto many = static_cast<int64_t>(small.size());
    parallel_for((many + kTogether - 1) / kTogether, threads, [&](int64_t part) {
        for (int64_t i = part * kTogether; i < std::min(many, (part + 1) * kTogether); ++i) {
            body(small[static_cast<size_t>(i)], 1);
        }
    });
}

Vectors part_of(Vectors rows, int64_t start, int64_t stop) { return {rows.row(start), stop - start, rows.width}; }

}  // namespace

std::unique_ptr<Greedy> make_greedy(Vectors rows, Cost cost, double q, int threads) {
    if (cost == Cost::distance) return std::make_unique<Lazy<DistanceCost>>(rows, q, threads);
    if (cost == Cost::cosines) return std::make_unique<Lazy<CosinesCost>>(rows, q, threads);
    return std::make_unique<Lazy<SpectrumCost>>(rows, q, threads);
}

void greedy_groups(Vectors rows, const int64_t* groups, int64_t n_groups, int64_t k, Cost cost, double q, int threads,
                   int64_t* taken, double* costs) {
    over_groups(groups, n_groups, threads, [&](int64_t g, int inner) {
        int64_t* out = taken + g * k;
        double* cost_of = costs + g * k;
        std::fill(out, out + k, int64_t{-1});
        std::fill(cost_of, cost_of + k, std::numeric_limits<double>::quiet_NaN());
        if (groups[g + 1] == groups[g]) return;
        const auto greedy = make_greedy(part_of(rows, groups[g], groups[g + 1]), cost, q, inner);
        Choice next{greedy->central(), std::numeric_limits<double>::quiet_NaN()};
        for (int64_t i = 0; i < k && next.row >= 0; ++i) {
            out[i] = groups[g] + next.row;
            cost_of[i] = next.cost;
            greedy->take(next.row);
            if (i + 1 < k) next = greedy->cheapest();
        }
    });
}

void covering_radius(Vectors rows, const int64_t* groups, int64_t n_groups, const int64_t* chosen,
                     const int64_t* bounds, int threads, double* radius) {
    over_groups(groups, n_groups, threads, [&](int64_t g, int inner) {
        radius[g] = std::numeric_limits<double>::quiet_NaN();
        if (groups[g + 1] == groups[g] || bounds[g + 1] == bounds[g]) return;
        Lazy<DistanceCost> greedy(part_of(rows, groups[g], groups[g + 1]), 0.0, inner);
        for (int64_t i = bounds[g]; i < bounds[g + 1]; ++i) greedy.take(chosen[i] - groups[g]);
        const Choice farthest = greedy.cheapest();
        radius[g] = farthest.row < 0 ? 0.0 : -farthest.cost;
    });
}

}  // namespace divfast
