#include "alignment.hpp"
#include "bindings.hpp"

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

// means(rows, groups, n_groups, threads, stop, out), for every group; Ctrl-C ends it.
template <typename Rows, typename Means>
py::array_t<double> per_group(const Rows& rows, const Array<int64_t>& groups, const Means& means) {
    check_offsets(groups, rows.rows, "groups");
    const int64_t n = groups.size() - 1;
    py::array_t<double> out(n);
    double* data = out.mutable_data();
    std::fill(data, data + n, 0.0);
    interruptible([&](const Stop& stop) { means(rows, groups.data(), n, stop, data); });
    return out;
}

}  // namespace

void bind_pairs(py::module_& m) {
    m.def(
        "lcs_means",
        [](const Array<uint64_t>& values, const Array<int64_t>& offsets, const Array<int64_t>& groups, int threads) {
            return per_group(view<uint64_t>(values, offsets), groups,
                             [&](const auto& rows, const int64_t* bounds, int64_t n, const Stop& stop, double* out) {
                                 lcs_means(rows, bounds, n, threads, stop, out);
                             });
        },
        py::arg("values"), py::arg("offsets"), py::arg("groups"), py::arg("threads") = 0);
    m.def(
        "edit_means",
        [](const Array<uint64_t>& values, const Array<int64_t>& offsets, const Array<int64_t>& groups, int threads) {
            return per_group(view<uint64_t>(values, offsets), groups,
                             [&](const auto& rows, const int64_t* bounds, int64_t n, const Stop& stop, double* out) {
                                 edit_means(rows, bounds, n, threads, stop, out);
                             });
        },
        py::arg("values"), py::arg("offsets"), py::arg("groups"), py::arg("threads") = 0);
    m.def(
        "edit_means_of_characters",
        [](const Array<uint8_t>& values, const Array<int64_t>& offsets, const Array<int64_t>& groups, int threads) {
            return per_group(text_view(values, offsets), groups,
                             [&](const auto& rows, const int64_t* bounds, int64_t n, const Stop& stop, double* out) {
                                 edit_means(rows, bounds, n, threads, stop, out);
                             });
        },
        py::arg("values"), py::arg("offsets"), py::arg("groups"), py::arg("threads") = 0);
}

}  // namespace divfast
