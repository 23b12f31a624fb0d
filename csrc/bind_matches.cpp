#include <system_error>

#include "bindings.hpp"
#include "matches.hpp"

namespace divfast {
namespace {

constexpr int kMostOrders = 64;

void check_size(int max_order, int64_t tokens, int64_t rows) {
    if (max_order < 1 || max_order > kMostOrders) throw py::value_error("max_order must be 1 to 64");
    if (tokens > kMostTokens || rows > kMostTokens) throw py::value_error("more than 2^32 - 2 tokens or rows");
}

py::array_t<uint32_t> match_groups(const Array<uint64_t>& values, const Array<int64_t>& offsets,
                                   const Array<int64_t>& groups, int max_order, int64_t memory, int threads) {
    const RaggedView<uint64_t> tokens = view<uint64_t>(values, offsets);
    check_offsets(groups, tokens.rows, "groups");
    check_size(max_order, tokens.total(), tokens.rows);
    py::array_t<uint32_t> matches({tokens.rows, static_cast<int64_t>(max_order)});
    uint32_t* out = matches.mutable_data();
    {
        py::gil_scoped_release release;
        std::fill(out, out + tokens.rows * max_order, 0u);
        group_matches(tokens, groups.data(), groups.size() - 1, max_order, memory, threads, out);
    }
    return matches;
}

py::array_t<uint32_t> match_corpus(const std::vector<Array<uint64_t>>& blocks, int file, const Array<int64_t>& lengths,
                                   int max_order, int64_t memory, int threads) {
    const int64_t rows = lengths.size();
    std::vector<int64_t> offsets(static_cast<size_t>(rows) + 1);
    for (int64_t row = 0; row < rows; ++row) {
        const int64_t length = lengths.data()[row], before = offsets[static_cast<size_t>(row)];
        if (length < 0 || length > kMostTokens - before) throw py::value_error("lengths are negative or too large");
        offsets[static_cast<size_t>(row) + 1] = before + length;
    }
    check_size(max_order, offsets.back(), rows);
    TokenTape tape{{}, offsets.data(), rows, file};
    if (file >= 0) {
        tape.cut(nullptr, 0, rows);
    } else {
        int64_t first = 0;
        for (const Array<uint64_t>& block : blocks) {
            const int64_t end = offsets[static_cast<size_t>(first)] + block.size();
            const int64_t stop = std::upper_bound(offsets.begin() + first, offsets.end(), end) - offsets.begin() - 1;
            if (offsets[static_cast<size_t>(stop)] != end) throw py::value_error("a block must hold whole rows");
            tape.cut(block.data(), first, stop);
            first = stop;
        }
        if (first != rows) throw py::value_error("blocks must hold all rows");
    }
    py::array_t<uint32_t> matches({rows, static_cast<int64_t>(max_order)});
    uint32_t* out = matches.mutable_data();
    try {
        py::gil_scoped_release release;
        corpus_matches(tape, max_order, memory, threads, out);
    } catch (const std::system_error& error) {
        errno = error.code().value();
        PyErr_SetFromErrno(PyExc_OSError);
        throw py::error_already_set();
    }
    return matches;
}

py::array_t<int64_t> find_closest(const Array<int64_t>& lengths, const Array<int64_t>& groups, int threads) {
    check_offsets(groups, lengths.size(), "groups");
    py::array_t<int64_t> closest(lengths.size());
    int64_t* out = closest.mutable_data();
    {
        py::gil_scoped_release release;
        std::fill(out, out + lengths.size(), int64_t{-1});
        closest_lengths(lengths.data(), groups.data(), groups.size() - 1, threads, out);
    }
    return closest;
}

}  // namespace

void bind_matches(py::module_& m) {
    m.def("group_matches", &match_groups, py::arg("values"), py::arg("offsets"), py::arg("groups"), py::arg("max_order"),
          py::arg("memory") = 0, py::arg("threads") = 0);
    m.def("corpus_matches", &match_corpus, py::arg("blocks"), py::arg("file"), py::arg("lengths"), py::arg("max_order"),
          py::arg("memory") = 0, py::arg("threads") = 0);
    m.def("closest_lengths", &find_closest, py::arg("lengths"), py::arg("groups"), py::arg("threads") = 0);
}

}  // namespace divfast
