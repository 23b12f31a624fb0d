// Eigenvalues of matrices of small whole numbers, whose sums of powers are known exactly.
#include <cmath>

#include "fuzz.hpp"
#include "group_products.hpp"
#include "large_spectrum.hpp"
#include "spectra.hpp"

using namespace divfast;

namespace {

void check_spectrum(const double* matrix, const double* values, int64_t k) {
    double trace = 0, squares = 0, sum = 0, sum_of_squares = 0;
    for (int64_t i = 0; i < k; ++i) {
        trace += matrix[i * k + i];
        for (int64_t j = 0; j < k; ++j) squares += matrix[i * k + j] * matrix[i * k + j];
        sum += values[i];
        sum_of_squares += values[i] * values[i];
    }
    CHECK(std::abs(sum - trace) <= 1e-12 * (1 + std::sqrt(squares) * static_cast<double>(k)));
    CHECK(std::abs(sum_of_squares - squares) <= 1e-11 * (1 + squares));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::Input input(data, size);
    const int64_t many = 1 + input.below(11), k = 1 + input.below(90), d = 1 + input.below(9);
    const auto rows = static_cast<size_t>(many * k * d), all = static_cast<size_t>(many * k * k);
    const std::unique_ptr<float[]> vectors(new float[rows]);
    for (size_t i = 0; i < rows; ++i) vectors[i] = static_cast<float>(input.below(5) - 2);
    std::vector<int64_t> starts;
    for (int64_t g = 0; g < many; ++g) starts.push_back(g * k);
    const std::unique_ptr<double[]> matrices(new double[all]), again(new double[all]), values(new double[rows + all]);
    group_products(vectors.get(), d, starts.data(), many, k, 1, matrices.get());
    group_products(vectors.get(), d, starts.data(), many, k, 3, again.get());
    CHECK(std::equal(matrices.get(), matrices.get() + all, again.get()));
    for (const int threads : {1, 2}) {
        eigenvalues(matrices.get(), many, k, threads, values.get());
        for (int64_t g = 0; g < many; ++g) check_spectrum(matrices.get() + g * k * k, values.get() + g * k, k);
        large_eigenvalues(matrices.get(), many, k, threads, values.get());
        for (int64_t g = 0; g < many; ++g) check_spectrum(matrices.get() + g * k * k, values.get() + g * k, k);
    }
    return 0;
}
