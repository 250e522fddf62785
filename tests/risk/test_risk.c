/* test_risk.c - the risks against each other, and against differences. */
#include "help.h"
#include <string.h>

/* --- identities ------------------------------------------------------------------------------ */

static double uniform(silr_rng *g, double low, double high)
{
    return low + (high - low) * silr_rng_double(g);
}

/* Random rows, diagonal at least `least`; pi = Theta^T rho, rho uniform. */
static void random_theta(silr_rng *g, int K, double least, double *theta, double *pi)
{
    for (int k = 0; k < K; k++)
        pi[k] = 0;
    for (int j = 0; j < K; j++) {
        double sum = 0, diagonal = uniform(g, least, 0.95);
        for (int k = 0; k < K; k++)
            sum += theta[j * K + k] = k == j ? 0 : uniform(g, 0.1, 1);
        for (int k = 0; k < K; k++) {
            theta[j * K + k] = k == j ? diagonal : theta[j * K + k] / sum * (1 - diagonal);
            pi[k] += theta[j * K + k] / K;
        }
    }
}

static void random_batch(silr_rng *g, int K, size_t n, double spread, double *z, int *set,
                         double *w)
{
    size_t width = K == 2 ? 1 : (size_t)K;

    for (size_t i = 0; i < n * width; i++)
        z[i] = spread * silr_rng_normal(g);
    for (size_t i = 0; i < n; i++) {
        set[i] = i < (size_t)K ? (int)i : (int)silr_rng_below(g, (uint64_t)K);
        w[i] = uniform(g, 0.2, 3);
    }
}

/* F1: robust uu with lambda = 1 is uu; with the sigmoid loss uu is weighted pn plus a constant; and
 * uu is the backward correction with T[k][j] = P(pseudo j | true k). */
static void four_names_of_one_risk(void **state)
{
    silr_rng g;
    (void)state;

    silr_rng_init(&g, 1, SILR_RNG_TEST, 0, 1);
    for (int trial = 0; trial < 50; trial++) {
        enum { N = 20 };
        double theta_p = uniform(&g, 0.6, 1), theta_n = uniform(&g, 0, 0.4), rho;
        double pi, s[4], z[N], w[N], grad[N], same[N], M[2][2] = {{0}}, count[2] = {0};
        int set[N];
        silr_risk uu, ruu;
        double value, T[2][2], det, backward;

        random_batch(&g, 2, N, 3, z, set, w);
        rho = uniform(&g, 0.2, 0.8);
        pi = rho * theta_p + (1 - rho) * theta_n;
        make_two(&uu, SILR_RISK_UU, SILR_LOSS_SIGMOID, theta_p, theta_n, pi, -0.001);
        make_two(&ruu, SILR_RISK_RUU, SILR_LOSS_SIGMOID, theta_p, theta_n, pi, 1);
        value = silr_risk_value(&uu, N, z, set, NULL, grad);
        near(silr_risk_value(&ruu, N, z, set, NULL, same), value, 1e-12, "lambda 1");
        for (int i = 0; i < N; i++) {
            near(same[i], grad[i], 1e-12, "lambda 1, gradient");
            count[set[i]]++;
            M[set[i]][0] += silr_sigmoid(-z[i]);
            M[set[i]][1] += silr_sigmoid(z[i]);
        }
        for (int j = 0; j < 2; j++)
            for (int k = 0; k < 2; k++)
                M[j][k] /= count[j];
        silr_risk_coefficients(theta_p, theta_n, pi, s);
        near((s[0] + s[1]) * M[0][0] + (s[2] + s[3]) * M[1][1] - (s[1] + s[2]), value, 1e-12,
             "simplified");
        T[0][0] = rho * theta_p / pi; /* P(pseudo 0 | true 0) */
        T[0][1] = 1 - T[0][0];
        T[1][0] = rho * (1 - theta_p) / (1 - pi);
        T[1][1] = 1 - T[1][0];
        det = T[0][0] * T[1][1] - T[0][1] * T[1][0];
        backward = rho * (T[1][1] * M[0][0] - T[0][1] * M[0][1]) / det +
                   (1 - rho) * (-T[1][0] * M[1][0] + T[0][0] * M[1][1]) / det;
        near(backward, value, 1e-11, "backward correction");
    }
}

