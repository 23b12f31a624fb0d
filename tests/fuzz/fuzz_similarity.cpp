// All pairs of vectors of small whole numbers, whose products are exact: against every pair by itself.
#include "fuzz.hpp"
#include "similarity.hpp"

using namespace divfast;

namespace {

struct Owned {
    std::unique_ptr<float[]> values;
    Matrix matrix;
};

Owned make(fuzz::Input& input, int64_t n, int64_t d) {
    Owned out{std::make_unique<float[]>(static_cast<size_t>(n * d)), {}};
    for (int64_t i = 0; i < n * d; ++i) out.values[static_cast<size_t>(i)] = static_cast<float>(input.below(5) - 2);
    out.matrix = {out.values.get(), n, d};
    return out;
}

float product(const Matrix& a, int64_t i, const Matrix& b, int64_t j) {
    float sum = 0;
    for (int64_t k = 0; k < a.d; ++k) sum += a.values[i * a.d + k] * b.values[j * b.d + k];
    return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::Input input(data, size);
    const int64_t n = input.below(120), m = input.below(120), d = input.below(20);
    const bool alone = input.below(2) != 0;
    PairRequest request;
    request.nearest = 1 + input.below(4);
    for (int cut = input.below(4); cut > 0; --cut) {
        const float last = request.cuts.empty() ? -3.0f : request.cuts.back();
        request.cuts.push_back(last + 0.5f + static_cast<float>(input.below(4)));
    }
    const float tau = static_cast<float>(input.below(9) - 4);
    const Owned left = make(input, n, d), right = make(input, m, d);
    const Matrix& others = alone ? left.matrix : right.matrix;

    std::vector<int64_t> counts(request.cuts.size() + 1), joined;
    std::vector<float> best(static_cast<size_t>(n), -1e9f);
    for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < others.n; ++j) {
            if (alone && i == j) continue;
            const float s = product(left.matrix, i, others, j);
            best[static_cast<size_t>(i)] = std::max(best[static_cast<size_t>(i)], s);
            if (alone && j < i) continue;
            size_t bin = 0;
            while (bin < request.cuts.size() && s >= request.cuts[bin]) ++bin;
            ++counts[bin];
            if (s >= tau) joined.push_back(i * others.n + j);
        }
    }

    const auto one = find_pairs(left.matrix, alone ? nullptr : &others, request, 1);
    const auto three = find_pairs(left.matrix, alone ? nullptr : &others, request, 3);
    CHECK(one.similarity == three.similarity && one.neighbours == three.neighbours && one.counts == three.counts);
    CHECK(one.lowest == three.lowest);
    CHECK(one.counts.empty() ? request.cuts.empty() : one.counts == counts);
    for (int64_t i = 0; i < n; ++i) {
        const auto at = static_cast<size_t>(i * request.nearest);
        if (one.neighbours[at] == PairFindings::kNobody) {
            CHECK(best[static_cast<size_t>(i)] == -1e9f);
        } else {
            CHECK(one.similarity[at] == best[static_cast<size_t>(i)]);
            CHECK(product(left.matrix, i, others, one.neighbours[at]) == one.similarity[at]);
        }
    }

    const auto found = join_rows(left.matrix, alone ? nullptr : &others, 0, n, tau, n * others.n, 3);
    CHECK(found.complete && found.left.size() == joined.size());
    for (size_t p = 0; p < joined.size(); ++p) CHECK(found.left[p] * others.n + found.right[p] == joined[p]);
    if (joined.size() > 1) CHECK(!join_rows(left.matrix, alone ? nullptr : &others, 0, n, tau, 1, 2).complete);
    return 0;
}
