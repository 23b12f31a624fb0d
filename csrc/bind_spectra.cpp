#include "bindings.hpp"
#include "large_spectrum.hpp"
#include "spectra.hpp"

namespace divfast {
namespace {

// One in each lane up to here, beyond it one for a team of threads.
constexpr int64_t kSmall = 64;

py::array_t<double> values_of(const Array<double>& matrices, int threads) {
    if (matrices.ndim() != 3 || matrices.shape(1) != matrices.shape(2)) {
        throw py::value_error("matrices must be b x k x k");
    }
    const int64_t many = matrices.shape(0), k = matrices.shape(1);
    py::array_t<double> values({many, k});
    double* out = values.mutable_data();
    const double* in = matrices.data();
    {
        py::gil_scoped_release release;
        (k <= kSmall ? eigenvalues : large_eigenvalues)(in, many, k, threads, out);
    }
    return values;
}

}  // namespace

void bind_spectra(py::module_& m) {
    m.def("eigenvalues", &values_of, py::arg("matrices"), py::arg("threads") = 0);
}

}  // namespace divfast