/* F2: C for two classes is pi_k Theta^-1[k][j]. */
static void two_classes_are_k_classes(void **state)
{
    const double theta[4] = {0.8, 0.2, 0.3, 0.7}, pi[2] = {0.45, 0.55};
    double c[4], s[4];
    silr_risk r;
    (void)state;

    silr_risk_coefficients(0.8, 0.3, 0.45, s);
    assert_int_equal(silr_risk_weights(2, theta, pi, 0, c, NULL), SILR_OK);
    near(c[0], s[0], 1e-12, "a");
    near(c[1], -s[2], 1e-12, "-c");
    near(c[2], -s[1], 1e-12, "-b");
    near(c[3], s[3], 1e-12, "d");
    assert_int_equal(silr_risk_init(&r, SILR_RISK_RUU, SILR_LOSS_SIGMOID, 2, theta, pi, 0, NULL),
                     0);
    for (int i = 0; i < 4; i++)
        near(r.c[i], c[i], 1e-12, "C");
}

/* F5 and its K-class form: pure sets give the supervised risk, class by class. The ridge of 1e-3
 * is the only difference for K > 2. */
static void pure_sets_give_supervised_risk(void **state)
{
    const double z[3] = {2, -1, 0.5}, z3[6] = {2, 0, -1, 0.3, 1, 0};
    const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1}, pi[3] = {0.5, 0.3, 0.2};
    const int set[3] = {0, 1, 1}, set3[2] = {0, 1};
    double p[3], want;
    silr_risk r;
    (void)state;

    make_two(&r, SILR_RISK_RUU, SILR_LOSS_SIGMOID, 1, 0, 0.3, -0.001);
    want = 0.3 * silr_sigmoid(-2) + 0.7 * (silr_sigmoid(-1) + silr_sigmoid(0.5)) / 2;
    near(silr_risk_value(&r, 3, z, set, NULL, NULL), want, 1e-12, "two classes");
    assert_int_equal(
        silr_risk_init(&r, SILR_RISK_RUU, SILR_LOSS_SIGMOID, 3, identity, pi, -0.001, NULL), 0);
    silr_softmax(p, z3, 3);
    want = 0.5 * (1 - p[0]);
    silr_softmax(p, z3 + 3, 3);
    want += 0.3 * (1 - p[1]);
    near(silr_risk_value(&r, 2, z3, set3, NULL, NULL), want / (1 + 1e-3), 1e-12, "three classes");
}

/* Choose each class's losses by hand, mix them as the annotator would, and the formula must give
 * back the clean risk exactly. */
static void undoes_the_mixing(void **state)
{
    enum { K = 3 };
    const double T[K * K] = {.8, .1, .1, .2, .7, .1, .1, .3, .6};
    const double L[K * K] = {.1, .9, .7, .8, .2, .6, .9, .5, .3}; /* class c against k */
    const double pi[K] = {.5, .3, .2};
    double w[K * K], risk = 0, clean = 0;
    (void)state;

    assert_int_equal(silr_risk_weights(K, T, pi, 0, w, NULL), SILR_OK);
    for (int k = 0; k < K; k++) {
        clean += pi[k] * L[k * K + k];
        for (int j = 0; j < K; j++)
            for (int c = 0; c < K; c++)
                risk += w[k * K + j] * T[j * K + c] * L[c * K + k];
    }
    near(risk, clean, 1e-12, "clean risk");
}

/* F4: texts whose pseudo-labels flip by chance; over many such draws the mean of uu is the risk on
 * the true labels within four standard errors. */
