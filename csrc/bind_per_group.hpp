// What the bindings share whose work may take minutes: one value a group, and Ctrl-C.
#pragma once

#include <chrono>
#include <future>

#include "bindings.hpp"
#include "pairs.hpp"

namespace divfast {

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

}  // namespace divfast
