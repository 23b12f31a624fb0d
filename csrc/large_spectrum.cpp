#include "large_spectrum.hpp"

#include "ql.hpp"

namespace divfast {
namespace {

constexpr int64_t kWide = 8;
typedef double Lanes __attribute__((vector_size(kWide * sizeof(double)), aligned(8), may_alias));

// Reflections that are gathered before the rest of the matrix is changed by all of them at once.
constexpr int64_t kPanel = 16;
// Rows that are read together; those of one thread are always the same, so its part stays in its own cache.
constexpr int64_t kRows = 4;
// Elements for which one more thread is worth being waited for.
constexpr int64_t kShare = 128 * 128;

constexpr int kSpins = 2000;

double sum_of(Lanes x) { return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7])); }

DIVFAST_CLONES double dot(const double* x, const double* y, int64_t n) {
    Lanes even = {}, odd = {};
    int64_t i = 0;
    for (; i + 2 * kWide <= n; i += 2 * kWide) {
        even += *reinterpret_cast<const Lanes*>(x + i) * *reinterpret_cast<const Lanes*>(y + i);
        odd += *reinterpret_cast<const Lanes*>(x + i + kWide) * *reinterpret_cast<const Lanes*>(y + i + kWide);
    }
    double sum = sum_of(even + odd);
    for (; i < n; ++i) sum += x[i] * y[i];
    return sum;
}

// to -= s x + t y
DIVFAST_CLONES void take_away(double* __restrict to, double s, const double* __restrict x, double t,
                              const double* __restrict y, int64_t n) {
    for (int64_t i = 0; i < n; ++i) to[i] -= s * x[i] + t * y[i];
}

// What four rows of the upper triangle, from their diagonal on, add to a product with v: by symmetry they are columns too.
DIVFAST_CLONES void multiply_rows(const double* a, int64_t m, int64_t i, const double* v, double* y) {
    const double* rows[kRows];
    for (int64_t r = 0; r < kRows; ++r) rows[r] = a + (i + r) * m;
    for (int64_t r = 0; r < kRows; ++r) {
        y[i + r] += rows[r][i + r] * v[i + r];
        for (int64_t s = r + 1; s < kRows; ++s) {
            y[i + r] += rows[r][i + s] * v[i + s];
            y[i + s] += rows[r][i + s] * v[i + r];
        }
    }
    Lanes sums[kRows] = {};
    const double v0 = v[i], v1 = v[i + 1], v2 = v[i + 2], v3 = v[i + 3];
    int64_t k = i + kRows;
    for (; k + kWide <= m; k += kWide) {
        const Lanes x = *reinterpret_cast<const Lanes*>(v + k);
        const Lanes a0 = *reinterpret_cast<const Lanes*>(rows[0] + k), a1 = *reinterpret_cast<const Lanes*>(rows[1] + k);
        const Lanes a2 = *reinterpret_cast<const Lanes*>(rows[2] + k), a3 = *reinterpret_cast<const Lanes*>(rows[3] + k);
        Lanes& to = *reinterpret_cast<Lanes*>(y + k);
        to += (v0 * a0 + v1 * a1) + (v2 * a2 + v3 * a3);
        sums[0] += a0 * x;
        sums[1] += a1 * x;
        sums[2] += a2 * x;
        sums[3] += a3 * x;
    }
    for (int64_t r = 0; r < kRows; ++r) y[i + r] += sum_of(sums[r]);
    for (; k < m; ++k) {
        for (int64_t r = 0; r < kRows; ++r) {
            y[i + r] += rows[r][k] * v[k];
            y[k] += rows[r][k] * v[i + r];
        }
    }
}

// The same for one row.
void multiply_row(const double* row, int64_t m, int64_t i, const double* v, double* y) {
    y[i] += row[i] * v[i];
    take_away(y + i + 1, -v[i], row + i + 1, 0.0, row + i + 1, m - i - 1);
    y[i] += dot(row + i + 1, v + i + 1, m - i - 1);
}

// Takes `many` pairs of reflections from four rows, from column i on.
DIVFAST_CLONES void update_rows(double* a, int64_t m, int64_t i, const double* v, const double* w, int64_t many) {
    int64_t k = i;
    for (; k + 2 * kWide <= m; k += 2 * kWide) {
        Lanes left[kRows] = {}, right[kRows] = {};
        for (int64_t l = 0; l < many; ++l) {
            const double* vl = v + l * m;
            const double* wl = w + l * m;
            const Lanes v0 = *reinterpret_cast<const Lanes*>(vl + k), w0 = *reinterpret_cast<const Lanes*>(wl + k);
            const Lanes v1 = *reinterpret_cast<const Lanes*>(vl + k + kWide), w1 = *reinterpret_cast<const Lanes*>(wl + k + kWide);
            for (int64_t r = 0; r < kRows; ++r) {
                left[r] += vl[i + r] * w0;
                left[r] += wl[i + r] * v0;
                right[r] += vl[i + r] * w1;
                right[r] += wl[i + r] * v1;
            }
        }
        for (int64_t r = 0; r < kRows; ++r) {
            *reinterpret_cast<Lanes*>(a + (i + r) * m + k) -= left[r];
            *reinterpret_cast<Lanes*>(a + (i + r) * m + k + kWide) -= right[r];
        }
    }
    for (; k < m; ++k) {
        for (int64_t l = 0; l < many; ++l) {
            for (int64_t r = 0; r < kRows; ++r) {
                a[(i + r) * m + k] -= v[l * m + i + r] * w[l * m + k] + w[l * m + i + r] * v[l * m + k];
            }
        }
    }
}