static void unbiased_under_random_flips(void **state)
{
    enum { N = 400, RUNS = 400 };
    const double tpr = 0.8, fpr = 0.3, pi = 0.4;
    double rho = pi * tpr + (1 - pi) * fpr, z[N], clean = 0, sum = 0, square = 0;
    int truth[N], set[N];
    silr_rng g;
    silr_risk r;
    (void)state;

    silr_rng_init(&g, 3, SILR_RNG_TEST, 0, 4);
    make_two(&r, SILR_RISK_UU, SILR_LOSS_SIGMOID, pi * tpr / rho, pi * (1 - tpr) / (1 - rho), pi,
             0);
    for (int i = 0; i < N; i++) {
        truth[i] = i < pi * N ? 0 : 1;
        z[i] = silr_rng_normal(&g) + (truth[i] == 0 ? 0.7 : -0.7);
        clean += silr_sigmoid(truth[i] == 0 ? -z[i] : z[i]) / N;
    }
    for (int run = 0; run < RUNS; run++) {
        double v;
        for (int i = 0; i < N; i++)
            set[i] = silr_rng_double(&g) < (truth[i] == 0 ? tpr : fpr) ? 0 : 1;
        v = silr_risk_value(&r, N, z, set, NULL, NULL);
        sum += v;
        square += v * v;
    }
    near(sum / RUNS, clean, 4 * sqrt((square / RUNS - pow(sum / RUNS, 2)) / RUNS) + 1e-3,
         "mean of uu");
}

/* F6: calling every positive negative and every negative positive changes nothing. */
static void naming_does_not_matter(void **state)
{
    double z[20], w[20], minus[20];
    int set[20], other[20];
    silr_rng g;
    (void)state;

    silr_rng_init(&g, 6, SILR_RNG_TEST, 0, 6);
    for (int trial = 0; trial < 20; trial++)
        for (int k = 0; k < 3; k++) {
            silr_risk r, s;
            double theta_p = uniform(&g, 0.55, 1), theta_n = uniform(&g, 0, 0.45), pi = 0.4;
            make_two(&r, kinds[k], SILR_LOSS_SIGMOID, theta_p, theta_n, pi, -0.001);
            make_two(&s, kinds[k], SILR_LOSS_SIGMOID, 1 - theta_n, 1 - theta_p, 1 - pi, -0.001);
            random_batch(&g, 2, 20, 3, z, set, w);
            for (int i = 0; i < 20; i++) {
                minus[i] = -z[i];
                other[i] = 1 - set[i];
            }
            near(silr_risk_value(&s, 20, minus, other, w, NULL),
                 silr_risk_value(&r, 20, z, set, w, NULL), 1e-12, "swapped");
        }
}

/* --- gradients ------------------------------------------------------------------------------- */

/* F3: the gradient is what moving one score a little does to the value. Scores that follow the sets
 * (spread 4) close gates, small ones do not; a batch too close to a corner of f (a part within
 * 1e-3 of 0) is drawn again. */
static void check_differences(silr_rng *g, int K, silr_risk_kind kind, silr_loss_kind loss,
                              double spread, int *closed)
{
    enum { N = 12 };
    double theta[25], pi[5], z[N * 5], w[N], grad[N * 5], h = 1e-5;
    float fz[N * 5], fw[N], dz[N * 5];
    int set[N];
    size_t width = K == 2 ? 1 : (size_t)K;
    silr_risk r;
    silr_risk_sums s;
    silr_gated at;
    bool corner;

    do {
        random_theta(g, K, 0.45 + 0.2 / K, theta, pi);
        if (silr_risk_init(&r, kind, loss, K, theta, pi, -0.3, NULL) != SILR_OK) {
            corner = true;
            continue;
        }
        random_batch(g, K, N, spread, z, set, w);
        for (size_t i = 0; i < N && spread > 1; i++) /* over-fitted to the pseudo-labels */
            z[i * width + (K == 2 ? 0 : (size_t)set[i])] += set[i] == 0 || K > 2 ? 4 : -4;
        set[N - 1] = SILR_NO_LABEL;
        for (size_t i = 0; i < N * width; i++)
            z[i] = (double)(fz[i] = (float)z[i]);
        for (int i = 0; i < N; i++)
            w[i] = (double)(fw[i] = (float)w[i]);
        silr_risk_sums_clear(&s);
        silr_risk_add(&r, &s, N, fz, width, set, fw);
        silr_risk_gate(&r, &s, NULL, &at);
        corner = false;
        for (int k = 0; k < K; k++)
            corner = corner || fabs(at.part[k]) < 1e-3;
    } while (corner);
    for (int k = 0; k < K; k++)
        *closed += at.part[k] < 0;
    near(at.value, silr_risk_value(&r, N, z, set, w, grad), 2e-5, "float value");
    silr_risk_backward(&r, &at, N, fz, width, set, fw, dz);
    for (size_t i = 0; i < N * width; i++) {
        double up, down, was = z[i];
        z[i] = was + h;
        up = silr_risk_value(&r, N, z, set, w, NULL);
        z[i] = was - h;
        down = silr_risk_value(&r, N, z, set, w, NULL);
        z[i] = was;
        near(grad[i], (up - down) / (2 * h), 1e-8, "difference");
        near((double)dz[i], grad[i], 5e-6, "float gradient");
    }
    for (size_t m = 0; m < width; m++)
        assert_true(dz[(N - 1) * width + m] == 0);
}

