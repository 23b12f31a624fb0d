#include "alignment.hpp"
#include "bindings.hpp"
#include "pair_ngrams.hpp"

#include <chrono>
#include <future>

namespace divfast {
namespace {

// Runs work(stop) on another thread while this one looks for Ctrl-C, which only the main thread can see.
template <typename Work>
void interruptible(const Work& work) {
    Stop stop{false};
    std::future<void> done;
    {
        py::gil_scoped_release release;
        done = std::async(std::launch::async, [&] { work(stop); });
        while (done.wait_for(std::chrono::milliseconds(50)) != std::future_status::ready) {
            py::gil_scoped_acquire acquire;
            if (!stop && PyErr_CheckSignals() != 0) stop = true;
        }
    }
    if (stop) throw py::error_already_set();
    done.get();
}

// means(groups, n_groups, stop, out), one value a group; Ctrl-C ends it.
template <typename Rows, typename Means>
py::array_t<double> per_group(const Rows& rows, const Array<int64_t>& groups, const Means& means) {
    check_offsets(groups, rows.rows, "groups");
    const int64_t n = groups.size() - 1;
    py::array_t<double> out(n);
    double* data = out.mutable_data();
    std::fill(data, data + n, 0.0);
    interruptible([&](const Stop& stop) { means(groups.data(), n, stop, data); });
    return out;
}

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
