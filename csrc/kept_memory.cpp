#include "kept_memory.hpp"

#include <mutex>
#include <new>
#include <vector>

namespace divfast {
namespace {

// No more than this is kept in all.
constexpr size_t kMostKept = size_t{96} << 20;
// Blocks are of whole steps, so that one that was given back fits the next of about the same size.
constexpr size_t kStep = size_t{1} << 19;

struct Block {
    void* start;
    size_t bytes;
};

struct Kept {
    std::mutex guard;
    std::vector<Block> blocks;
    size_t bytes = 0;
};

// Never destroyed: arrays may be given back while the process ends.
Kept& kept() {
    static Kept* const only = new Kept;
    return *only;
}

size_t rounded(size_t bytes) { return (bytes + kStep - 1) / kStep * kStep; }

}  // namespace

void* take_block(size_t bytes) {
    bytes = rounded(bytes);
    Kept& all = kept();
    {
        std::lock_guard<std::mutex> lock(all.guard);
        // The latest first: its pages are the likeliest to be in a cache.
        for (size_t i = all.blocks.size(); i-- > 0;) {
            if (all.blocks[i].bytes != bytes) continue;
            void* const start = all.blocks[i].start;
            all.blocks.erase(all.blocks.begin() + static_cast<std::ptrdiff_t>(i));
            all.bytes -= bytes;
            return start;
        }
    }
    return ::operator new(bytes);
}

void give_block(void* block, size_t bytes) noexcept {
    bytes = rounded(bytes);
    Kept& all = kept();
    if (bytes <= kMostKept) {
        try {
            std::lock_guard<std::mutex> lock(all.guard);
            all.blocks.push_back({block, bytes});
            all.bytes += bytes;
            // The oldest are of sizes that nobody asks for any more.
            size_t spare = 0;
            for (; all.bytes > kMostKept; ++spare) {
                ::operator delete(all.blocks[spare].start);
                all.bytes -= all.blocks[spare].bytes;
            }
            all.blocks.erase(all.blocks.begin(), all.blocks.begin() + static_cast<std::ptrdiff_t>(spare));
            return;
        } catch (const std::bad_alloc&) {
            // There was no memory for the list: the block goes the usual way.
        }
    }
    ::operator delete(block);
}

}  // namespace divfast
