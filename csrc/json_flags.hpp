// Columns of true and false, one value a sample: the labels of right and wrong answers.
#pragma once

#include <vector>

#include "common.hpp"

namespace divfast {

// Row r is the checked JSON text of the values bounds[r] to bounds[r + 1]: a list of true, false and null, or one of
// them alone, or nothing. Appends 1, 0 and -1 for them; returns false where a row holds anything else, or another
// number of them.
bool json_flags(const RaggedView<char>& rows, const int64_t* bounds, std::vector<int8_t>& flags);

}  // namespace divfast
