// Parses of programs as flat arrays, children before their parent, and what is written on a node.
#pragma once

#include <string_view>

#include "common.hpp"

namespace divfast {

// What is written on a node: its class and what it holds beside its children, once as it stands and once with every
// identifier alike.
struct Label {
    uint64_t exact = 0;
    uint64_t blind = 0;

    void add(uint64_t value) {
        exact = combine(exact, value);
        blind = combine(blind, value);
    }
    void add_identifier(std::string_view text) {
        exact = combine(exact, hash_bytes(text.data(), text.size()));
        blind = combine(blind, kSeed2);
    }
};

inline constexpr uint64_t fnv1a(std::string_view name) {
    uint64_t hash = 0xCBF29CE484222325ull;
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ull;
    return hash;
}

inline constexpr Label class_label(std::string_view name) { return {fnv1a(name), fnv1a(name)}; }

// Which field of its parent a node stands in.
inline constexpr uint16_t role_of(std::string_view field) {
    const uint64_t hash = fnv1a(field);
    return static_cast<uint16_t>(hash ^ (hash >> 16) ^ (hash >> 32) ^ (hash >> 48));
}

// What stands in a field that is no node. The kinds keep 1, 1.0, True and "1" apart.
enum class Scalar : uint64_t { none = 1, ellipsis, boolean, integer, big_integer, real, imaginary, text, bytes };

inline void add_scalar(Label& label, Scalar kind, std::string_view value) {
    label.add(static_cast<uint64_t>(kind));
    label.add(hash_bytes(value.data(), value.size()));
}
inline void add_scalar(Label& label, Scalar kind, uint64_t value) {
    label.add(static_cast<uint64_t>(kind));
    label.add(value);
}
// `field` is a role; `at` the place in a list.
inline void add_field(Label& label, uint16_t field, uint64_t at = 0) { label.add(uint64_t{field} << 32 | at); }

// Nodes of trees, one tree after the other, children before their parent: the root of a tree is its last node, and the
// nodes below a node are the size - 1 before it.
struct Nodes {
    std::vector<uint64_t> exact, blind;
    std::vector<uint16_t> roles;
    std::vector<int32_t> sizes;
    std::vector<int64_t> offsets{0};

    void add(const Label& label, uint16_t role, int64_t first) {
        exact.push_back(label.exact);
        blind.push_back(label.blind);
        roles.push_back(role);
        sizes.push_back(static_cast<int32_t>(count() - first));
    }
    int64_t count() const { return static_cast<int64_t>(exact.size()); }
    void close_tree() { offsets.push_back(count()); }
    // Forgets the nodes of a tree that is not closed.
    void drop_tree() {
        const auto kept = static_cast<size_t>(offsets.back());
        exact.resize(kept), blind.resize(kept), roles.resize(kept), sizes.resize(kept);
    }
};

}  // namespace divfast