static void gradients_are_differences(void **state)
{
    static const int sizes[3] = {2, 3, 5};
    int closed = 0;
    silr_rng g;
    (void)state;

    silr_rng_init(&g, 8, SILR_RNG_TEST, 0, 3);
    for (int size = 0; size < 3; size++)
        for (int kind = 0; kind < 3; kind++)
            for (int loss = 0; loss < 2; loss++)
                for (int trial = 0; trial < 8; trial++)
                    check_differences(&g, sizes[size], kinds[kind], losses[loss],
                                      trial % 2 ? 4 : 0.3, &closed);
    assert_true(closed > 50); /* both states of the gate were met */
}

/* --- the moving average ---------------------------------------------------------------------- */

/* By hand: theta .8/.2, pi .5, so C = [[2/3, -1/6], [-1/6, 2/3]]. */
static void gate_follows_averages(void **state)
{
    silr_risk r;
    silr_risk_sums s;
    silr_gate gate;
    silr_gated g;
    (void)state;

    make_two(&r, SILR_RISK_RUU, SILR_LOSS_SIGMOID, 0.8, 0.2, 0.5, -0.001);
    silr_gate_init(&gate, 0.9);
    silr_risk_sums_clear(&s);
    s.weight[0] = 10;
    s.weight[1] = 10;
    s.loss[0] = s.loss[3] = 4; /* means .4 .6 / .6 .4: R_k = (.4 * 4 - .6) / 6 = 1/6 */
    s.loss[1] = s.loss[2] = 6;
    silr_risk_gate(&r, &s, &gate, &g);
    near(g.part[0], 1.0 / 6, 1e-12, "open part");
    near(g.factor[0], 2.0 / 3 / 10, 1e-12, "open factor");
    s.loss[0] = s.loss[3] = 1; /* .1 .9: R_k = (.4 - .9) / 6 < 0; average .37 .63: above */
    s.loss[1] = s.loss[2] = 9;
    silr_risk_gate(&r, &s, &gate, &g);
    near(gate.mean[0], 0.37, 1e-12, "average");
    assert_true(g.part[0] < 0);
    near(g.value, -0.001 * 2 * -0.5 / 6, 1e-12, "value is the batch's");
    near(g.selection, 2 * 0.5 / 6, 1e-12, "selection");
    near(g.factor[0], 2.0 / 3 / 10, 1e-12, "the gate is the average's");
    silr_risk_gate(&r, &s, NULL, &g);
    near(g.factor[0], -0.001 * 2.0 / 3 / 10, 1e-12, "the batch's own gate is closed");
    s.weight[1] = 0; /* an empty set: contributes nothing, keeps its average */
    silr_risk_gate(&r, &s, &gate, &g);
    near(gate.mean[0], 0.9 * 0.37 + 0.1 * 0.1, 1e-12, "average moves");
    near(gate.mean[3], 0.37, 1e-12, "average stays");
    near(g.part[1], -0.9 / 6, 1e-12, "only the other set");
    assert_true(g.factor[2] == 0 && g.factor[3] == 0);
}

/* F8: scores that can follow every pseudo-label (one free score a text, as a huge network has)
 * stop where the mean probability of class 0 is theta_p on set 0 and theta_n on set 1: training
 * ends when it contradicts the labels as often as theta says that they are wrong. Plain uu never
 * stops. */
