/* minimise.c - BFGS: keep an estimate H of the inverse Hessian, step along -H g, halve the step
 * until the value falls enough (Armijo), update H from the change of the gradient. */
#include "refine/minimise.h"
#include <math.h>
#include <string.h>

static double dot(size_t n, const double *a, const double *b)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void unit_matrix(size_t n, double *H)
{
    memset(H, 0, n * n * sizeof *H);
    for (size_t i = 0; i < n; i++)
        H[i * n + i] = 1;
}

/* H <- (I - s y'/sy) H (I - y s'/sy) + s s'/sy */
static void update(size_t n, double *H, const double *s, const double *y, double *Hy)
{
    double sy = dot(n, s, y), scale;

    if (!(sy > 1e-12 * sqrt(dot(n, s, s) * dot(n, y, y))))
        return; /* curvature not positive: keep H */
    for (size_t i = 0; i < n; i++)
        Hy[i] = dot(n, H + i * n, y);
    scale = 1 + dot(n, y, Hy) / sy;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            H[i * n + j] += (scale * s[i] * s[j] - Hy[i] * s[j] - s[i] * Hy[j]) / sy;
}

silr_status silr_minimise(silr_smooth f, void *ctx, size_t n, double *x, int max_steps,
                          double tolerance, double *value, silr_error *err)
{
    silr_status st = SILR_OK;
    double *H = silr_alloc(n * n, sizeof *H), *work = silr_alloc(6 * n, sizeof *work);
    double *g = work, *g_next = work + n, *step = work + 2 * n, *next = work + 3 * n,
           *y = work + 4 * n, *Hy = work + 5 * n, v;

    if (!H || !work) {
        st = silr_fail_memory(err);
        goto done;
    }
    unit_matrix(n, H);
    v = f(ctx, x, g);
    for (int k = 0; k < max_steps; k++) {
        double slope, rate = 1, largest = 0, v_next = v;
        bool moved = false;
        for (size_t i = 0; i < n; i++)
            if (fabs(g[i]) > largest)
                largest = fabs(g[i]);
        if (largest < tolerance)
            break;
        for (size_t i = 0; i < n; i++)
            step[i] = -dot(n, H + i * n, g);
        slope = dot(n, step, g);
        if (!(slope < 0)) { /* lost definiteness: begin again with steepest descent */
            unit_matrix(n, H);
            for (size_t i = 0; i < n; i++)
                step[i] = -g[i];
            slope = -dot(n, g, g);
        }
        if (k == 0) /* the first step knows no scale */
            rate = fmin(1, 1 / sqrt(dot(n, g, g)));
        for (int halving = 0; halving < 40; halving++) {
            for (size_t i = 0; i < n; i++)
                next[i] = x[i] + rate * step[i];
            v_next = f(ctx, next, g_next);
            if (v_next <= v + 1e-4 * rate * slope) {
                moved = true;
                break;
            }
            rate /= 2;
        }
        if (!moved)
            break;
        for (size_t i = 0; i < n; i++) {
            step[i] = next[i] - x[i];
            y[i] = g_next[i] - g[i];
        }
        update(n, H, step, y, Hy);
        memcpy(x, next, n * sizeof *x);
        memcpy(g, g_next, n * sizeof *g);
        v = v_next;
    }
    if (value)
        *value = v;
done:
    silr_free(H);
    silr_free(work);
    return st;
}

bool silr_cholesky_solve(size_t n, double *S, double *b, double *log_det)
{
    double sum_log = 0;

    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++) {
            double v = S[i * n + j];
            for (size_t k = 0; k < j; k++)
                v -= S[i * n + k] * S[j * n + k];
            if (i != j) {
                S[i * n + j] = v / S[j * n + j];
                continue;
            }
            if (!(v > 0))
                return false;
            S[i * n + i] = sqrt(v);
            sum_log += log(v);
        }
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++)
            b[i] -= S[i * n + k] * b[k];
        b[i] /= S[i * n + i];
    }
    for (size_t i = n; i-- > 0;) {
        for (size_t k = i + 1; k < n; k++)
            b[i] -= S[k * n + i] * b[k];
        b[i] /= S[i * n + i];
    }
    if (log_det)
        *log_det = sum_log;
    return true;
}