// Threads that go on when all have come; they meet every few microseconds, so they do not sleep at once.
class Meeting {
  public:
    explicit Meeting(int64_t members) : members_(members) {}

    void wait() {
        const int64_t turn = turn_.load(std::memory_order_relaxed);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == members_) {
            arrived_.store(0, std::memory_order_relaxed);
            turn_.store(turn + 1, std::memory_order_release);
            return;
        }
        for (int spins = 0; turn_.load(std::memory_order_acquire) == turn; ++spins) {
            if (spins > kSpins) std::this_thread::yield();
        }
    }

  private:
    const int64_t members_;
    alignas(64) std::atomic<int64_t> arrived_{0};
    alignas(64) std::atomic<int64_t> turn_{0};
};

// Makes a matrix tridiagonal by reflections, a panel of them at a time (Dongarra, Sorensen and Hammarling; LAPACK's
// dlatrd). Every member of a team has the same vectors; it multiplies and changes its own rows of the matrix.
class Reduction {
  public:
    Reduction(double* a, int64_t m, int64_t workers, double* diagonal, double* beside)
        : a_(a), m_(m), workers_(workers), diagonal_(diagonal), beside_(beside), meeting_(workers),
          parts_(static_cast<size_t>(2 * workers * m)), own_(static_cast<size_t>(workers * (2 * kPanel + 1) * m)) {}

    void work(int64_t worker) {
        double* v = own_.data() + worker * (2 * kPanel + 1) * m_;
        double* w = v + kPanel * m_;
        int64_t parity = 0;
        for (int64_t start = 0; start + 2 < m_; start += kPanel) {
            const int64_t many = std::min(kPanel, m_ - 2 - start);
            for (int64_t c = 0; c < many; ++c, parity ^= 1) reflect(worker, start, c, parity, v, w);
            const int64_t from = start + many;
            for (int64_t i = from; i < m_; i = (i / kRows + 1) * kRows) {
                if (i / kRows % workers_ != worker) continue;
                if (i % kRows == 0 && i + kRows <= m_) {
                    update_rows(a_, m_, i, v, w, many);
                    continue;
                }
                for (int64_t r = i; r < std::min(m_, (i / kRows + 1) * kRows); ++r) {
                    for (int64_t l = 0; l < many; ++l) {
                        const double *vl = v + l * m_, *wl = w + l * m_;
                        take_away(a_ + r * m_ + r, vl[r], wl + r, wl[r], vl + r, m_ - r);
                    }
                }
            }
            meeting_.wait();
        }
        if (worker != 0) return;
        if (m_ > 1) {
            diagonal_[m_ - 2] = a_[(m_ - 2) * m_ + m_ - 2];
            beside_[m_ - 2] = a_[(m_ - 2) * m_ + m_ - 1];
        }
        diagonal_[m_ - 1] = a_[m_ * m_ - 1];
        beside_[m_ - 1] = 0.0;
    }

  private:
    void reflect(int64_t worker, int64_t start, int64_t c, int64_t parity, double* v, double* w) {
        const int64_t j = start + c, next = j + 1, n = m_ - next;
        double* x = w + kPanel * m_;
        std::copy(a_ + j * m_ + j, a_ + (j + 1) * m_, x + j);
        for (int64_t l = 0; l < c; ++l) {
            const double *vl = v + l * m_, *wl = w + l * m_;
            take_away(x + j, vl[j], wl + j, wl[j], vl + j, n + 1);
        }
        double* mine = v + c * m_;
        double* image = w + c * m_;
        const double tail = dot(x + next + 1, x + next + 1, n - 1);
        const double length = std::sqrt(tail + x[next] * x[next]);
        // The square of what is smaller still would leave the type; then there is nothing to reflect.
        const bool some = tail >= kNothing * kNothing;
        const double to = some ? (x[next] > 0.0 ? -length : length) : x[next];
        if (worker == 0) {
            diagonal_[j] = x[j];
            beside_[j] = to;
        }
        std::fill(mine + start, mine + next, 0.0);
        std::fill(image + start, image + next, 0.0);
        if (!some) {
            std::fill(mine + next, mine + m_, 0.0);
            std::fill(image + next, image + m_, 0.0);
            return;
        }
        std::copy(x + next, x + m_, mine + next);
        mine[next] -= to;
        const double scale = 1.0 / (length * (length + std::abs(x[next])));  // 2 / |v|^2
        double* parts = parts_.data() + parity * workers_ * m_;
        multiply(worker, next, mine, parts + worker * m_);
        meeting_.wait();
        std::copy(parts + next, parts + m_, image + next);
        for (int64_t other = 1; other < workers_; ++other) {
            const double* part = parts + other * m_ + next;
            take_away(image + next, -1.0, part, 0.0, part, n);
        }
        for (int64_t l = 0; l < c; ++l) {
            const double *vl = v + l * m_ + next, *wl = w + l * m_ + next;
            take_away(image + next, dot(wl, mine + next, n), vl, dot(vl, mine + next, n), wl, n);
        }
        const double along = 0.5 * scale * scale * dot(image + next, mine + next, n);
        for (int64_t i = next; i < m_; ++i) image[i] = scale * image[i] - along * mine[i];
    }

