// The tokenizer mteval-v13a, which BLEU of machine translation is computed with.
#pragma once

#include <string>

namespace divfast {

// Writes the text into `line` with blanks around every token.
void spread_13a(const char* begin, const char* end, std::string& line, std::string& scratch);

}  // namespace divfast