static void stops_where_theta_says(void **state)
{
    enum { N = 300 };
    static double z[N], grad[N];
    static int set[N];
    (void)state;

    for (int kind = SILR_RISK_UU; kind <= SILR_RISK_RUU; kind++) {
        double mean[2] = {0}, count[2] = {0};
        silr_rng g;
        silr_risk r;

        silr_rng_init(&g, 8, SILR_RNG_TEST, 0, 8);
        make_two(&r, (silr_risk_kind)kind, SILR_LOSS_SIGMOID, 0.8, 0.2, 0.5, -0.001);
        for (int i = 0; i < N; i++) {
            z[i] = silr_rng_normal(&g);
            set[i] = i % 5 < 2;
        }
        for (int step = 0; step < 2000; step++) {
            silr_risk_value(&r, N, z, set, NULL, grad);
            for (int i = 0; i < N; i++)
                z[i] -= 0.05 * N * grad[i];
        }
        for (int i = 0; i < N; i++) {
            mean[set[i]] += silr_sigmoid(z[i]);
            count[set[i]]++;
        }
        near(mean[0] / count[0], kind == SILR_RISK_RUU ? 0.8 : 1, 0.05, "set 0");
        near(mean[1] / count[1], kind == SILR_RISK_RUU ? 0.2 : 0, 0.05, "set 1");
    }
}

/* --- batches --------------------------------------------------------------------------------- */

/* F9: 1, 2 or 4 workers, each with a part of the batch, one gate. Members side by side. */
static void workers_agree(void **state)
{
    enum { N = 1003, STRIDE = 3 };
    static float z[N * STRIDE], w[N], dz[N * STRIDE], first[N];
    static int set[N];
    double value = 0;
    silr_risk r;
    silr_rng g;
    (void)state;

    silr_rng_init(&g, 9, SILR_RNG_TEST, 0, 9);
    for (int i = 0; i < N; i++) {
        for (int m = 0; m < STRIDE; m++)
            z[i * STRIDE + m] = (float)(3 * silr_rng_normal(&g));
        set[i] = i % 7 == 0 ? SILR_NO_LABEL : (int)silr_rng_below(&g, 2);
        w[i] = (float)uniform(&g, 0.5, 2);
    }
    make_two(&r, SILR_RISK_RUU, SILR_LOSS_SIGMOID, 0.8, 0.3, 0.5, -0.001);
    for (size_t workers = 1; workers <= 4; workers *= 2) {
        silr_risk_sums all, part;
        silr_gated at;

        silr_risk_sums_clear(&all);
        for (size_t m = 0; m < workers; m++) {
            size_t from = N * m / workers, to = N * (m + 1) / workers;
            silr_risk_sums_clear(&part);
            silr_risk_add(&r, &part, to - from, z + from * STRIDE + 1, STRIDE, set + from,
                          w + from);
            silr_risk_sums_merge(&all, &part);
        }
        silr_risk_gate(&r, &all, NULL, &at);
        silr_risk_backward(&r, &at, N, z + 1, STRIDE, set, w, dz + 1);
        if (workers == 1)
            value = at.value;
        near(at.value, value, 1e-13, "value");
        for (int i = 0; i < N; i++) {
            if (workers == 1)
                first[i] = dz[i * STRIDE + 1];
            near((double)dz[i * STRIDE + 1], (double)first[i], 1e-9, "gradient");
        }
    }
}

/* F10: empty sets, empty batches, scores at the ends of float: finite everywhere. */
static void nothing_is_not_a_number(void **state)
{
    static const float ends[6] = {3e38f, -3e38f, 0, 1e-38f, 100, -100};
    const double theta[9] = {.8, .1, .1, .2, .7, .1, .1, .3, .6}, pi[3] = {.4, .35, .25};
    float z[18], dz[18];
    int set[6];
    (void)state;

    for (int K = 2; K <= 3; K++)
        for (int kind = 0; kind < 3; kind++)
            for (int loss = 0; loss < 2; loss++)
                for (int which = -1; which < K; which++) {
                    silr_risk r;
                    const double two[4] = {.8, .2, .3, .7};
                    size_t width = K == 2 ? 1 : 3;

                    assert_int_equal(silr_risk_init(&r, kinds[kind], losses[loss], K,
                                                    K == 2 ? two : theta, pi, -0.001, NULL), 0);
                    for (size_t i = 0; i < 18; i++)
                        z[i] = ends[(i * 5 + i / 6) % 6];
                    for (int i = 0; i < 6; i++)
                        set[i] = which < 0 ? SILR_NO_LABEL : which;
                    assert_true(isfinite(fast(&r, NULL, 0, z, width, set, NULL, dz)));
                    assert_true(isfinite(fast(&r, NULL, 6, z, width, set, NULL, dz)));
                    for (size_t i = 0; i < 6 * width; i++)
                        assert_true(isfinite(dz[i]) && (which >= 0 || dz[i] == 0));
                }
}

