// What a model may have written where a program was meant: whatever is parsed is a tree, and twice the same one.
#include "code_tokens.hpp"
#include "fuzz.hpp"
#include "program_subtrees.hpp"
#include "python_parser.hpp"

using namespace divfast;

namespace {

TreesView view_of(const Nodes& nodes, const std::vector<uint64_t>& labels) {
    return {labels.data(), nodes.roles.data(), nodes.sizes.data(), nodes.offsets.data(),
            static_cast<int64_t>(nodes.offsets.size()) - 1};
}

void check_languages(const fuzz::Rows<char>& rows) {
    const int64_t n = rows.view().rows;
    for (uint8_t language = 0; language < kLanguages; ++language) {
        const std::vector<uint8_t> languages(static_cast<size_t>(n), language);
        const auto tokens = fuzz::joined(tokenize_code(rows.view(), languages.data(), 1));
        CHECK(tokens.rows() == n);
        CHECK(fuzz::same_rows(tokens, fuzz::joined(tokenize_code(rows.view(), languages.data(), 3))));
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::Input input(data, size);
    const int64_t height = 1 + input.below(5);
    const bool exact = input.below(2) != 0;
    const auto rows = input.text();
    PythonParser parser;
    Nodes nodes, again;
    for (int64_t row = 0; row < rows.view().rows; ++row) {
        const bool taken = parser.parse(rows.view().begin(row), rows.view().end(row), nodes);
        // A parser that has seen other programs before is no other.
        PythonParser fresh;
        CHECK(fresh.parse(rows.view().begin(row), rows.view().end(row), again) == taken);
        if (!taken) CHECK(nodes.offsets[nodes.offsets.size() - 2] == nodes.offsets.back());
    }
    CHECK(nodes.offsets.size() == rows.offsets.size());
    CHECK(nodes.exact == again.exact && nodes.blind == again.blind && nodes.roles == again.roles);
    CHECK(nodes.sizes == again.sizes && nodes.offsets == again.offsets);
    for (const auto* labels : {&nodes.exact, &nodes.blind}) {
        const TreesView trees = view_of(nodes, *labels);
        CHECK(are_trees(trees));
        const auto subtrees = fuzz::joined(subtrees_of(trees, height, exact, 1));
        CHECK(subtrees.rows() == trees.trees);
        CHECK(fuzz::same_rows(subtrees, fuzz::joined(subtrees_of(trees, height, exact, 3))));
    }
    check_languages(rows);
    return 0;
}
