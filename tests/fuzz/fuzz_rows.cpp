// What is done to rows as a whole: gather, number, fingerprint, strip reasoning.
#include <map>
#include <string>

#include "fuzz.hpp"
#include "rows.hpp"

using namespace divfast;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::Input input(data, size);
    const auto made = input.text();
    const auto rows = made.view();
    std::vector<std::string> texts;
    for (int64_t row = 0; row < rows.rows; ++row) texts.emplace_back(rows.begin(row), rows.end(row));

    std::map<std::string, int64_t> first;
    std::vector<int64_t> expected;
    for (size_t i = 0; i < texts.size(); ++i) {
        expected.push_back(first.try_emplace(texts[i], static_cast<int64_t>(i)).first->second);
    }
    CHECK(first_equal(rows, 1) == expected && first_equal(rows, 3) == expected);

    std::vector<int64_t> backwards;
    for (int64_t row = rows.rows; row-- > 0;) backwards.push_back(row);
    const auto gathered = gather(rows, backwards.data(), rows.rows);
    fuzz::check_rows(gathered);
    CHECK(gathered.rows() == rows.rows && static_cast<int64_t>(gathered.values.size()) == rows.total());

    KeyIndex index;
    std::vector<uint8_t> has(texts.size(), 1);
    std::vector<int64_t> codes(texts.size());
    for (const bool again : {false, true}) {
        // Every row is its own companion, so nothing conflicts.
        CHECK(index.add(rows, has.data(), rows, has.data(), codes.data()).empty());
        CHECK(index.size() == static_cast<int64_t>(first.size()));
        for (size_t i = 0; i < texts.size(); ++i) {
            CHECK(codes[i] == codes[static_cast<size_t>(expected[i])] && (again || codes[i] <= expected[i]));
        }
    }

    uint64_t pieces = 5;
    for (size_t g = 1; g < made.groups.size(); ++g) pieces = fingerprint(rows, made.groups.data() + g - 1, 1, pieces);
    CHECK(pieces == fingerprint(rows, made.groups.data(), made.n_groups(), 5));

    bool found = false;
    const Stripped stripped = strip_reasoning(rows, found);
    int64_t tags = 0, emptied = 0;
    for (size_t i = 0; i < texts.size() && found; ++i) {
        const size_t at = texts[i].rfind("</think>");
        std::string kept = texts[i];
        if (at != std::string::npos) {
            kept = kept.substr(at + 8);
            kept = kept.substr(std::min(kept.size(), kept.find_first_not_of(" \t\r\n")));
            ++tags;
            emptied += kept.empty();
        }
        const auto begin = stripped.text.values.begin() + stripped.text.offsets[i];
        CHECK(kept == std::string(begin, stripped.text.values.begin() + stripped.text.offsets[i + 1]));
    }
    CHECK(stripped.stripped == tags && stripped.emptied == emptied);
    return 0;
}
