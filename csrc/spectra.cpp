#include "spectra.hpp"

#include "ql.hpp"

namespace divfast {
namespace {

// Matrices go through together, one in each lane: their chains of roots and divisions are long, and none waits for
// another.
constexpr int kLanes = 8;
typedef double Lanes __attribute__((vector_size(kLanes * sizeof(double))));
typedef int64_t Mask __attribute__((vector_size(kLanes * sizeof(int64_t))));

// Divides matrices by their largest element; one that is not finite becomes zero, and its largest element NaN.
DIVFAST_CLONES void scale(Lanes* a, int64_t k, Lanes* largest) {
    Lanes most = {}, nothing = {};
    for (int64_t i = 0; i < k * k; ++i) {
        const Lanes size = a[i] < 0 ? -a[i] : a[i];
        most = size > most ? size : most;
        nothing += a[i] * 0;
    }
    const Mask finite = nothing == 0;
    const Mask some = finite & (most > 0);
    for (int64_t i = 0; i < k * k; ++i) a[i] = some ? a[i] / most : Lanes{};
    *largest = most + nothing;
}

// Makes symmetric k x k matrices tridiagonal by reflections; a is lost. Needs 2 k numbers of scratch.
DIVFAST_CLONES void tridiagonal(Lanes* a, int64_t k, Lanes* diagonal, Lanes* beside, Lanes* scratch) {
    Lanes* v = scratch;
    Lanes* w = scratch + k;
    const Lanes none = {};
    for (int64_t c = 0; c + 2 < k; ++c) {
        diagonal[c] = a[c * k + c];
        Lanes squares = none;
        for (int64_t i = c + 1; i < k; ++i) {
            v[i] = a[c * k + i];
            squares += v[i] * v[i];
            w[i] = none;
        }
        Lanes length;
        for (int lane = 0; lane < kLanes; ++lane) length[lane] = std::sqrt(squares[lane]);
        // The square of what is smaller still would leave the type.
        const Mask some = length >= kNothing;
        const Lanes to = v[c + 1] > 0 ? -length : length;
        beside[c] = some ? to : none;
        const Lanes scale = some ? 1 / (squares - to * v[c + 1]) : none;
        v[c + 1] -= to;
        for (int64_t i = c + 1; i < k; ++i) {
            const Lanes* row = a + i * k;
            const Lanes x = v[i] * scale;
            for (int64_t j = c + 1; j < k; ++j) w[j] += x * row[j];
        }
        Lanes along = none;
        for (int64_t i = c + 1; i < k; ++i) along += v[i] * w[i];
        along *= scale / 2;
        for (int64_t i = c + 1; i < k; ++i) w[i] -= along * v[i];
        for (int64_t i = c + 1; i < k; ++i) {
            Lanes* row = a + i * k;
            // What is below the diagonal follows from what is above it.
            for (int64_t j = c + 1; j < k; ++j) row[j] -= v[i] * w[j] + w[i] * v[j];
        }
    }
    if (k > 1) {
        diagonal[k - 2] = a[(k - 2) * k + k - 2];
        beside[k - 2] = a[(k - 2) * k + k - 1];
    }
    diagonal[k - 1] = a[k * k - 1];
    beside[k - 1] = none;
}

// Turns the diagonals of tridiagonal matrices into their eigenvalues: QL steps with implicit shifts on the squares of what
// is beside the diagonal, so without roots (Pal, Walker and Kahan; LAPACK's dsterf). A step of all matrices runs over the
// rows of the longest, and leaves alone what is not its own part of a matrix.
DIVFAST_CLONES void diagonalise(Lanes* diagonal, Lanes* beside, int64_t k) {
    Mask first = {}, last = {}, steps = {};
    const Lanes none = {};
    for (int64_t i = 0; i < k; ++i) beside[i] *= beside[i];
    for (;;) {
        int64_t low = k, high = 0;
        Lanes shift = none, start = none;
        for (int lane = 0; lane < kLanes; ++lane) {
            int64_t at = first[lane], end = at;
            for (; at < k; ++at) {
                end = at;
                while (end + 1 < k) {
                    if (is_split(beside[end][lane], diagonal[end][lane], diagonal[end + 1][lane])) break;
                    ++end;
                }
                if (at != first[lane]) steps[lane] = 0;
                first[lane] = at;
                if (end != at && steps[lane]++ < kSteps) break;
            }
            first[lane] = at;
            last[lane] = end;
            if (at == k) continue;
            low = std::min(low, at);
            high = std::max(high, end);
            shift[lane] = shift_of(beside[at][lane], diagonal[at][lane], diagonal[at + 1][lane]);
            start[lane] = diagonal[end][lane] - shift[lane];
        }
        if (low == k) return;
        Lanes cosine = none + 1, sine = none, gamma = start, p = start * start;
        for (int64_t i = high - 1; i >= low; --i) {
            const Mask now = (first <= i) & (last > i);
            const Lanes square = beside[i];
            const Lanes r = p + square;
            beside[i + 1] = (now & (last - 1 != i)) ? sine * r : beside[i + 1];
            const Lanes inverse = 1 / r;
            const Lanes c = p * inverse, s = square * inverse;
            const Lanes alpha = diagonal[i];
            const Lanes next = c * (alpha - shift) - s * gamma;
            diagonal[i + 1] = now ? gamma + (alpha - next) : diagonal[i + 1];
            p = now ? (c != 0 ? next * next / c : cosine * square) : p;
            cosine = now ? c : cosine;
            sine = now ? s : sine;
            gamma = now ? next : gamma;
        }
        for (int lane = 0; lane < kLanes; ++lane) {
            const int64_t at = first[lane];
            if (at == k) continue;
            beside[at][lane] = sine[lane] * p[lane];
            diagonal[at][lane] = shift[lane] + gamma[lane];
        }
    }
}

}  // namespace

void eigenvalues(const double* matrices, int64_t many, int64_t k, int threads, double* values) {
    if (many == 0 || k == 0) return;
    // So many that a thread has a fraction of a millisecond of work.
    const int64_t part = std::max<int64_t>(1, (int64_t{1} << 18) / (k * k * (k + 16))) * kLanes;
    parallel_for((many + part - 1) / part, threads, [&](int64_t task) {
        // A standard container would not know how such vectors want to be aligned.
        const auto most = static_cast<size_t>(k * k + 4 * k);
        std::vector<double> memory((most + 1) * kLanes);
        void* start_of = memory.data();
        size_t room = memory.size() * sizeof(double);
        auto* const matrix = static_cast<Lanes*>(std::align(sizeof(Lanes), most * sizeof(Lanes), start_of, room));
        const int64_t stop = std::min(many, (task + 1) * part);
        for (int64_t start = task * part; start < stop; start += kLanes) {
            const auto here = static_cast<int>(std::min<int64_t>(kLanes, stop - start));
            std::memset(matrix, 0, static_cast<size_t>(k * k) * sizeof(Lanes));
            for (int lane = 0; lane < here; ++lane) {
                const double* in = matrices + (start + lane) * k * k;
                for (int64_t i = 0; i < k * k; ++i) matrix[i][lane] = in[i];
            }
            Lanes largest;
            scale(matrix, k, &largest);
            Lanes* diagonal = matrix + k * k;
            Lanes* beside = diagonal + k;
            tridiagonal(matrix, k, diagonal, beside, beside + k);
            diagonalise(diagonal, beside, k);
            for (int lane = 0; lane < here; ++lane) {
                double* out = values + (start + lane) * k;
                for (int64_t i = 0; i < k; ++i) out[i] = diagonal[i][lane] * largest[lane];
            }
        }
    });
}

}  // namespace divfast
