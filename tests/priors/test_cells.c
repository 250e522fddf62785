/* test_cells.c - the estimate from cells against theta.c and against draws; the choice of the next
 * label against trying every one; and people who label, simulated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "priors/priors.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void near(double got, double want, double tolerance, const char *what)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s: %.17g, wanted %.17g within %g", what, got, want, tolerance);
}

static silr_rng stream(uint64_t index)
{
    silr_rng g;
    silr_rng_init(&g, 1, SILR_RNG_TEST, 1, index);
    return g;
}

/* A cell of two classes with n labels, `first` of them of class 0. */
static silr_cell two(int set, double size, double n, double first)
{
    return (silr_cell){.set = set, .left = 1000, .size = size, .n = n, .seen = {first, n - first}};
}

/* One cell a set: theta.c's numbers, for two classes and for three. */
static void one_cell_a_set(void **state)
{
    const int pseudo[8] = {0, 0, 0, 0, 1, 1, 2, 2}, truth[8] = {0, 0, 0, 1, 1, 1, 0, 2};
    const double counts[3] = {50, 30, 20};
    static silr_priors p, q;
    (void)state;

    for (int K = 2; K <= 3; K++) {
        silr_cell cell[3] = {{0}};
        size_t n = K == 2 ? 6 : 8;
        for (int j = 0; j < K; j++) {
            cell[j].set = j;
            cell[j].size = counts[j];
        }
        for (size_t i = 0; i < n; i++) {
            cell[pseudo[i]].n++;
            cell[pseudo[i]].seen[truth[i]]++;
        }
        silr_priors_cells(&p, K, cell, (size_t)K);
        silr_priors_estimate(&q, K, counts, n, pseudo, truth, NULL);
        for (int i = 0; i < K * K; i++)
            near(p.theta[i], q.theta[i], 1e-12, "theta");
        for (int j = 0; j < K; j++) {
            near(p.n_eff[j], q.n_eff[j], 1e-9, "n_eff");
            near(p.hits[j], q.hits[j], 1e-9, "hits");
            near(p.rho[j], q.rho[j], 1e-12, "rho");
            near(p.pi[j], q.pi[j], 1e-12, "pi");
        }
    }
}

/* .8 of a set with 9 right of 10, .2 with 6 of 10: theta by hand, and the variance that n_eff
 * stands for is that of drawing both parts. */
static void two_cells_by_hand(void **state)
{
    const silr_cell cell[3] = {two(0, 800, 10, 9), two(0, 200, 10, 6), two(1, 500, 10, 2)};
    static silr_priors p;
    double sum = 0, square = 0, theta = .8 * (9 + .8) / 11.6 + .2 * (6 + .2) / 10.4;
    silr_rng g = stream(3);
    (void)state;

    silr_priors_cells(&p, 2, cell, 3);
    near(p.theta[0], theta, 1e-12, "theta_p");
    near(p.theta[2], 3.0 / 12, 1e-12, "theta_n");
    near(p.rho[0], 2.0 / 3, 1e-12, "rho");
    for (int i = 0; i < 40000; i++) {
        double t = .8 * silr_rng_beta(&g, 9.8, 1.8) + .2 * silr_rng_beta(&g, 6.2, 4.2);
        sum += t;
        square += t * t;
    }
    sum /= 40000;
    near(sum, theta, 2e-3, "mean of draws");
    near(p.theta[0] * p.theta[1] / (p.n_eff[0] + 3), square / 40000 - sum * sum, 3e-4, "variance");
    assert_true(p.n_eff[0] < 20); /* 9 and 6 of 10: not much gained by telling the parts apart */
}

