#include "bindings.hpp"
#include "greedy.hpp"

namespace divfast {
namespace {

Vectors vectors_of(const Array<float>& rows) {
    if (rows.ndim() != 2 || rows.shape(1) < 1) throw py::value_error("rows must be n x d");
    return {rows.data(), rows.shape(0), rows.shape(1)};
}

Cost cost_of(const std::string& name, double q) {
    if (name == "distance") return Cost::distance;
    if (name == "cosines") return Cost::cosines;
    if (name != "spectrum") throw py::value_error("cost must be distance, cosines or spectrum");
    if (!(q > 0.0 && q <= 2.0)) throw py::value_error("q must be above 0 and at most 2");
    return Cost::spectrum;
}

// Keeps the rows for as long as they are looked at.
class GreedyRows {
  public:
    GreedyRows(Array<float> rows, const std::string& cost, double q, int threads)
        : rows_(std::move(rows)), greedy_(make_greedy(vectors_of(rows_), cost_of(cost, q), q, threads)) {}

    void take(int64_t row) {
        if (row < 0 || row >= rows_.shape(0)) throw py::index_error("no such row");
        py::gil_scoped_release release;
        greedy_->take(row);
    }
    py::tuple cheapest() {
        Choice found;
        {
            py::gil_scoped_release release;
            found = greedy_->cheapest();
        }
        return py::make_tuple(found.row, found.cost);
    }
    int64_t central() const {
        py::gil_scoped_release release;
        return greedy_->central();
    }

  private:
    Array<float> rows_;
    std::unique_ptr<Greedy> greedy_;
};

py::tuple groups_of(const Array<float>& rows, const Array<int64_t>& groups, int64_t k, const std::string& cost,
                    double q, int threads) {
    const Vectors vectors = vectors_of(rows);
    const Cost wanted = cost_of(cost, q);
    check_offsets(groups, vectors.rows, "groups");
    if (k < 1) throw py::value_error("k must be at least 1");
    const int64_t n = groups.size() - 1;
    py::array_t<int64_t> taken({n, k});
    py::array_t<double> costs({n, k});
    int64_t* out = taken.mutable_data();
    double* of = costs.mutable_data();
    {
        py::gil_scoped_release release;
        greedy_groups(vectors, groups.data(), n, k, wanted, q, threads, out, of);
    }
    return py::make_tuple(taken, costs);
}

py::array_t<double> radius_of(const Array<float>& rows, const Array<int64_t>& groups, const Array<int64_t>& chosen,
                              const Array<int64_t>& bounds, int threads) {
    const Vectors vectors = vectors_of(rows);
    check_offsets(groups, vectors.rows, "groups");
    check_offsets(bounds, chosen.size(), "bounds");
    if (bounds.size() != groups.size()) throw py::value_error("bounds must have an entry for every one of groups");
    const int64_t n = groups.size() - 1;
    for (int64_t g = 0; g < n; ++g) {
        for (int64_t i = bounds.at(g); i < bounds.at(g + 1); ++i) {
            if (chosen.at(i) < groups.at(g) || chosen.at(i) >= groups.at(g + 1)) {
                throw py::value_error("chosen rows must be in their group");
            }
        }
    }
    py::array_t<double> radius(n);
    double* out = radius.mutable_data();
    py::gil_scoped_release release;
    covering_radius(vectors, groups.data(), n, chosen.data(), bounds.data(), threads, out);
    return radius;
}

}  // namespace

void bind_greedy(py::module_& m) {
    py::class_<GreedyRows>(m, "Greedy")
        .def(py::init<Array<float>, const std::string&, double, int>(), py::arg("rows"), py::arg("cost"),
             py::arg("q") = 1.0, py::arg("threads") = 0)
        .def("central", &GreedyRows::central)
        .def("take", &GreedyRows::take, py::arg("row"))
        .def("cheapest", &GreedyRows::cheapest);
    m.def("greedy_groups", &groups_of, py::arg("rows"), py::arg("groups"), py::arg("k"), py::arg("cost"),
          py::arg("q") = 1.0, py::arg("threads") = 0);
    m.def("covering_radius", &radius_of, py::arg("rows"), py::arg("groups"), py::arg("chosen"), py::arg("bounds"),
          py::arg("threads") = 0);
}

}  // namespace divfast
