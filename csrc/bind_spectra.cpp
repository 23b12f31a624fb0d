#include "bindings.hpp"
#include "spectra.hpp"

namespace divfast {
namespace {

template <typename Number>
py::array_t<double> spectra_of(const Array<Number>& rows, const Array<int64_t>& starts, int64_t k, int threads) {
    if (rows.ndim() != 2 || starts.ndim() != 1) throw py::value_error("rows must be n x d, starts a list");
    const int64_t n = rows.shape(0), d = rows.shape(1), many = starts.shape(0);
    if (k < 1 || k > n) throw py::value_error("k must be from 1 to the number of rows");
    const int64_t* at = starts.data();
    for (int64_t g = 0; g < many; ++g) {
        if (at[g] < 0 || at[g] > n - k) throw py::value_error("a group reaches outside the rows");
    }
    py::array_t<double> spectra({many, k});
    double* out = spectra.mutable_data();
    const Number* in = rows.data();
    {
        py::gil_scoped_release release;
        gram_spectra(in, d, at, many, k, threads, out);
    }
    return spectra;
}

// Floats are taken as they are, anything else as doubles.
py::array_t<double> spectra(const py::array& rows, const Array<int64_t>& starts, int64_t k, int threads) {
    if (py::isinstance<py::array_t<float>>(rows)) return spectra_of<float>(rows, starts, k, threads);
    return spectra_of<double>(rows, starts, k, threads);
}

}  // namespace

void bind_spectra(py::module_& m) {
    m.def("gram_spectra", &spectra, py::arg("rows"), py::arg("starts"), py::arg("k"), py::arg("threads") = 0);
}

}  // namespace divfast