/* A sample's weights say which texts were drawn alike; with one weight a set nothing changes. */
static void cells_of_a_sample(void **state)
{
    enum { N = 30 };
    const silr_cell cell[3] = {two(0, 800, 10, 10), two(0, 200, 10, 6), two(1, 500, 10, 2)};
    const double counts[2] = {1000, 500};
    static silr_priors p, q;
    int pseudo[N], truth[N];
    double weight[N];
    (void)state;

    for (int i = 0; i < N; i++) {
        const silr_cell *c = &cell[i / 10];
        pseudo[i] = c->set;
        truth[i] = i % 10 >= (int)c->seen[0];
        weight[i] = c->size / c->n / 50;
    }
    silr_priors_drawn(&p, 2, counts, N, pseudo, truth, weight);
    silr_priors_cells(&q, 2, cell, 3);
    for (int i = 0; i < 4; i++)
        near(p.theta[i], q.theta[i], 1e-12, "theta");
    near(p.n_eff[0], q.n_eff[0], 1e-9, "n_eff");
    silr_priors_estimate(&q, 2, counts, N, pseudo, truth, weight);
    print_message("20 labels of two parts, 10 of 10 and 6 of 10: worth %.1f, by Kish %.1f\n",
                  p.n_eff[0], q.n_eff[0]);
    assert_true(p.n_eff[0] > 1.6 * q.n_eff[0]);
    for (int i = 0; i < N; i++)
        weight[i] = pseudo[i] ? 0.5 : 1.25;
    silr_priors_drawn(&p, 2, counts, N, pseudo, truth, weight);
    silr_priors_estimate(&q, 2, counts, N, pseudo, truth, weight);
    assert_memory_equal(&p, &q, sizeof p);
}

/* --- the choice -------------------------------------------------------------------------------- */

/* log Var(D) + log Var(accuracy) */
static double unsureness(const silr_cell *cell, size_t n)
{
    static silr_priors p;
    double d = 0, a = 0;

    silr_priors_cells(&p, 2, cell, n);
    for (int j = 0; j < 2; j++) {
        double v = p.theta[j * 2] * p.theta[j * 2 + 1] / (p.n_eff[j] + 3);
        d += v;
        a += p.rho[j] * p.rho[j] * v;
    }
    return log(d) + log(a);
}

/* Both answers are tried for every cell: the label that is chosen lessens what is unsure by as much
 * as any (but for the two labels that the rule adds for luck). */
static void picks_the_largest_fall(void **state)
{
    silr_rng g = stream(4);
    (void)state;

    for (int round = 0; round < 200; round++) {
        silr_cell cell[4];
        double least = 0, fall[4];
        size_t at;
        for (int c = 0; c < 4; c++) {
            double n = 10 + (double)silr_rng_below(&g, 50);
            cell[c] = two(c / 2, 100 + 900 * silr_rng_double(&g), n,
                          floor(n * (0.1 + 0.8 * silr_rng_double(&g))));
        }
        at = silr_cells_next(2, cell, 4, -1);
        for (int c = 0; c < 4; c++) {
            double pseudo = 2 * cell[c].size / (cell[c / 2 * 2].size + cell[c / 2 * 2 + 1].size);
            double yes = (cell[c].seen[0] + pseudo / 2) / (cell[c].n + pseudo);
            fall[c] = -unsureness(cell, 4);
            for (int answer = 0; answer < 2; answer++) {
                silr_cell then[4];
                memcpy(then, cell, sizeof then);
                then[c].n++;
                then[c].seen[answer]++;
                fall[c] += (answer == 0 ? yes : 1 - yes) * unsureness(then, 4);
            }
            least = fmin(least, fall[c]);
        }
        assert_true(fall[at] < 0 && fall[at] <= 0.9 * least);
    }
}

/* 600 labels more, each as expected: how many a set gets. */
static double share_of_first_set(double theta_p, double theta_n, double rho)
{
    silr_cell cell[2] = {two(0, 1000 * rho, 50, 50 * theta_p), two(1, 1000 * (1 - rho), 50, 50 * theta_n)};

    for (int i = 0; i < 600; i++)
        silr_cells_expect(2, cell, 2, silr_cells_next(2, cell, 2, -1));
    return cell[0].n / (cell[0].n + cell[1].n);
}