/* The exponential behind every loss: sigmoid and 3-class softmax against doubles. */
static void float_losses_are_close(void **state)
{
    const double pi[2] = {0.5, 0.5}, theta[4] = {1, 0, 0, 1};
    double worst = 0;
    silr_risk r;
    (void)state;

    assert_int_equal(silr_risk_init(&r, SILR_RISK_PN, SILR_LOSS_SIGMOID, 2, theta, pi, 0, NULL),
                     0);
    for (int i = -8700; i <= 8700; i++) {
        float z = (float)i / 100;
        const int set = 0;
        double want = silr_sigmoid(-(double)z);
        silr_risk_sums s;

        silr_risk_sums_clear(&s);
        silr_risk_add(&r, &s, 1, &z, 1, &set, NULL);
        worst = fmax(worst, fabs(s.right - want) / fmax(want, 2e-38));
    }
    assert_true(worst < 4e-7);
}

/* --- refusals and repair --------------------------------------------------------------------- */

static void refuses_and_repairs(void **state)
{
    const double backwards[4] = {.3, .7, .6, .4}, close[4] = {.51, .49, .50, .50}, pi[2] = {.5, .5};
    const double alike[9] = {.6, .3, .1, .6, .3, .1, .1, .2, .7}, pi3[3] = {.4, .3, .3};
    const double nan3[9] = {NAN, .3, .1, .6, .3, .1, .1, .2, .7};
    silr_risk r;
    silr_error err;
    (void)state;

    assert_int_equal(silr_risk_init(&r, SILR_RISK_RUU, 0, 2, backwards, pi, 0, &err), SILR_EDOMAIN);
    assert_non_null(strstr(err.text, "theta_p 0.300"));
    assert_int_equal(silr_risk_init(&r, SILR_RISK_RUU, 0, 3, nan3, pi3, 0, &err), SILR_EDOMAIN);
    assert_int_equal(silr_risk_init(&r, SILR_RISK_RUU, 0, 65, alike, pi3, 0, &err), SILR_EINPUT);
    assert_int_equal(silr_risk_init(&r, SILR_RISK_PN, 0, 2, backwards, pi, 0, &err), SILR_OK);
    assert_int_equal(silr_risk_init(&r, SILR_RISK_RUU, 0, 2, close, pi, 0, &err), SILR_OK);
    near(r.c[0], .5 * .5 / .02, 1e-12, "D counts as 0.02");
    assert_int_equal(silr_risk_init(&r, SILR_RISK_RUU, 0, 3, alike, pi3, 0, &err), SILR_OK);
    assert_true(r.smallest_singular < 1e-6 && r.mixed > 0 && r.mixed < 1);
    for (int i = 0; i < 9; i++)
        assert_true(fabs(r.c[i]) < 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_names_of_one_risk),
        cmocka_unit_test(two_classes_are_k_classes),
        cmocka_unit_test(pure_sets_give_supervised_risk),
        cmocka_unit_test(undoes_the_mixing),
        cmocka_unit_test(unbiased_under_random_flips),
        cmocka_unit_test(naming_does_not_matter),
        cmocka_unit_test(gradients_are_differences),
        cmocka_unit_test(gate_follows_averages),
        cmocka_unit_test(stops_where_theta_says),
        cmocka_unit_test(workers_agree),
        cmocka_unit_test(nothing_is_not_a_number),
        cmocka_unit_test(float_losses_are_close),
        cmocka_unit_test(refuses_and_repairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
