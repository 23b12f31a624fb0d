#include "bindings.hpp"
#include "ngrams.hpp"

namespace divfast {
namespace {

py::tuple count_ngrams(const Array<uint64_t>& values, const Array<int64_t>& offsets, const Array<int64_t>& groups,
                       int max_order, int threads) {
    if (max_order < 1) throw py::value_error("max_order must be at least 1");
    const RaggedView<uint64_t> tokens = view<uint64_t>(values, offsets);
    check_offsets(groups, tokens.rows, "groups");
    const int64_t n = groups.size() - 1;
    py::array_t<int64_t> unique({n, static_cast<int64_t>(max_order)}), total({n, static_cast<int64_t>(max_order)});
    int64_t* unique_data = unique.mutable_data();
    int64_t* total_data = total.mutable_data();
    {
        py::gil_scoped_release release;
        ngram_counts(tokens, groups.data(), n, max_order, threads, unique_data, total_data);
    }
    return py::make_tuple(unique, total);
}

}  // namespace

void bind_ngrams(py::module_& m) {
    m.def("ngram_counts", &count_ngrams, py::arg("values"), py::arg("offsets"), py::arg("groups"), py::arg("max_order"),
          py::arg("threads") = 0);
    py::class_<NgramSets>(m, "NgramSets")
        .def(py::init<std::vector<int>>(), py::arg("orders"))
        .def_property_readonly("orders", &NgramSets::orders)
        .def(
            "add",
            [](NgramSets& self, const Array<uint64_t>& values, const Array<int64_t>& offsets, int threads) {
                const RaggedView<uint64_t> tokens = view<uint64_t>(values, offsets);
                py::gil_scoped_release release;
                self.add(tokens, threads);
            },
            py::arg("values"), py::arg("offsets"), py::arg("threads") = 0)
        .def("merge", &NgramSets::merge, py::arg("other"), py::arg("threads") = 0, py::call_guard<py::gil_scoped_release>())
        .def("unique", [](const NgramSets& self) { return own(self.unique()); })
        .def("total", [](const NgramSets& self) { return own(std::vector<int64_t>(self.total())); })
        .def(py::pickle(
            [](const NgramSets& self) {
                py::list orders;
                for (size_t i = 0; i < self.orders().size(); ++i) {
                    orders.append(py::make_tuple(self.orders()[i], self.total()[i], own(self.fingerprints(i))));
                }
                return py::make_tuple(orders);
            },
            [](const py::tuple& state) {
                const auto orders = state[0].cast<py::list>();
                std::vector<int> numbers;
                for (const auto& item : orders) numbers.push_back(item.cast<py::tuple>()[0].cast<int>());
                auto sets = std::make_unique<NgramSets>(numbers);
                for (size_t i = 0; i < numbers.size(); ++i) {
                    const auto item = orders[i].cast<py::tuple>();
                    const auto keys = item[2].cast<Array<uint64_t>>();
                    sets->absorb(i, keys.data(), keys.size(), item[1].cast<int64_t>());
                }
                return sets;
            }));
}

}  // namespace divfast
