#include "clusters.hpp"

#include <cmath>
#include <limits>

// Hot loops are compiled for several processors, and the loader picks one.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define DIVFAST_CLUSTER_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define DIVFAST_CLUSTER_CLONES
#endif

namespace divfast {
namespace {

// Rounding of float32 rows and sums: two rows that are the same may come out this far from 1.
constexpr float kSlack = 1e-6f;
constexpr int kRounds = 50;
// Groups a task: their sizes differ, so a few at a time.
constexpr int64_t kGroups = 16;

constexpr int64_t kWide = 16;
constexpr int64_t kHigh = 4;
typedef float Wide __attribute__((vector_size(kWide * sizeof(float))));

float sum_of(const Wide& lanes, const float* x, const float* y, int64_t from, int64_t d) {
    float total = 0;
    for (int64_t i = 0; i < kWide; ++i) total += lanes[i];
    for (int64_t c = from; c < d; ++c) total += x[c] * y[c];
    return total;
}

// Products of one row with n that lie one after the other. Each is summed in the same order, whatever stands beside it.
DIVFAST_CLUSTER_CLONES
void dots(const float* x, const float* rows, int64_t n, int64_t d, float* out) {
    const int64_t whole = d - d % kWide;
    int64_t j = 0;
    for (; j + kHigh <= n; j += kHigh) {
        Wide sums[kHigh] = {};
        for (int64_t c = 0; c < whole; c += kWide) {
            Wide left, right;
            std::memcpy(&left, x + c, sizeof left);
            for (int64_t r = 0; r < kHigh; ++r) {
                std::memcpy(&right, rows + (j + r) * d + c, sizeof right);
                sums[r] += left * right;
            }
        }
        for (int64_t r = 0; r < kHigh; ++r) out[j + r] = sum_of(sums[r], x, rows + (j + r) * d, whole, d);
    }
    for (; j < n; ++j) {
        Wide sum = {};
        for (int64_t c = 0; c < whole; c += kWide) {
            Wide left, right;
            std::memcpy(&left, x + c, sizeof left);
            std::memcpy(&right, rows + j * d + c, sizeof right);
            sum += left * right;
        }
        out[j] = sum_of(sum, x, rows + j * d, whole, d);
    }
}

// Calls body(start, stop, scratch) for every group; `scratch` is the thread's own.
template <typename Scratch, typename Body>
void over_groups(const GroupedRows& rows, int threads, const Body& body) {
    parallel_for((rows.n_groups + kGroups - 1) / kGroups, threads, [&](int64_t task) {
        Scratch scratch;
        const int64_t last = std::min(rows.n_groups, (task + 1) * kGroups);
        for (int64_t group = task * kGroups; group < last; ++group) {
            if (rows.groups[group + 1] > rows.groups[group]) {
                body(group, rows.groups[group], rows.groups[group + 1], scratch);
            }
        }
    });
}

std::vector<int64_t> room_for(const GroupedRows& rows) {
    return std::vector<int64_t>(static_cast<size_t>(rows.groups[rows.n_groups] - rows.groups[0]));
}

using Products = std::vector<float>;

int64_t root_of(std::vector<int64_t>& parents, int64_t x) {
    while (parents[static_cast<size_t>(x)] != x) {
        auto& parent = parents[static_cast<size_t>(x)];
        parent = parents[static_cast<size_t>(parent)];
        x = parent;
    }
    return x;
}

struct Graph {
    Products products;
    std::vector<int64_t> parents;
};

uint64_t next_random(uint64_t& state) {
    state += kSeed0;
    return fold(state ^ kSeed1, state ^ kSeed2);
}

// One group's k-means. Row i of `centres` is a unit row, or the mean of rows that cancel out.
struct Means {
    Products products;
    std::vector<float> nearest, centres;
    std::vector<int64_t> label, size;
    std::vector<double> sums;

