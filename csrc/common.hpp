// What every room of the core shares: views of ragged rows, a 64-bit hash, threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#include "kept_memory.hpp"

// A hot loop compiled for several processors, the right one chosen when the library is loaded; which is before the
// sanitizers are ready for it.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define DIVFAST_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define DIVFAST_CLONES
#endif

namespace divfast {

// Row i is values[offsets[i] .. offsets[i + 1]); offsets need not start at zero (a slice of a larger tape).
template <typename T>
struct RaggedView {
    const T* values = nullptr;
    const int64_t* offsets = nullptr;
    int64_t rows = 0;

    const T* begin(int64_t row) const { return values + offsets[row]; }
    const T* end(int64_t row) const { return values + offsets[row + 1]; }
    int64_t length(int64_t row) const { return offsets[row + 1] - offsets[row]; }
    int64_t total() const { return rows == 0 ? 0 : offsets[rows] - offsets[0]; }
};

// Leaves new elements as the memory happens to be: for what is written right after. Large blocks are used again.
template <typename T>
struct Uninitialized : std::allocator<T> {
    template <typename U>
    struct rebind {
        using other = Uninitialized<U>;
    };
    T* allocate(size_t n) {
        if (n > SIZE_MAX / 2 / sizeof(T)) throw std::bad_alloc();
        if (n * sizeof(T) < kLargeBlock) return std::allocator<T>::allocate(n);
        return static_cast<T*>(take_block(n * sizeof(T)));
    }
    void deallocate(T* block, size_t n) noexcept {
        if (n * sizeof(T) < kLargeBlock) return std::allocator<T>::deallocate(block, n);
        give_block(block, n * sizeof(T));
    }
    template <typename U>
    void construct(U* at) {
        ::new (static_cast<void*>(at)) U;
    }
};

using Bytes = std::vector<char, Uninitialized<char>>;

template <typename T, typename Values = std::vector<T>>
struct RaggedBuffer {
    Values values;
    std::vector<int64_t> offsets{0};

    int64_t rows() const { return static_cast<int64_t>(offsets.size()) - 1; }
    void close_row() { offsets.push_back(static_cast<int64_t>(values.size())); }
};

inline uint64_t load64(const char* p) {
    uint64_t v;
    std::memcpy(&v, p, 8);
    return v;
}

inline uint64_t load32(const char* p) {
    uint32_t v;
    std::memcpy(&v, p, 4);
    return v;
}

// Multiply to 128 bits and fold: the mixing step of the wyhash family.
inline uint64_t fold(uint64_t a, uint64_t b) {
    const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

constexpr uint64_t kSeed0 = 0x9E3779B97F4A7C15ull;
constexpr uint64_t kSeed1 = 0xD6E8FEB86659FD93ull;
constexpr uint64_t kSeed2 = 0xA0761D6478BD642Full;

// 64-bit fingerprint of n bytes. Two different strings share one with odds of 2^-64.
inline uint64_t hash_bytes(const char* data, size_t n) {
    uint64_t a = 0, b = 0;
    uint64_t state = kSeed0 ^ (static_cast<uint64_t>(n) * kSeed1);
    if (n <= 16) {
        if (n >= 8) {
            a = load64(data);
            b = load64(data + n - 8);
        } else if (n >= 4) {
            a = load32(data);
            b = load32(data + n - 4);
        } else if (n > 0) {
            a = (static_cast<uint64_t>(static_cast<unsigned char>(data[0])) << 16) |
                (static_cast<uint64_t>(static_cast<unsigned char>(data[n >> 1])) << 8) |
                static_cast<uint64_t>(static_cast<unsigned char>(data[n - 1]));
        }
    } else {
        const char* p = data;
        size_t left = n;
        while (left > 16) {
            state = fold(load64(p) ^ kSeed1, load64(p + 8) ^ state);
            p += 16;
            left -= 16;
        }
        a = load64(data + n - 16);
        b = load64(data + n - 8);
    }
    return fold(fold(a ^ kSeed1, b ^ state) ^ kSeed2, static_cast<uint64_t>(n) ^ kSeed1);
}

// Order-sensitive: combine(combine(x, a), b) != combine(combine(x, b), a).
inline uint64_t combine(uint64_t state, uint64_t value) {
    return fold(state ^ kSeed0, value ^ kSeed2) + value * kSeed1;
}

inline int resolve_threads(int threads) {
    if (threads > 0) return threads;
    const unsigned hardware = std::thread::hardware_concurrency();
    return hardware == 0 ? 1 : static_cast<int>(hardware);
}

// Runs body(task) for task in [0, tasks) on up to `threads` threads; the first exception is rethrown here.
template <typename Body>
void parallel_for(int64_t tasks, int threads, const Body& body) {
    threads = static_cast<int>(std::min<int64_t>(resolve_threads(threads), tasks));
    if (threads <= 1) {
        for (int64_t task = 0; task < tasks; ++task) body(task);
        return;
    }
    std::atomic<int64_t> next{0};
    std::exception_ptr failure;
    std::mutex guard;
    auto work = [&] {
        try {
            for (int64_t task; (task = next.fetch_add(1, std::memory_order_relaxed)) < tasks;) body(task);
        } catch (...) {
            std::lock_guard<std::mutex> lock(guard);
            if (!failure) failure = std::current_exception();
            next.store(tasks);
        }
    };
    std::vector<std::thread> pool;
    pool.reserve(static_cast<size_t>(threads) - 1);
    for (int i = 1; i < threads; ++i) pool.emplace_back(work);
    work();
    for (auto& thread : pool) thread.join();
    if (failure) std::rethrow_exception(failure);
}

// Cuts [0, n) into at most `parts` runs of about equal weight, where weight is a non-decreasing prefix sum
// of n + 1 entries. Returns the cut points, first 0 and last n.
inline std::vector<int64_t> balanced_cuts(const int64_t* prefix, int64_t n, int64_t parts) {
    std::vector<int64_t> cuts{0};
    const int64_t total = n == 0 ? 0 : prefix[n] - prefix[0];
    for (int64_t part = 1; part < parts; ++part) {
        const int64_t target = prefix[0] + total / parts * part;
        const int64_t cut = std::lower_bound(prefix, prefix + n, target) - prefix;
        if (cut > cuts.back()) cuts.push_back(cut);
    }
    if (cuts.back() < n || n == 0) cuts.push_back(n);
    return cuts;
}

}  // namespace divfast
