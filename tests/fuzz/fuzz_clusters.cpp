// Clusters of rows made of any bytes, beside plain loops, on one thread and on several.
#include <cmath>

#include "clusters.hpp"
#include "fuzz.hpp"

using namespace divfast;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::Input input(data, size);
    const int64_t d = 1 + input.below(20);
    const double tau = -1.0 + input.below(21) / 10.0;
    const int64_t k = 1 + input.below(5);
    const auto bytes = input.text();
    // Every row of bytes is a vector, as long as it is wide: short ones are filled up, and none is zero.
    std::vector<float> values;
    const auto view = bytes.view();
    for (int64_t row = 0; row < view.rows; ++row) {
        double squares = 0;
        std::vector<float> vector(static_cast<size_t>(d), 0.0f);
        for (int64_t i = 0; i < std::min(d, view.length(row)); ++i) {
            vector[static_cast<size_t>(i)] = static_cast<float>(view.begin(row)[i]);
        }
        vector[0] += 0.5f;
        for (float x : vector) squares += static_cast<double>(x) * static_cast<double>(x);
        for (float x : vector) values.push_back(static_cast<float>(static_cast<double>(x) / std::sqrt(squares)));
    }
    const GroupedRows rows{values.data(), d, bytes.groups.data(), bytes.n_groups()};
    const auto components = group_components(rows, tau, 1);
    const auto leaders = group_leaders(rows, tau, 1);
    const std::vector<int64_t> ks(static_cast<size_t>(bytes.n_groups()), k);
    const auto means = group_kmeans(rows, ks.data(), 7, 1);
    CHECK(components == group_components(rows, tau, 3));
    CHECK(leaders == group_leaders(rows, tau, 3));
    CHECK(means == group_kmeans(rows, ks.data(), 7, 3));
    const int64_t base = bytes.groups.front();
    for (int64_t group = 0; group < bytes.n_groups(); ++group) {
        const int64_t start = bytes.groups[static_cast<size_t>(group)], stop = bytes.groups[static_cast<size_t>(group) + 1];
        int64_t clusters = 0;
        for (int64_t i = start; i < stop; ++i) {
            const auto at = static_cast<size_t>(i - base);
            for (const auto* labels : {&components, &leaders, &means}) {
                const int64_t first = (*labels)[at];
                CHECK(start <= first && first <= i);
                CHECK((*labels)[static_cast<size_t>(first - base)] == first);
            }
            // Whoever follows a leader is in its component.
            CHECK(components[at] == components[static_cast<size_t>(leaders[at] - base)]);
            clusters += means[at] == i;
        }
        CHECK(clusters <= std::max<int64_t>(k, 0) || stop == start);
    }
    std::vector<int64_t> members(components.size());
    for (size_t i = 0; i < members.size(); ++i) members[i] = base + static_cast<int64_t>(i);
    const std::vector<int64_t> offsets{0, static_cast<int64_t>(members.size())};
    const auto medoid = medoids(values.data(), d, members.data(), offsets.data(), 1, 2);
    CHECK(members.empty() ? medoid[0] == -1 : medoid[0] >= base);
    return 0;
}