    void run(const float* rows, int64_t n, int64_t d, int64_t k, uint64_t seed) {
        k = seed_centres(rows, n, d, k, seed);
        label.assign(static_cast<size_t>(n), -1);
        for (int round = 0; round < kRounds && assign(rows, n, d, k); ++round) move(rows, n, d, k);
    }

  private:
    // Each new centre is a row drawn with odds that grow with its distance to the nearest one so far. Returns how
    // many there are: none is drawn where every row has a centre of its own.
    int64_t seed_centres(const float* rows, int64_t n, int64_t d, int64_t k, uint64_t seed) {
        uint64_t state = seed;
        centres.resize(static_cast<size_t>(k * d));
        nearest.assign(static_cast<size_t>(n), std::numeric_limits<float>::infinity());
        products.resize(static_cast<size_t>(std::max(n, k)));
        auto row = static_cast<int64_t>(next_random(state) % static_cast<uint64_t>(n));
        for (int64_t have = 0;;) {
            std::copy(rows + row * d, rows + (row + 1) * d, centres.begin() + have * d);
            if (++have == k) return k;
            dots(centres.data() + (have - 1) * d, rows, n, d, products.data());
            double total = 0;
            for (int64_t i = 0; i < n; ++i) {
                float& least = nearest[static_cast<size_t>(i)];
                least = std::min(least, std::max(0.0f, 1.0f - kSlack - products[static_cast<size_t>(i)]));
                total += static_cast<double>(least);
            }
            if (!(total > 0)) return have;
            const double drawn = static_cast<double>(next_random(state) >> 11) * 0x1p-53 * total;
            double reached = 0;
            row = -1;
            for (int64_t i = 0; i < n && (row < 0 || reached <= drawn); ++i) {
                const double own = static_cast<double>(nearest[static_cast<size_t>(i)]);
                reached += own;
                if (own > 0) row = i;
            }
        }
    }

    // Gives every row to its nearest centre, the first of several; returns whether anything has changed.
    bool assign(const float* rows, int64_t n, int64_t d, int64_t k) {
        bool changed = false;
        for (int64_t i = 0; i < n; ++i) {
            dots(rows + i * d, centres.data(), k, d, products.data());
            const int64_t best = std::max_element(products.begin(), products.begin() + k) - products.begin();
            changed = changed || label[static_cast<size_t>(i)] != best;
            label[static_cast<size_t>(i)] = best;
        }
        return changed;
    }

