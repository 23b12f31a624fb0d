// Tokens of programs in eight languages: names, numbers, strings, operators; white space and comments are none.
#pragma once

#include <string>
#include <vector>

#include "common.hpp"

namespace divfast {

// In the order of LANGUAGES in divfast/views/code.py.
enum class Language : uint8_t { python, javascript, typescript, java, c, cpp, go, rust };
constexpr uint8_t kLanguages = 8;

// Fingerprints of the tokens of every row, each in its own language; one buffer per run of rows, which the caller
// joins. Nothing is an error: what is no token of the language is one of a character, or of the rest of the line.
std::vector<RaggedBuffer<uint64_t>> tokenize_code(const RaggedView<char>& text, const uint8_t* languages, int threads);

// The tokens of one program as text, for inspection and tests.
std::vector<std::string> code_token_strings(const char* begin, const char* end, Language language);

}  // namespace divfast