/* Alike sets: equal halves. Unequal sizes: between equal halves (best for D) and Neyman's .9 (best
 * for the accuracy). The less pure of two sets gets more. */
static void between_halves_and_neyman(void **state)
{
    double skewed = share_of_first_set(.8, .2, .9);
    (void)state;

    near(share_of_first_set(.8, .2, .5), .5, .01, "alike");
    assert_true(skewed > .6 && skewed < .85);
    assert_true(share_of_first_set(.5, .05, .5) > .55);
}

/* No text left, one set alone, and a cell that must not be without. */
static void rules_of_the_choice(void **state)
{
    silr_cell cell[3] = {two(0, 990, 2, 1), two(0, 10, 0, 0), two(1, 1000, 9, 0)};
    (void)state;

    assert_int_equal(silr_cells_next(2, cell, 3, -1), 0); /* it is small, and may wait */
    cell[0].n = 3;
    cell[0].seen[1] = 2;
    assert_int_equal(silr_cells_next(2, cell, 3, -1), 1); /* but not long */
    assert_int_equal(silr_cells_next(2, cell, 3, 1), 2);
    cell[1].left = 0;
    assert_int_equal(silr_cells_next(2, cell, 3, -1), 0);
    cell[0].left = cell[2].left = 0;
    assert_true(silr_cells_next(2, cell, 3, -1) == SIZE_MAX);
}

/* --- people who label, simulated --------------------------------------------------------------- */

typedef struct {
    int n_cells;
    int set[4];
    double rate[4], size[4]; /* of class 0 in the cell */
} world;

typedef struct {
    double labels;          /* until P(D > 0.05) reaches 0.95 */
    double d, accuracy;     /* root mean square errors with 50 labels */
    double bias[2];         /* of the raw theta_p, theta_n with 50 labels */
} outcome;

/* 10 a side, then by the rule or, `equal`, one a side in turn. */
static void label_one(const world *w, silr_cell *cell, int n, bool equal, silr_rng *g)
{
    size_t at = silr_cells_next(2, cell, (size_t)w->n_cells, n < 20 || equal ? n % 2 : -1);

    cell[at].n++;
    cell[at].seen[silr_rng_double(g) < w->rate[at] ? 0 : 1]++;
}

static void make_cells(const world *w, silr_cell *cell)
{
    for (int c = 0; c < w->n_cells; c++)
        cell[c] = two(w->set[c], w->size[c], 0, 0);
}

/* P(D > 0.05), by the normal curve. */
static double sure(const silr_priors *p)
{
    double v = 0;
    for (int j = 0; j < 2; j++)
        v += p->theta[j * 2] * p->theta[j * 2 + 1] / (p->n_eff[j] + 3);
    return 0.5 * erfc(-(p->theta[0] - p->theta[2] - 0.05) / sqrt(2 * v));
}

/* Goes on from the cells there are; at most 400 labels in all. */
static int go_on_until_sure(const world *w, silr_cell *cell, int n, bool equal, silr_rng *g)
{
    static silr_priors p;

    for (;;) {
        silr_priors_cells(&p, 2, cell, (size_t)w->n_cells);
        if (n >= 20 && (sure(&p) >= 0.95 || n == 400))
            return n;
        label_one(w, cell, n++, equal, g);
    }
}

static int labels_until_sure(const world *w, bool equal, silr_rng *g)
{
    silr_cell cell[4];

    make_cells(w, cell);
    return go_on_until_sure(w, cell, 0, equal, g);
}

/* The raw weighted mean, which is what must be without bias. */
static void raw_theta(const world *w, const silr_cell *cell, double theta[2])
{
    double size[2] = {0}, sum[2] = {0};

    for (int c = 0; c < w->n_cells; c++) {
        size[w->set[c]] += w->size[c];
        sum[w->set[c]] += w->size[c] * cell[c].seen[0] / cell[c].n;
    }
    for (int j = 0; j < 2; j++)
        theta[j] = sum[j] / size[j];
}

