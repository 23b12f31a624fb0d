#include "similarity.hpp"
#include "similarity_tiles.hpp"

namespace divfast {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int64_t kStripe = 960;

template <typename Tile>
void join_part(const Matrix& rows, const Matrix& others, bool symmetric, int64_t start, int64_t stop, int64_t from,
               int64_t to, float tau, int64_t limit, std::atomic<int64_t>& total, JoinedPairs& found) {
    constexpr int64_t kWide = Tile::kWide;
    const std::vector<float> deaf(static_cast<size_t>(kWide), kInfinity);
    std::vector<float> lowest(static_cast<size_t>(kWide), -kInfinity), least = lowest;
    Stripe<Tile> stripe(rows, start, stop);
    stripe.walk(others, symmetric, from, to, [&](int64_t column, int64_t wide, int64_t height) {
        const size_t known = found.left.size();
        for (int64_t i = 0; i < height; ++i) {
            const float* products = stripe.products(i);
            if (wide == kWide && !Tile::scan(products, tau, deaf.data(), least.data(), lowest.data())) continue;
            for (int64_t j = symmetric ? std::max<int64_t>(0, start + i + 1 - column) : 0; j < wide; ++j) {
                if (!(products[j] >= tau)) continue;
                found.left.push_back(start + i);
                found.right.push_back(column + j);
                found.similarity.push_back(products[j]);
            }
        }
        const auto more = static_cast<int64_t>(found.left.size() - known);
        return total.fetch_add(more, std::memory_order_relaxed) + more <= limit;
    });
}

}  // namespace

JoinedPairs join_rows(const Matrix& rows, const Matrix* others, int64_t start, int64_t stop, float tau, int64_t limit,
                      int threads) {
    const Matrix& right = others == nullptr ? rows : *others;
    const bool symmetric = others == nullptr;
    const int64_t stripes = (stop - start + kStripe - 1) / kStripe;
    const int64_t first = symmetric ? start : 0;
    std::vector<JoinedPairs> parts;
    std::atomic<int64_t> total{0};
    with_tile([&](auto tile) {
        using Tile = decltype(tile);
        const int64_t panels = (right.n - first + Tile::kWide - 1) / Tile::kWide;
        const int64_t shares = std::clamp<int64_t>(8 * resolve_threads(threads), 1, std::max<int64_t>(1, panels));
        parts.resize(static_cast<size_t>(stripes * shares));
        parallel_for(stripes * shares, threads, [&](int64_t task) {
            const int64_t from = start + task / shares * kStripe, share = task % shares;
            const auto column = [&](int64_t s) {
                return std::min(right.n, first + panels * s / shares * Tile::kWide);
            };
            if (total.load(std::memory_order_relaxed) > limit) return;
            join_part<Tile>(rows, right, symmetric, from, std::min(stop, from + kStripe), column(share),
                            column(share + 1), tau, limit, total, parts[static_cast<size_t>(task)]);
        });
    });
    JoinedPairs out;
    out.complete = total.load() <= limit;
    if (!out.complete) return out;

    // Parts come in the order of columns, and so do the pairs of a row within each: sorted by row, all are in order.
    std::vector<int64_t> at(static_cast<size_t>(stop - start + 1));
    for (const auto& part : parts) {
        for (const int64_t row : part.left) ++at[static_cast<size_t>(row - start + 1)];
    }
    for (size_t r = 1; r < at.size(); ++r) at[r] += at[r - 1];
    const auto size = static_cast<size_t>(total.load());
    out.left.resize(size), out.right.resize(size), out.similarity.resize(size);
    for (auto& part : parts) {
        for (size_t p = 0; p < part.left.size(); ++p) {
            const auto to = static_cast<size_t>(at[static_cast<size_t>(part.left[p] - start)]++);
            out.left[to] = part.left[p];
            out.right[to] = part.right[p];
            out.similarity[to] = part.similarity[p];
        }
        part = JoinedPairs{};
    }
    return out;
}

}  // namespace divfast
