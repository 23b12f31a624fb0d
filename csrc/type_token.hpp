// Lexical richness of single rows: type-token ratio, its moving average, and MTLD.
#pragma once

#include <string>

#include "common.hpp"

namespace divfast {

struct TypeToken {
    enum class Measure { ttr, mattr, mtld };
    Measure measure = Measure::ttr;
    int64_t window = 50;      // tokens, of mattr
    double threshold = 0.72;  // of mtld: a factor ends where the ratio falls below it ...
    int64_t shortest = 1;     // ... and it has at least so many tokens;
    bool open_end = false;    // whether the last token always belongs to an unfinished factor
};

// Throws std::invalid_argument for an unknown name.
TypeToken::Measure measure_from_name(const std::string& name);

// One value a row; NaN for a row without tokens, and for the MTLD of one in which no token occurs twice.
void type_token(const RaggedView<uint64_t>& tokens, const TypeToken& how, int threads, double* out);

}  // namespace divfast
