// The bootstrap over groups.
#pragma once

#include "common.hpp"

namespace divfast {

// means is m x replicates: the mean of the defined (not NaN) values among g groups drawn with replacement, for m
// rows of values (m x g). All rows share the draws. Each replicate has its own generator, seeded with (seed,
// replicate), so the result does not depend on the number of threads; nothing of size g x replicates is stored.
void bootstrap_means(const double* values, int64_t m, int64_t g, int64_t replicates, uint64_t seed, int threads,
                     double* means);

}  // namespace divfast
