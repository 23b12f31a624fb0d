#include "bindings.hpp"
#include "clusters.hpp"

namespace divfast {
namespace {

GroupedRows grouped(const Array<float>& rows, const Array<int64_t>& groups) {
    if (rows.ndim() != 2) throw py::value_error("rows must be n x d");
    check_offsets(groups, rows.shape(0), "groups");
    return {rows.data(), rows.shape(1), groups.data(), groups.size() - 1};
}

py::array_t<int64_t> components_of_groups(const Array<float>& rows, const Array<int64_t>& groups, double tau, int threads) {
    const auto of = grouped(rows, groups);
    std::vector<int64_t> labels;
    {
        py::gil_scoped_release release;
        labels = group_components(of, tau, threads);
    }
    return own(std::move(labels));
}

py::array_t<int64_t> leaders_of_groups(const Array<float>& rows, const Array<int64_t>& groups, double tau, int threads) {
    const auto of = grouped(rows, groups);
    std::vector<int64_t> labels;
    {
        py::gil_scoped_release release;
        labels = group_leaders(of, tau, threads);
    }
    return own(std::move(labels));
}

py::array_t<int64_t> kmeans_of_groups(const Array<float>& rows, const Array<int64_t>& groups, const Array<int64_t>& ks,
                                      uint64_t seed, int threads) {
    const auto of = grouped(rows, groups);
    if (ks.size() != of.n_groups) throw py::value_error("ks must hold one number a group");
    std::vector<int64_t> labels;
    {
        py::gil_scoped_release release;
        labels = group_kmeans(of, ks.data(), seed, threads);
    }
    return own(std::move(labels));
}

py::array_t<int64_t> medoids_of_clusters(const Array<float>& rows, const Array<int64_t>& members,
                                         const Array<int64_t>& offsets, int threads) {
    if (rows.ndim() != 2) throw py::value_error("rows must be n x d");
    check_offsets(offsets, members.size(), "offsets");
    const int64_t* at = members.data();
    if (std::any_of(at, at + members.size(), [&](int64_t row) { return row < 0 || row >= rows.shape(0); })) {
        throw py::value_error("members must be rows");
    }
    std::vector<int64_t> found;
    {
        py::gil_scoped_release release;
        found = medoids(rows.data(), rows.shape(1), at, offsets.data(), offsets.size() - 1, threads);
    }
    return own(std::move(found));
}

// Components that grow from pairs. The lock of Python keeps two calls apart.
class Components {
  public:
    explicit Components(int64_t n) : n_(n), forest_(checked(n)) {}

    void unite(const Array<int64_t>& left, const Array<int64_t>& right) {
        if (left.size() != right.size()) throw py::value_error("left and right must be of one length");
        const int64_t *a = left.data(), *b = right.data();
        for (py::ssize_t i = 0; i < left.size(); ++i) {
            if (a[i] < 0 || a[i] >= n_ || b[i] < 0 || b[i] >= n_) throw py::value_error("pairs must be of rows");
            forest_.unite(static_cast<uint32_t>(a[i]), static_cast<uint32_t>(b[i]));
        }
    }

    py::array_t<int64_t> roots() {
        std::vector<int64_t> out(static_cast<size_t>(n_));
        for (int64_t i = 0; i < n_; ++i) out[static_cast<size_t>(i)] = forest_.find(static_cast<uint32_t>(i));
        return own(std::move(out));
    }

  private:
    static size_t checked(int64_t n) {
        if (n < 0 || n >= int64_t{1} << 32) throw py::value_error("n must be from 0 to 2^32 - 1");
        return static_cast<size_t>(n);
    }

    int64_t n_;
    Forest forest_;
};

// Leaders in the order of rows: a row that follows none by the time its own pairs come is one.
class Leaders {
  public:
    explicit Leaders(int64_t n) : leader_(static_cast<size_t>(std::max<int64_t>(0, n)), -1) {}

    void follow(const Array<int64_t>& left, const Array<int64_t>& right) {
        if (left.size() != right.size()) throw py::value_error("left and right must be of one length");
        const auto n = static_cast<int64_t>(leader_.size());
        const int64_t *a = left.data(), *b = right.data();
        for (py::ssize_t i = 0; i < left.size(); ++i) {
            if (a[i] < last_ || b[i] <= a[i] || b[i] >= n) {
                throw py::value_error("pairs must be of rows, left before right, in the order of left");
            }
            last_ = a[i];
            int64_t& leader = leader_[static_cast<size_t>(b[i])];
            if (leader_[static_cast<size_t>(a[i])] < 0 && leader < 0) leader = a[i];
        }
    }

    py::array_t<int64_t> first() const {
        std::vector<int64_t> out(leader_);
        for (size_t i = 0; i < out.size(); ++i) {
            if (out[i] < 0) out[i] = static_cast<int64_t>(i);
        }
        return own(std::move(out));
    }

  private:
    std::vector<int64_t> leader_;
    int64_t last_ = 0;
};

}  // namespace

void bind_clusters(py::module_& m) {
    m.def("group_components", &components_of_groups, py::arg("rows"), py::arg("groups"), py::arg("tau"), py::arg("threads") = 0);
    m.def("group_leaders", &leaders_of_groups, py::arg("rows"), py::arg("groups"), py::arg("tau"), py::arg("threads") = 0);
    m.def("group_kmeans", &kmeans_of_groups, py::arg("rows"), py::arg("groups"), py::arg("ks"), py::arg("seed"),
          py::arg("threads") = 0);
    m.def("medoids", &medoids_of_clusters, py::arg("rows"), py::arg("members"), py::arg("offsets"), py::arg("threads") = 0);
    py::class_<Components>(m, "Components")
        .def(py::init<int64_t>(), py::arg("n"))
        .def("unite", &Components::unite, py::arg("left"), py::arg("right"))
        .def("roots", &Components::roots);
    py::class_<Leaders>(m, "Leaders")
        .def(py::init<int64_t>(), py::arg("n"))
        .def("follow", &Leaders::follow, py::arg("left"), py::arg("right"))
        .def("first", &Leaders::first);
}

}  // namespace divfast
