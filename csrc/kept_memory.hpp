// Large blocks of memory that were given back, kept for the next that are asked for: pages that a process touches for
// the first time cost more than what is then written to them.
#pragma once

#include <cstddef>

namespace divfast {

// From this size on blocks are kept; smaller ones the C library keeps by itself.
constexpr size_t kLargeBlock = size_t{1} << 20;

void* take_block(size_t bytes);
void give_block(void* block, size_t bytes) noexcept;

}  // namespace divfast