static outcome simulate(const world *w, bool equal, int runs, uint64_t index)
{
    silr_rng g = stream(index);
    outcome o = {0};
    double size[2] = {0}, truth[2] = {0}, rho;

    for (int c = 0; c < w->n_cells; c++) {
        size[w->set[c]] += w->size[c];
        truth[w->set[c]] += w->size[c] * w->rate[c];
    }
    rho = size[0] / (size[0] + size[1]);
    for (int j = 0; j < 2; j++)
        truth[j] /= size[j];
    for (int r = 0; r < runs; r++) {
        silr_cell cell[4];
        double t[2], e0, e1;
        o.labels += labels_until_sure(w, equal, &g) / (double)runs;
        make_cells(w, cell);
        for (int n = 0; n < 50; n++)
            label_one(w, cell, n, equal, &g);
        raw_theta(w, cell, t);
        e0 = t[0] - truth[0];
        e1 = t[1] - truth[1];
        o.bias[0] += e0 / runs;
        o.bias[1] += e1 / runs;
        o.d += (e0 - e1) * (e0 - e1) / runs;
        o.accuracy += (rho * e0 - (1 - rho) * e1) * (rho * e0 - (1 - rho) * e1) / runs;
    }
    o.d = sqrt(o.d);
    o.accuracy = sqrt(o.accuracy);
    return o;
}

/* The rule is as quick as equal halves, and with 50 labels closer to what is unequal: to D where one
 * side is purer, to the accuracy where one is larger. It never biases theta visibly. */
static void as_quick_as_equal_halves(void **state)
{
    static const struct {
        double theta_p, theta_n, rho, d, accuracy; /* errors, at most so much of equal halves' */
    } cases[] = {{.35, .02, .5, .95, .95},  {.98, .75, .5, .97, .97},  {.60, .05, .5, .97, .97},
                 {.80, .30, .5, 1.05, 1.05}, {.25, .02, .1, 1.17, .95}, {.97, .80, .9, 1.20, .93},
                 {.80, .20, .2, 1.12, .95}};
    double labels = 0, labels_equal = 0;
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const world w = {.n_cells = 2, .set = {0, 1}, .rate = {cases[i].theta_p, cases[i].theta_n},
                         .size = {1000 * cases[i].rho, 1000 * (1 - cases[i].rho)}};
        outcome o = simulate(&w, false, 1000, 10 + i), e = simulate(&w, true, 1000, 20 + i);
        print_message("theta %.2f %.2f, rho %.1f: until sure %.1f labels (equal halves %.1f); with 50: "
                      "D +-%.3f (%.3f), accuracy +-%.3f (%.3f), bias %+.4f %+.4f\n",
                      cases[i].theta_p, cases[i].theta_n, cases[i].rho, o.labels, e.labels, o.d, e.d,
                      o.accuracy, e.accuracy, o.bias[0], o.bias[1]);
        assert_true(o.labels <= 1.08 * e.labels);
        assert_true(o.d <= cases[i].d * e.d && o.accuracy <= cases[i].accuracy * e.accuracy);
        assert_true(fabs(o.bias[0]) < .01 && fabs(o.bias[1]) < .01);
        labels += o.labels;
        labels_equal += e.labels;
    }
    assert_true(labels <= 1.03 * labels_equal);
}

/* Annotators who agree on .8 of the texts and are mostly right there: knowing where they do saves
 * labels, and the estimate stays unbiased though texts that were disagreed on are drawn more often. */
