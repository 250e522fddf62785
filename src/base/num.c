#include "base/num.h"
#include "base/mem.h"
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

double silr_sigmoid(double z)
{
    double e = exp(-fabs(z));
    return z >= 0 ? 1 / (1 + e) : e / (1 + e);
}

double silr_log1pexp(double z)
{
    return (z > 0 ? z : 0) + log1p(exp(-fabs(z)));
}

double silr_logit(double p)
{
    if (!(p > 1e-12))
        p = 1e-12;
    if (p > 1 - 1e-12)
        p = 1 - 1e-12;
    return log(p / (1 - p));
}

double silr_logsumexp(const double *v, size_t n)
{
    double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++)
        if (v[i] > max)
            max = v[i];
    if (!isfinite(max))
        return max;
    for (size_t i = 0; i < n; i++)
        sum += exp(v[i] - max);
    return max + log(sum);
}

void silr_softmax(double *out, const double *z, size_t n)
{
    double total = silr_logsumexp(z, n);
    for (size_t i = 0; i < n; i++)
        out[i] = exp(z[i] - total);
}

double silr_quantile_sorted(const double *sorted, size_t n, double q)
{
    double at, part;
    size_t i;

    if (n == 0)
        return NAN;
    at = q * (double)(n - 1);
    if (!(at > 0))
        return sorted[0];
    if (at >= (double)(n - 1))
        return sorted[n - 1];
    i = (size_t)at;
    part = at - (double)i;
    return sorted[i] + part * (sorted[i + 1] - sorted[i]);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void silr_sort_doubles(double *v, size_t n)
{
    if (n > 1)
        qsort(v, n, sizeof *v, by_value);
}

typedef struct {
    double value;
    uint32_t index;
} indexed;

static int by_value_then_index(const void *a, const void *b)
{
    const indexed *x = a, *y = b;
    if (x->value != y->value)
        return x->value > y->value ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

bool silr_argsort(uint32_t *out, const double *v, size_t n)
{
    indexed *p = silr_alloc(n, sizeof *p);
    if (!p)
        return false;
    for (size_t i = 0; i < n; i++)
        p[i] = (indexed){v[i], (uint32_t)i};
    if (n > 1)
        qsort(p, n, sizeof *p, by_value_then_index);
    for (size_t i = 0; i < n; i++)
        out[i] = p[i].index;
    silr_free(p);
    return true;
}

/* Continued fraction of the incomplete beta function (DLMF 8.17.22), by Lentz's method. */
static double beta_fraction(double a, double b, double x)
{
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1), h;

    d = 1 / (fabs(d) < tiny ? tiny : d);
    h = d;
    for (int m = 1; m <= 500; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        double step;
        d = 1 + even * d;
        c = 1 + even / c;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        c = fabs(c) < tiny ? tiny : c;
        h *= d * c;
        d = 1 + odd * d;
        c = 1 + odd / c;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        c = fabs(c) < tiny ? tiny : c;
        step = d * c;
        h *= step;
        if (fabs(step - 1) < 1e-15)
            break;
    }
    return h;
}

double silr_beta_cdf(double a, double b, double x)
{
    double front;
    int sign;

    if (x <= 0)
        return 0;
    if (x >= 1)
        return 1;
    front = exp(lgamma_r(a + b, &sign) - lgamma_r(a, &sign) - lgamma_r(b, &sign) + a * log(x) +
                b * log1p(-x));
    if (x < (a + 1) / (a + b + 2))
        return front * beta_fraction(a, b, x) / a;
    return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double silr_beta_quantile(double a, double b, double p)
{
    double low = 0, high = 1;

    if (p <= 0)
        return 0;
    if (p >= 1)
        return 1;
    for (int i = 0; i < 100; i++) { /* bisection: slow, sure, and called a few times a run */
        double mid = (low + high) / 2;
        if (silr_beta_cdf(a, b, mid) < p)
            low = mid;
        else
            high = mid;
    }
    return (low + high) / 2;
}

double silr_normal_quantile(double p)
{
    double low = -40, high = 40;
    for (int i = 0; i < 100; i++) {
        double mid = (low + high) / 2;
        if (0.5 * erfc(-mid * 0.70710678118654752) < p)
            low = mid;
        else
            high = mid;
    }
    return (low + high) / 2;
}

static locale_t c_locale(void)
{
    static locale_t loc;
    if (!loc)
        loc = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return loc;
}

bool silr_parse_double(const char *s, double *out)
{
    char *end;
    double v;

    if (*s == '\0' || *s == ' ' || *s == '\t')
        return false;
    v = strtod_l(s, &end, c_locale());
    if (*end != '\0' || end == s || !isfinite(v))
        return false;
    *out = v;
    return true;
}

bool silr_parse_i64(const char *s, int64_t *out)
{
    char *end;
    long long v;

    if (*s == '\0' || *s == ' ' || *s == '\t')
        return false;
    errno = 0;
    v = strtoll(s, &end, 10);
    if (*end != '\0' || end == s || errno != 0)
        return false;
    *out = v;
    return true;
}

/* Optimal string alignment: three rows are enough. Long strings are cut: this is for key names. */
size_t silr_edit_distance(const char *a, const char *b)
{
    enum { MAX = 64 };
    size_t rows[3][MAX + 1], n = strnlen(a, MAX), m = strnlen(b, MAX);

    for (size_t j = 0; j <= m; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = rows[i % 3], *before = rows[(i + 2) % 3], *two = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = before[j - 1] + (a[i - 1] != b[j - 1]);
            if (before[j] + 1 < best)
                best = before[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                two[j - 2] + 1 < best)
                best = two[j - 2] + 1;
            now[j] = best;
        }
    }
    return rows[n % 3][m];
}

double silr_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

uint64_t silr_peak_memory(void)
{
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) == 0 ? (uint64_t)u.ru_maxrss * 1024 : 0;
}

static int limit; /* set before there are threads */

void silr_threads_limit(int most)
{
    limit = most;
}

int silr_threads(int wanted)
{
    int have = omp_get_num_procs();

    if (limit > 0 && limit < have)
        have = limit;
    return wanted > 0 ? wanted : have > 0 ? have : 1;
}