    // This member's part of the product of the matrix from row and column `from` on with v.
    void multiply(int64_t worker, int64_t from, const double* v, double* y) const {
        std::fill(y + from, y + m_, 0.0);
        for (int64_t i = from; i < m_; i = (i / kRows + 1) * kRows) {
            if (i / kRows % workers_ != worker) continue;
            if (i % kRows == 0 && i + kRows <= m_) {
                multiply_rows(a_, m_, i, v, y);
            } else {
                const int64_t stop = std::min(m_, (i / kRows + 1) * kRows);
                for (int64_t r = i; r < stop; ++r) multiply_row(a_ + r * m_, m_, r, v, y);
            }
        }
    }

    double* a_;
    const int64_t m_, workers_;
    double *diagonal_, *beside_;
    Meeting meeting_;
    // Two buffers of what each member multiplied, for one may still be read; and what each has for itself. Made before they
    // start: one that failed would be waited for.
    std::vector<double> parts_, own_;
};

// Turns the diagonal of a tridiagonal matrix into its eigenvalues: QL steps with implicit shifts on the squares of what is
// beside the diagonal, so without roots (Pal, Walker and Kahan; LAPACK's dsterf).
void diagonalise(double* diagonal, double* beside, int64_t m) {
    for (int64_t i = 0; i < m; ++i) beside[i] *= beside[i];
    int steps = 0;
    for (int64_t first = 0; first < m;) {
        int64_t last = first;
        for (; last + 1 < m; ++last) {
            if (is_split(beside[last], diagonal[last], diagonal[last + 1])) break;
        }
        if (last == first || steps++ == kSteps) {
            ++first;
            steps = 0;
            continue;
        }
        const double shift = shift_of(beside[first], diagonal[first], diagonal[first + 1]);
        double cosine = 1.0, sine = 0.0, gamma = diagonal[last] - shift, p = gamma * gamma;
        for (int64_t i = last - 1; i >= first; --i) {
            const double square = beside[i], r = p + square;
            if (i != last - 1) beside[i + 1] = sine * r;
            // The division by p does not wait for that by r.
            const double inverse = 1.0 / r, against = r / p;
            const double before = cosine;
            cosine = p * inverse;
            sine = square * inverse;
            const double alpha = diagonal[i], old = gamma;
            gamma = cosine * (alpha - shift) - sine * old;
            diagonal[i + 1] = old + (alpha - gamma);
            p = p != 0.0 ? gamma * gamma * against : before * square;
        }
        beside[first] = sine * p;
        diagonal[first] = shift + gamma;
    }
}

// Copies a matrix, divided by its largest element, which is returned; NaN where not all are finite.
DIVFAST_CLONES double scaled(const double* matrix, int64_t m, double* copy) {
    double most = 0.0, nothing = 0.0;
    for (int64_t i = 0; i < m; ++i) {
        for (int64_t k = i; k < m; ++k) {
            const double size = std::abs(matrix[i * m + k]);
            most = size > most ? size : most;
            nothing += size * 0.0;
        }
    }
    const double by = most > 0.0 ? most : 1.0;
    for (int64_t i = 0; i < m; ++i) {
        for (int64_t k = i; k < m; ++k) copy[i * m + k] = matrix[i * m + k] / by;
    }
    return most + nothing;
}

void spectrum(const double* matrix, int64_t m, int64_t workers, double* values) {
    std::vector<double, Uninitialized<double>> copy(static_cast<size_t>(m * m));
    std::vector<double> beside(static_cast<size_t>(m));
    const double largest = scaled(matrix, m, copy.data());
    if (!std::isfinite(largest)) {
        std::fill(values, values + m, std::numeric_limits<double>::quiet_NaN());
        return;
    }
    Reduction reduction(copy.data(), m, workers, values, beside.data());
    parallel_for(workers, static_cast<int>(workers), [&](int64_t worker) { reduction.work(worker); });
    diagonalise(values, beside.data(), m);
    for (int64_t i = 0; i < m; ++i) values[i] *= largest;
}

}  // namespace

void large_eigenvalues(const double* matrices, int64_t many, int64_t m, int threads, double* values) {
    if (many == 0 || m == 0) return;
    // A team waits for its slowest member, so none may share a core with another.
    const int64_t most = std::min(resolve_threads(threads), resolve_threads(0));
    const int64_t team = many >= most ? 1 : std::min(most, 1 + m * m / (2 * kShare));
    parallel_for(many, static_cast<int>(most / team), [&](int64_t i) { spectrum(matrices + i * m * m, m, team, values + i * m); });
}

}  // namespace divfast