static void disagreement_saves_labels(void **state)
{
    const world apart = {.n_cells = 4, .set = {0, 0, 1, 1}, .rate = {.30, .75, .01, .25},
                         .size = {800, 200, 800, 200}};
    const world blind = {.n_cells = 2, .set = {0, 1}, .rate = {.39, .058}, .size = {1000, 1000}};
    const world pure = {.n_cells = 4, .set = {0, 0, 1, 1}, .rate = {.98, .55, .01, .40},
                        .size = {800, 200, 800, 200}};
    const world pure_blind = {.n_cells = 2, .set = {0, 1}, .rate = {.894, .088}, .size = {1000, 1000}};
    outcome a = simulate(&apart, false, 800, 31), b = simulate(&blind, false, 800, 32);
    outcome c = simulate(&pure, false, 800, 33), d = simulate(&pure_blind, false, 800, 34);
    (void)state;

    print_message("disagreement known: until sure %.1f labels (unknown %.1f), D +-%.3f (%.3f), bias "
                  "%+.4f %+.4f\n", a.labels, b.labels, a.d, b.d, a.bias[0], a.bias[1]);
    print_message("purer sets: accuracy +-%.3f (%.3f), D +-%.3f (%.3f), bias %+.4f %+.4f\n", c.accuracy,
                  d.accuracy, c.d, d.d, c.bias[0], c.bias[1]);
    assert_true(a.labels < b.labels && a.d < b.d);
    assert_true(c.accuracy < .9 * d.accuracy && c.d < .9 * d.d);
    for (int j = 0; j < 2; j++)
        assert_true(fabs(a.bias[j]) < .01 && fabs(c.bias[j]) < .01);
}

/* How many labels more it says it takes after the first 20, against how many it takes. */
static size_t foreseen(const silr_cell *cell)
{
    static silr_priors now, then;
    silr_cell ahead[2];

    memcpy(ahead, cell, sizeof ahead);
    silr_priors_cells(&now, 2, cell, 2);
    for (size_t n = 1; n <= 400; n++) {
        silr_cells_expect(2, ahead, 2, silr_cells_next(2, ahead, 2, -1));
        silr_priors_cells(&then, 2, ahead, 2);
        if (silr_priors_reaches(&now, &then) >= 0.5)
            return n;
    }
    return 400;
}

static void foresees_how_many(void **state)
{
    enum { RUNS = 200 };
    static const double rate[4][2] = {{.25, .02}, {.8, .55}, {.6, .4}, {.97, .8}};
    silr_rng g = stream(50);
    (void)state;

    for (int i = 0; i < 4; i++) {
        const world w = {.n_cells = 2, .set = {0, 1}, .rate = {rate[i][0], rate[i][1]},
                         .size = {500, 500}};
        double said[RUNS], took[RUNS];
        size_t n = 0;
        for (int run = 0; run < RUNS; run++) {
            silr_cell cell[4];
            size_t more;
            make_cells(&w, cell);
            for (int k = 0; k < 20; k++)
                label_one(&w, cell, k, false, &g);
            more = foreseen(cell);
            took[n] = go_on_until_sure(&w, cell, 20, false, &g) - 20;
            said[n] = (double)more;
            n += took[n] > 0; /* else it was sure at once */
        }
        silr_sort_doubles(said, n);
        silr_sort_doubles(took, n);
        print_message("theta %.2f %.2f: foreseen %.0f labels, taken %.0f (medians)\n", rate[i][0],
                      rate[i][1], said[n / 2], took[n / 2]);
        assert_true(said[n / 2] < 2.6 * took[n / 2] && took[n / 2] < 2.6 * said[n / 2]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_cell_a_set),          cmocka_unit_test(two_cells_by_hand),
        cmocka_unit_test(cells_of_a_sample),       cmocka_unit_test(picks_the_largest_fall),
        cmocka_unit_test(between_halves_and_neyman), cmocka_unit_test(rules_of_the_choice),
        cmocka_unit_test(as_quick_as_equal_halves), cmocka_unit_test(disagreement_saves_labels),
        cmocka_unit_test(foresees_how_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