    // A centre without rows stays where it is.
    void move(const float* rows, int64_t n, int64_t d, int64_t k) {
        sums.assign(static_cast<size_t>(k * d), 0.0);
        size.assign(static_cast<size_t>(k), 0);
        for (int64_t i = 0; i < n; ++i) {
            const int64_t at = label[static_cast<size_t>(i)];
            ++size[static_cast<size_t>(at)];
            for (int64_t c = 0; c < d; ++c) sums[static_cast<size_t>(at * d + c)] += static_cast<double>(rows[i * d + c]);
        }
        for (int64_t j = 0; j < k; ++j) {
            double squares = 0;
            for (int64_t c = 0; c < d; ++c) squares += sums[static_cast<size_t>(j * d + c)] * sums[static_cast<size_t>(j * d + c)];
            if (size[static_cast<size_t>(j)] == 0 || !(squares > 0)) continue;
            const double scale = 1.0 / std::sqrt(squares);
            for (int64_t c = 0; c < d; ++c) {
                centres[static_cast<size_t>(j * d + c)] = static_cast<float>(sums[static_cast<size_t>(j * d + c)] * scale);
            }
        }
    }
};

}  // namespace

std::vector<int64_t> group_components(const GroupedRows& rows, double tau, int threads) {
    auto out = room_for(rows);
    const float least = static_cast<float>(tau) - kSlack;
    over_groups<Graph>(rows, threads, [&](int64_t, int64_t start, int64_t stop, Graph& graph) {
        const int64_t n = stop - start;
        graph.products.resize(static_cast<size_t>(n));
        graph.parents.resize(static_cast<size_t>(n));
        for (int64_t i = 0; i < n; ++i) {
            graph.parents[static_cast<size_t>(i)] = i;
            dots(rows.row(start + i), rows.row(start), i, rows.d, graph.products.data());
            for (int64_t j = 0; j < i; ++j) {
                if (!(graph.products[static_cast<size_t>(j)] >= least)) continue;
                const int64_t a = root_of(graph.parents, i), b = root_of(graph.parents, j);
                // The first member is the root.
                graph.parents[static_cast<size_t>(std::max(a, b))] = std::min(a, b);
            }
        }
        for (int64_t i = 0; i < n; ++i) {
            out[static_cast<size_t>(start - rows.groups[0] + i)] = start + root_of(graph.parents, i);
        }
    });
    return out;
}

std::vector<int64_t> group_leaders(const GroupedRows& rows, double tau, int threads) {
    auto out = room_for(rows);
    const float least = static_cast<float>(tau) - kSlack;
    over_groups<Products>(rows, threads, [&](int64_t, int64_t start, int64_t stop, Products& products) {
        products.resize(static_cast<size_t>(stop - start));
        int64_t* labels = out.data() + (start - rows.groups[0]);
        for (int64_t i = 0; i < stop - start; ++i) {
            labels[i] = start + i;
            dots(rows.row(start + i), rows.row(start), i, rows.d, products.data());
            for (int64_t j = 0; j < i; ++j) {
                if (labels[j] == start + j && products[static_cast<size_t>(j)] >= least) {
                    labels[i] = start + j;
                    break;
                }
            }
        }
    });
    return out;
}

std::vector<int64_t> group_kmeans(const GroupedRows& rows, const int64_t* ks, uint64_t seed, int threads) {
    auto out = room_for(rows);
    over_groups<Means>(rows, threads, [&](int64_t group, int64_t start, int64_t stop, Means& means) {
        const int64_t n = stop - start;
        const int64_t k = std::min(n, std::max<int64_t>(1, ks[group]));
        means.run(rows.row(start), n, rows.d, k, seed);
        std::vector<int64_t> first(static_cast<size_t>(k), -1);
        for (int64_t i = 0; i < n; ++i) {
            int64_t& one = first[static_cast<size_t>(means.label[static_cast<size_t>(i)])];
            if (one < 0) one = start + i;
            out[static_cast<size_t>(start - rows.groups[0] + i)] = one;
        }
    });
    return out;
}

std::vector<int64_t> medoids(const float* values, int64_t d, const int64_t* members, const int64_t* offsets,
                             int64_t clusters, int threads) {
    std::vector<int64_t> out(static_cast<size_t>(clusters), -1);
    constexpr int64_t kClusters = 256;
    parallel_for((clusters + kClusters - 1) / kClusters, threads, [&](int64_t task) {
        std::vector<double> sum(static_cast<size_t>(d));
        for (int64_t i = task * kClusters; i < std::min(clusters, (task + 1) * kClusters); ++i) {
            const int64_t* from = members + offsets[i];
            const int64_t* to = members + offsets[i + 1];
            if (from == to) continue;
            std::fill(sum.begin(), sum.end(), 0.0);
            for (const int64_t* row = from; row != to && to - from > 2; ++row) {
                for (int64_t c = 0; c < d; ++c) sum[static_cast<size_t>(c)] += static_cast<double>(values[*row * d + c]);
            }
            double greatest = -std::numeric_limits<double>::infinity();
            for (const int64_t* row = from; row != to; ++row) {
                double product = 0;
                for (int64_t c = 0; c < d; ++c) product += sum[static_cast<size_t>(c)] * static_cast<double>(values[*row * d + c]);
                // The first of equal rows wins, also where rounding has made a later one greater.
                if (product > greatest + 1e-9 * static_cast<double>(to - from)) greatest = product, out[static_cast<size_t>(i)] = *row;
            }
        }
    });
    return out;
}

}  // namespace divfast
