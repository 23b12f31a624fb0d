#include "bindings.hpp"
#include "resample.hpp"

namespace divfast {
namespace {

py::array_t<double> bootstrap(const Array<double>& values, int64_t replicates, uint64_t seed, int threads) {
    if (values.ndim() != 2) throw py::value_error("values must be m x g");
    if (replicates < 1) throw py::value_error("replicates must be at least 1");
    py::array_t<double> means({values.shape(0), static_cast<py::ssize_t>(replicates)});
    double* out = means.mutable_data();
    const double* in = values.data();
    const int64_t m = values.shape(0), g = values.shape(1);
    {
        py::gil_scoped_release release;
        bootstrap_means(in, m, g, replicates, seed, threads, out);
    }
    return means;
}

}  // namespace

void bind_resample(py::module_& m) {
    m.def("bootstrap_means", &bootstrap, py::arg("values"), py::arg("replicates"), py::arg("seed"), py::arg("threads") = 0);
}

}  // namespace divfast
