// Every tokenizer: the same on one thread and on several, and the same tokens as text.
#include "fuzz.hpp"
#include "tokens.hpp"

using namespace divfast;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    constexpr Tokenizer kAll[] = {Tokenizer::whitespace, Tokenizer::paper, Tokenizer::words, Tokenizer::chars,
                                  Tokenizer::mteval13a,  Tokenizer::rouge, Tokenizer::spaces};
    fuzz::Input input(data, size);
    const Tokenizer tokenizer = kAll[input.below(7)];
    const auto rows = input.text();
    const auto tokens = fuzz::joined(tokenize(rows.view(), tokenizer, 1));
    fuzz::check_rows(tokens);
    CHECK(tokens.rows() == rows.view().rows);
    CHECK(fuzz::same_rows(tokens, fuzz::joined(tokenize(rows.view(), tokenizer, 3))));
    for (int64_t row = 0; row < tokens.rows(); ++row) {
        const auto texts = token_strings(rows.view().begin(row), rows.view().end(row), tokenizer);
        const auto first = static_cast<size_t>(tokens.offsets[static_cast<size_t>(row)]);
        CHECK(static_cast<int64_t>(first + texts.size()) == tokens.offsets[static_cast<size_t>(row) + 1]);
        // Equal words are equal tokens. Different words could share one only with odds of 2^-64.
        for (size_t i = 1; i < texts.size(); ++i) {
            CHECK((texts[i] == texts[i - 1]) == (tokens.values[first + i] == tokens.values[first + i - 1]));
        }
    }
    return 0;
}
