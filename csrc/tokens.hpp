// Tokenizers. A token is the 64-bit fingerprint of its bytes, so the same word is the same token in every
// block, thread and process, and no vocabulary has to be kept or merged.
#pragma once

#include <string>
#include <vector>

#include "common.hpp"

namespace divfast {

enum class Tokenizer { whitespace, paper, words, chars, mteval13a, rouge, spaces };

// Throws std::invalid_argument for an unknown name.
Tokenizer tokenizer_from_name(const std::string& name);

// One buffer of tokens per run of rows, in order; the caller joins them.
std::vector<RaggedBuffer<uint64_t>> tokenize(const RaggedView<char>& text, Tokenizer tokenizer, int threads);

// Appends the tokens of every row, on this thread. Bytes up to `limit`, at least the end of the last row, may be read.
void append_tokens(const RaggedView<char>& text, const char* limit, Tokenizer tokenizer, RaggedBuffer<uint64_t>& tokens);

// What two texts may differ in and still be the same.
enum class Normalize { none, space, lower };

// Throws std::invalid_argument for an unknown name.
Normalize normalize_from_name(const std::string& name);

// One fingerprint a row: equal where the texts are, once white space at the ends is cut and every other run of it is
// one blank (space), and once letters are lower case too (lower).
std::vector<uint64_t> text_fingerprints(const RaggedView<char>& text, Normalize normalize, int threads);

// The tokens of one row as text, for inspection and tests.
std::vector<std::string> token_strings(const char* begin, const char* end, Tokenizer tokenizer);

// Where each token of one row begins and ends, in bytes: two numbers a token. For the tokenizers whose tokens stand
// in the text as they are, but for case; throws std::invalid_argument for the others.
std::vector<int64_t> token_spans(const char* begin, const char* end, Tokenizer tokenizer);

}  // namespace divfast
