#include "bindings.hpp"
#include "frequencies.hpp"
#include "row_ngrams.hpp"
#include "tokens.hpp"
#include "type_token.hpp"

namespace divfast {
namespace {

py::array_t<uint64_t> fingerprint_texts(const Array<uint8_t>& values, const Array<int64_t>& offsets,
                                        const std::string& normalize, int threads) {
    const RaggedView<char> text = text_view(values, offsets);
    const Normalize how = normalize_from_name(normalize);
    std::vector<uint64_t> out;
    {
        py::gil_scoped_release release;
        out = text_fingerprints(text, how, threads);
    }
    return own(std::move(out));
}

py::tuple spectrum_of_groups(const Array<uint64_t>& values, const Array<int64_t>& offsets, const Array<int64_t>& groups,
                             int order, int threads) {
    if (order < 1) throw py::value_error("order must be at least 1");
    const RaggedView<uint64_t> tokens = view<uint64_t>(values, offsets);
    check_offsets(groups, tokens.rows, "groups");
    std::vector<int64_t> bounds;
    Spectrum found;
    {
        py::gil_scoped_release release;
        found = ngram_spectrum(tokens, groups.data(), groups.size() - 1, order, threads, bounds);
    }
    return py::make_tuple(own(std::move(found.count)), own(std::move(found.many)), own(std::move(bounds)));
}

py::array_t<int64_t> hits_of_rows(const Array<uint64_t>& values, const Array<int64_t>& offsets, const Array<int64_t>& groups,
                                  int order, int threads) {
    const RaggedView<uint64_t> tokens = view<uint64_t>(values, offsets);
    check_offsets(groups, tokens.rows, "groups");
    const int64_t n = groups.data()[groups.size() - 1] - groups.data()[0];
    std::vector<int64_t> hits(static_cast<size_t>(n));
    {
        py::gil_scoped_release release;
        shared_ngrams(tokens, groups.data(), groups.size() - 1, order, threads, hits.data());
    }
    return own(std::move(hits));
}

py::array_t<double> richness_of_rows(const Array<uint64_t>& values, const Array<int64_t>& offsets, const std::string& measure,
                                     int64_t window, double threshold, int64_t shortest, bool open_end, int threads) {
    const RaggedView<uint64_t> tokens = view<uint64_t>(values, offsets);
    const TypeToken how{measure_from_name(measure), window, threshold, shortest, open_end};
    std::vector<double> out(static_cast<size_t>(tokens.rows));
    {
        py::gil_scoped_release release;
        type_token(tokens, how, threads, out.data());
    }
    return own(std::move(out));
}

void bind_ngram_counts(py::module_& m) {
    py::class_<NgramCounts>(m, "NgramCounts")
        .def(py::init<int>(), py::arg("order"))
        .def_property_readonly("order", &NgramCounts::order)
        .def(
            "add",
            [](NgramCounts& self, const Array<uint64_t>& values, const Array<int64_t>& offsets, int threads) {
                const RaggedView<uint64_t> tokens = view<uint64_t>(values, offsets);
                py::gil_scoped_release release;
                self.add(tokens, threads);
            },
            py::arg("values"), py::arg("offsets"), py::arg("threads") = 0)
        .def("merge", &NgramCounts::merge, py::arg("other"), py::arg("threads") = 0, py::call_guard<py::gil_scoped_release>())
        .def("spectrum",
             [](const NgramCounts& self) {
                 Spectrum found = self.spectrum();
                 return py::make_tuple(own(std::move(found.count)), own(std::move(found.many)));
             })
        .def(py::pickle(
            [](const NgramCounts& self) {
                std::vector<uint64_t> keys;
                std::vector<int64_t> counts;
                self.append_to(keys, counts);
                return py::make_tuple(self.order(), own(std::move(keys)), own(std::move(counts)));
            },
            [](const py::tuple& state) {
                auto counts = std::make_unique<NgramCounts>(state[0].cast<int>());
                const auto keys = state[1].cast<Array<uint64_t>>();
                const auto many = state[2].cast<Array<int64_t>>();
                if (keys.size() != many.size()) throw py::value_error("keys and counts must be equally many");
                counts->absorb(keys.data(), many.data(), keys.size());
                return counts;
            }));
}

void bind_row_ngrams(py::module_& m) {
    py::class_<RowNgrams>(m, "RowNgrams")
        .def(py::init<int>(), py::arg("order"))
        .def_property_readonly("order", &RowNgrams::order)
        .def("__len__", &RowNgrams::rows)
        .def(
            "add",
            [](RowNgrams& self, const Array<uint64_t>& values, const Array<int64_t>& offsets, int threads) {
                const RaggedView<uint64_t> tokens = view<uint64_t>(values, offsets);
                py::gil_scoped_release release;
                self.add(tokens, threads);
            },
            py::arg("values"), py::arg("offsets"), py::arg("threads") = 0)
        .def("merge", &RowNgrams::merge, py::arg("other"), py::call_guard<py::gil_scoped_release>())
        .def("ngrams", &RowNgrams::ngrams)
        .def(
            "hits",
            [](const RowNgrams& self, int threads) {
                std::vector<int64_t> hits;
                {
                    py::gil_scoped_release release;
                    hits = self.hits(threads);
                }
                return own(std::move(hits));
            },
            py::arg("threads") = 0)
        .def(py::pickle(
            [](const RowNgrams& self) { return py::make_tuple(self.order(), own_ragged(self.joined())); },
            [](const py::tuple& state) {
                auto rows = std::make_unique<RowNgrams>(state[0].cast<int>());
                const auto kept = state[1].cast<py::tuple>();
                const auto values = kept[0].cast<Array<uint64_t>>();
                const auto offsets = kept[1].cast<Array<int64_t>>();
                rows->absorb(view<uint64_t>(values, offsets));
                return rows;
            }));
}

}  // namespace

void bind_text_statistics(py::module_& m) {
    m.def("text_fingerprints", &fingerprint_texts, py::arg("values"), py::arg("offsets"), py::arg("normalize"),
          py::arg("threads") = 0);
    m.def("ngram_spectrum", &spectrum_of_groups, py::arg("values"), py::arg("offsets"), py::arg("groups"), py::arg("order"),
          py::arg("threads") = 0);
    m.def("shared_ngrams", &hits_of_rows, py::arg("values"), py::arg("offsets"), py::arg("groups"), py::arg("order"),
          py::arg("threads") = 0);
    m.def("type_token", &richness_of_rows, py::arg("values"), py::arg("offsets"), py::arg("measure"), py::arg("window") = 50,
          py::arg("threshold") = 0.72, py::arg("shortest") = 1, py::arg("open_end") = false, py::arg("threads") = 0);
    bind_ngram_counts(m);
    bind_row_ngrams(m);
}

}  // namespace divfast
