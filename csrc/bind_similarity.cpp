#include <optional>

#include "bindings.hpp"
#include "similarity.hpp"

namespace divfast {
namespace {

using Floats = Array<float>;

Matrix matrix(const Floats& rows) {
    if (rows.ndim() != 2) throw py::value_error("rows must be n x d");
    return {rows.data(), rows.shape(0), rows.shape(1)};
}

// The other set, if there is one, which must be as wide as the first.
std::optional<Matrix> other(const Matrix& rows, const std::optional<Floats>& others) {
    if (!others) return std::nullopt;
    const Matrix found = matrix(*others);
    if (found.d != rows.d) throw py::value_error("both sets must have the same dimensions");
    return found;
}

py::tuple pair_statistics(const Floats& rows, const std::optional<Floats>& others, int64_t nearest,
                          const std::vector<float>& cuts, float sharpness, int64_t fraction, int threads) {
    const Matrix left = matrix(rows);
    const auto right = other(left, others);
    if (nearest < 1) throw py::value_error("nearest must be at least 1");
    if (fraction < 0 || fraction > 61) throw py::value_error("fraction must be within 0 and 61");
    for (size_t i = 0; i < cuts.size(); ++i) {
        const bool finite = cuts[i] - cuts[i] == 0;
        if (!finite || (i > 0 && cuts[i] <= cuts[i - 1])) throw py::value_error("cuts must be finite and increase");
    }
    PairFindings found;
    {
        py::gil_scoped_release release;
        found = find_pairs(left, right ? &*right : nullptr, {nearest, cuts, sharpness, fraction}, threads);
    }
    return py::make_tuple(own(std::move(found.similarity)), own(std::move(found.neighbours)),
                          own(std::move(found.lowest)), own(std::move(found.counts)),
                          own(std::move(found.exponentials)));
}

py::object join_similar(const Floats& rows, const std::optional<Floats>& others, int64_t start, int64_t stop, float tau,
                int64_t limit, int threads) {
    const Matrix left = matrix(rows);
    const auto right = other(left, others);
    if (start < 0 || stop < start || stop > left.n) throw py::index_error("there are no such rows");
    JoinedPairs found;
    {
        py::gil_scoped_release release;
        found = join_rows(left, right ? &*right : nullptr, start, stop, tau, limit, threads);
    }
    if (!found.complete) return py::none();
    return py::make_tuple(own(std::move(found.left)), own(std::move(found.right)), own(std::move(found.similarity)));
}

}  // namespace

void bind_similarity(py::module_& m) {
    m.def("pair_statistics", &pair_statistics, py::arg("rows"), py::arg("others"), py::arg("nearest"), py::arg("cuts"),
          py::arg("sharpness"), py::arg("fraction"), py::arg("threads") = 0);
    m.def("join_rows", &join_similar, py::arg("rows"), py::arg("others"), py::arg("start"), py::arg("stop"), py::arg("tau"),
          py::arg("limit"), py::arg("threads") = 0);
}

}  // namespace divfast
