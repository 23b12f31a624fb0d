#include "bindings.hpp"
#include "outer_products.hpp"

namespace divfast {
namespace {

template <typename Number>
void add_rows(py::array_t<double, py::array::c_style>& products, const Array<Number>& rows, int threads) {
    if (rows.ndim() != 2) throw py::value_error("rows must be n x d");
    const int64_t n = rows.shape(0), d = rows.shape(1);
    if (products.ndim() != 2 || products.shape(0) != d || products.shape(1) != d) {
        throw py::value_error("products must be d x d");
    }
    double* out = products.mutable_data();
    const Number* in = rows.data();
    py::gil_scoped_release release;
    add_outer_products(in, n, d, threads, out);
}

// Floats are taken as they are, anything else as doubles.
void add_products(py::array_t<double, py::array::c_style>& products, const py::array& rows, int threads) {
    if (py::isinstance<py::array_t<float>>(rows)) {
        add_rows<float>(products, rows, threads);
    } else {
        add_rows<double>(products, rows, threads);
    }
}

}  // namespace

void bind_vectors(py::module_& m) {
    // Added to in place: a copy would be lost.
    m.def("add_outer_products", &add_products, py::arg("products").noconvert(), py::arg("rows"), py::arg("threads") = 0);
}

}  // namespace divfast
