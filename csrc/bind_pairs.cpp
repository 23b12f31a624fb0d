#include "alignment.hpp"
#include "bind_per_group.hpp"
#include "pair_ngrams.hpp"

namespace divfast {
namespace {

py::array_t<double> lcs(const Array<uint64_t>& values, const Array<int64_t>& offsets, const Array<int64_t>& groups,
                        int threads) {
    const RaggedView<uint64_t> rows = view<uint64_t>(values, offsets);
    return per_group(rows, groups, [&](const int64_t* bounds, int64_t n, const Stop& stop, double* out) {
        lcs_means(rows, bounds, n, threads, stop, out);
    });
}

template <typename T, typename Stored>
py::array_t<double> edit(const Array<Stored>& values, const Array<int64_t>& offsets, const Array<int64_t>& groups,
                         int threads) {
    const RaggedView<T> rows = view<T>(values, offsets);
    return per_group(rows, groups, [&](const int64_t* bounds, int64_t n, const Stop& stop, double* out) {
        edit_means(rows, bounds, n, threads, stop, out);
    });
}

py::array_t<double> jaccard(const Array<uint64_t>& values, const Array<int64_t>& offsets, const Array<int64_t>& groups,
                            int n, bool multiset, int threads) {
    if (n < 1) throw py::value_error("n must be at least 1");
    const RaggedView<uint64_t> rows = view<uint64_t>(values, offsets);
    return per_group(rows, groups, [&](const int64_t* bounds, int64_t g, const Stop& stop, double* out) {
        jaccard_means(rows, bounds, g, n, multiset, threads, stop, out);
    });
}

py::array_t<double> chrf(const Array<uint8_t>& values, const Array<int64_t>& offsets, const Array<int64_t>& groups,
                         int char_order, int word_order, double beta, int threads) {
    if (char_order < 1 || word_order < 0) throw py::value_error("orders must be at least 1, that of words at least 0");
    const RaggedView<char> rows = text_view(values, offsets);
    return per_group(rows, groups, [&](const int64_t* bounds, int64_t n, const Stop& stop, double* out) {
        chrf_means(rows, bounds, n, char_order, word_order, beta, threads, stop, out);
    });
}

}  // namespace

void bind_pairs(py::module_& m) {
    m.def("lcs_means", &lcs, py::arg("values"), py::arg("offsets"), py::arg("groups"), py::arg("threads") = 0);
    m.def("edit_means_of_tokens", &edit<uint64_t, uint64_t>, py::arg("values"), py::arg("offsets"), py::arg("groups"),
          py::arg("threads") = 0);
    m.def("edit_means_of_characters", &edit<char, uint8_t>, py::arg("values"), py::arg("offsets"), py::arg("groups"),
          py::arg("threads") = 0);
    m.def("jaccard_means", &jaccard, py::arg("values"), py::arg("offsets"), py::arg("groups"), py::arg("n"),
          py::arg("multiset"), py::arg("threads") = 0);
    m.def("chrf_means", &chrf, py::arg("values"), py::arg("offsets"), py::arg("groups"), py::arg("char_order"),
          py::arg("word_order"), py::arg("beta"), py::arg("threads") = 0);
}

}  // namespace divfast
