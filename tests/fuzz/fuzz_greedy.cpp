// Greedy subsets of vectors of small whole numbers: on several threads the same as on one, and farthest first by hand.
#include "fuzz.hpp"
#include "greedy.hpp"

using namespace divfast;

namespace {

float distance(const Vectors& rows, int64_t i, int64_t j) {
    float sum = 0;
    for (int64_t k = 0; k < rows.width; ++k) {
        const float by = rows.row(i)[k] - rows.row(j)[k];
        sum += by * by;
    }
    return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::Input input(data, size);
    const int64_t n = input.below(70), d = 1 + input.below(20), k = input.below(40);
    constexpr Cost kAll[] = {Cost::distance, Cost::cosines, Cost::spectrum};
    const Cost cost = kAll[input.below(3)];
    const double q = 0.25 * (1 + input.below(8));
    const std::unique_ptr<float[]> values(new float[static_cast<size_t>(n * d)]);
    for (int64_t i = 0; i < n * d; ++i) values[static_cast<size_t>(i)] = static_cast<float>(input.below(5) - 2);
    const Vectors rows{values.get(), n, d};
    const auto one = make_greedy(rows, cost, q, 1), several = make_greedy(rows, cost, q, 3);
    const int64_t first = one->central();
    CHECK(first == several->central());
    CHECK((n == 0) == (first < 0));
    std::vector<int64_t> taken;
    for (int64_t next = first; next >= 0 && static_cast<int64_t>(taken.size()) < k;) {
        CHECK(next < n);
        CHECK(std::find(taken.begin(), taken.end(), next) == taken.end());
        taken.push_back(next);
        one->take(next);
        several->take(next);
        const Choice choice = one->cheapest(), other = several->cheapest();
        CHECK(choice.row == other.row);
        CHECK((choice.row < 0) == (static_cast<int64_t>(taken.size()) == n));
        if (cost == Cost::distance && choice.row >= 0) {
            int64_t farthest = -1;
            float most = -1;
            for (int64_t i = 0; i < n; ++i) {
                if (std::find(taken.begin(), taken.end(), i) != taken.end()) continue;
                float nearest = distance(rows, i, taken[0]);
                for (const int64_t t : taken) nearest = std::min(nearest, distance(rows, i, t));
                if (nearest > most) most = nearest, farthest = i;
            }
            CHECK(choice.row == farthest);
        }
        next = choice.row;
    }
    return 0;
}
