// What the bindings share: arrays checked on the way in, handed over without copying on the way out.
// Only bindings.hpp, bind_*.cpp and module.cpp know Python.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common.hpp"

namespace divfast {

namespace py = pybind11;

template <typename T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

template <typename T>
py::array_t<T> own(std::vector<T>&& values) {
    auto holder = std::make_unique<std::vector<T>>(std::move(values));
    T* data = holder->data();
    const auto n = static_cast<py::ssize_t>(holder->size());
    py::capsule owner(holder.get(), [](void* p) { delete static_cast<std::vector<T>*>(p); });
    holder.release();
    return py::array_t<T>(n, data, owner);
}

template <typename Values>
py::array_t<uint8_t> own_bytes(Values&& values) {
    auto holder = std::make_unique<Values>(std::move(values));
    auto* data = reinterpret_cast<uint8_t*>(holder->data());
    const auto n = static_cast<py::ssize_t>(holder->size());
    py::capsule owner(holder.get(), [](void* p) { delete static_cast<Values*>(p); });
    holder.release();
    return py::array_t<uint8_t>(n, data, owner);
}

template <typename Values>
py::tuple own_ragged(RaggedBuffer<char, Values>&& rows) {
    return py::make_tuple(own_bytes(std::move(rows.values)), own(std::move(rows.offsets)));
}
inline py::tuple own_ragged(RaggedBuffer<uint64_t>&& rows) {
    return py::make_tuple(own(std::move(rows.values)), own(std::move(rows.offsets)));
}

// Offsets come from callers' own arrays: a wrong one must be an error here, not a read out of bounds.
inline void check_offsets(const Array<int64_t>& offsets, int64_t limit, const char* what) {
    const int64_t* at = offsets.data();
    const py::ssize_t n = offsets.size();
    if (n < 1) throw py::value_error(std::string(what) + " must hold at least one number");
    if (at[0] < 0 || at[n - 1] > limit) throw py::value_error(std::string(what) + " reach outside the rows they cut");
    for (py::ssize_t i = 1; i < n; ++i) {
        if (at[i] < at[i - 1]) throw py::value_error(std::string(what) + " must not decrease");
    }
}

template <typename T, typename Stored>
RaggedView<T> view(const Array<Stored>& values, const Array<int64_t>& offsets) {
    check_offsets(offsets, values.size(), "offsets");
    return {reinterpret_cast<const T*>(values.data()), offsets.data(), offsets.size() - 1};
}

inline RaggedView<char> text_view(const Array<uint8_t>& values, const Array<int64_t>& offsets) {
    return view<char>(values, offsets);
}

template <typename T>
RaggedBuffer<T> join(std::vector<RaggedBuffer<T>>&& parts) {
    if (parts.size() == 1) return std::move(parts.front());
    RaggedBuffer<T> out;
    size_t values = 0, rows = 0;
    for (const auto& part : parts) values += part.values.size(), rows += part.offsets.size() - 1;
    out.values.reserve(values);
    out.offsets.reserve(rows + 1);
    for (auto& part : parts) {
        const auto shift = static_cast<int64_t>(out.values.size());
        out.values.insert(out.values.end(), part.values.begin(), part.values.end());
        for (size_t i = 1; i < part.offsets.size(); ++i) out.offsets.push_back(part.offsets[i] + shift);
        part = RaggedBuffer<T>{};
    }
    return out;
}

void bind_group_products(py::module_& m);
void bind_greedy(py::module_& m);
void bind_clusters(py::module_& m);
void bind_json(py::module_& m);
void bind_minhash(py::module_& m);
void bind_matches(py::module_& m);
void bind_ngrams(py::module_& m);
void bind_pairs(py::module_& m);
void bind_overlap(py::module_& m);
void bind_programs(py::module_& m);
void bind_similarity(py::module_& m);
void bind_resample(py::module_& m);
void bind_spectra(py::module_& m);
void bind_text(py::module_& m);
void bind_vectors(py::module_& m);
void bind_text_statistics(py::module_& m);

}  // namespace divfast
