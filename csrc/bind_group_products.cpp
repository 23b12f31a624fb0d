#include "bindings.hpp"
#include "group_products.hpp"

namespace divfast {
namespace {

// Groups of more rows would make a result that no cache holds; BLAS is for these.
constexpr int64_t kMostRows = 1 << 12;

py::array_t<double> products_of(const Array<float>& rows, const Array<int64_t>& starts, int64_t k, int threads) {
    if (rows.ndim() != 2) throw py::value_error("rows must be n x d");
    if (starts.ndim() != 1) throw py::value_error("starts must be one-dimensional");
    if (k < 0 || k > kMostRows) throw py::value_error("k must be from 0 to 4096");
    const int64_t n = rows.shape(0), d = rows.shape(1), groups = starts.shape(0);
    const int64_t* at = starts.data();
    for (int64_t g = 0; g < groups; ++g) {
        if (at[g] < 0 || at[g] > n || n - at[g] < k) throw py::value_error("a group is not inside of rows");
    }
    py::array_t<double> products(std::vector<py::ssize_t>{groups, k, k});
    double* out = products.mutable_data();
    const float* in = rows.data();
    py::gil_scoped_release release;
    group_products(in, d, at, groups, k, threads, out);
    return products;
}

}  // namespace

void bind_group_products(py::module_& m) {
    m.def("group_products", &products_of, py::arg("rows"), py::arg("starts"), py::arg("k"), py::arg("threads") = 0);
}

}  // namespace divfast
