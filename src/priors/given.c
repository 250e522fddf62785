/* given.c - theta and pi that the user states: labelled: {theta: [0.8, 0.3], pi: 0.5}.
 *
 * Two classes give [theta_p, theta_n] and one pi; K classes give K rows P(true | pseudo) and K
 * shares. Rows are scaled to sum to exactly 1 when they are within a thousandth of it. Without pi
 * it is Theta^T rho. Stated numbers carry no uncertainty. */
#include "priors/inside.h"
#include <math.h>
#include <string.h>

static silr_status check_row(double *row, int K, const char *path, const char *what, int number,
                             silr_error *err)
{
    double sum = 0;

    for (int k = 0; k < K; k++) {
        if (!(row[k] >= 0 && row[k] <= 1))
            return silr_fail(err, SILR_EINPUT, "%s: %s: %g is not a probability", path, what,
                             row[k]);
        sum += row[k];
    }
    if (fabs(sum - 1) > 1e-3)
        return silr_fail(err, SILR_EINPUT, "%s: %s: row %d sums to %g, not to 1", path, what,
                         number, sum);
    for (int k = 0; k < K; k++)
        row[k] /= sum;
    return SILR_OK;
}

static silr_status take_theta(silr_priors *out, const silr_task *task, silr_error *err)
{
    const double *t = task->labelled.theta;
    size_t n = task->labelled.n_theta, K = (size_t)out->K;
    silr_status st = SILR_OK;

    if (K == 2 && n == 2) {
        const double rows[4] = {t[0], 1 - t[0], t[1], 1 - t[1]};
        memcpy(out->theta, rows, sizeof rows);
    } else if (n == K * K) {
        memcpy(out->theta, t, sizeof(double) * n);
    } else {
        return silr_fail(err, SILR_EINPUT, "%s: labelled.theta has %zu numbers; %s", task->path, n,
                         K == 2 ? "two classes take 2: [theta_p, theta_n]"
                                : "K classes take K rows of K: P(true class | pseudo-label)");
    }
    for (size_t j = 0; j < K && st == SILR_OK; j++)
        st = check_row(out->theta + j * K, out->K, task->path, "labelled.theta", (int)j + 1, err);
    return st;
}

static silr_status take_pi(silr_priors *out, const silr_task *task, silr_error *err)
{
    const double *pi = task->labelled.pi;
    size_t n = task->labelled.n_pi, K = (size_t)out->K;
    silr_status st;

    if (!pi || n == 0)
        return SILR_OK;
    if (K == 2 && n == 1) {
        out->pi[0] = pi[0];
        out->pi[1] = 1 - pi[0];
    } else if (n == K) {
        memcpy(out->pi, pi, sizeof(double) * n);
    } else {
        return silr_fail(err, SILR_EINPUT, "%s: labelled.pi has %zu numbers; %zu classes take %zu",
                         task->path, n, K, K == 2 ? (size_t)1 : K);
    }
    st = check_row(out->pi, out->K, task->path, "labelled.pi", 1, err);
    for (int k = 0; k < out->K && st == SILR_OK; k++)
        out->pi_low[k] = out->pi_high[k] = out->pi[k];
    return st;
}

silr_status silr_priors_given(silr_priors *out, const silr_task *task, const double *counts,
                              silr_error *err)
{
    silr_status st;

    memset(out, 0, sizeof *out);
    out->K = (int)task->n_classes;
    out->known = true;
    if (out->K < 2 || out->K > SILR_MAX_CLASSES)
        return silr_fail(err, SILR_EINPUT, "%s: %d classes: silr takes 2 to %d", task->path, out->K,
                         SILR_MAX_CLASSES);
    if ((st = take_theta(out, task, err)) != SILR_OK)
        return st;
    silr_priors_mix(out, counts);
    if ((st = take_pi(out, task, err)) != SILR_OK)
        return st;
    silr_priors_posterior(out, 0);
    return SILR_OK;
}
