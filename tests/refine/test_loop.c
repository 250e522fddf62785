/* test_loop.c - the refinement as a whole, on made-up texts: it helps, it is the same however often
 * it is stopped and by however many threads it is done, it learns from no truth but the sample's,
 * and it says so where it cannot go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "refine/ours.h"
#include "small_run.h"
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define QUICK "refine: {steps: 30, iterations: 2, folds: 3, label_folds: 3}\n"

static const small_corpus two = {.name = "two", .n = 260, .K = 2, .noise = 0.25, .abstain = 0.1,
                                 .rest = "labelled: {count: 40}\n" QUICK};
static const small_corpus three = {.name = "three", .n = 300, .K = 3, .noise = 0.3, .abstain = 0.1,
                                   .rest = "labelled: {count: 45}\n" QUICK};

/* Log-odds whose zero stands in the wrong place: .66 of their signs are right, of the best cut .79. */
static const small_corpus odds = {.name = "odds", .n = 260, .K = 2, .clear = 0.81, .shift = 1.2,
                                  .abstain = 0.1, .rest = "labelled: {count: 40}\n" QUICK};
static const small_corpus *const all[] = {&two, &three, &odds};
enum { ALL = sizeof all / sizeof *all };

static void go(const char *corpus, const char *run, small_outcome *o)
{
    silr_error err = {0};
    if (small_run(corpus, run, false, o, &err) != SILR_OK)
        fail_msg("%s in %s: %s", corpus, run, err.text);
}

static void proper(const small_outcome *o)
{
    assert_true(small_proper(o));
}

/* --- it helps (method.md F14, on texts) ------------------------------------------------------- */

static void labels_get_better(void **state)
{
    (void)state;

    for (int c = 0; c < ALL; c++) {
        small_outcome o;
        double abstained = 0, right = 0;
        go(all[c]->name, all[c]->name, &o);
        proper(&o);
        if (!(o.after > o.before + 0.05))
            fail_msg("%s: accuracy %.3f before, %.3f after", all[c]->name, o.before, o.after);
        assert_int_equal(o.iterations, 3);
        assert_true(o.last.accepted);
        assert_true(o.last.estimated.low < o.last.estimated.value &&
                    o.last.estimated.value < o.last.estimated.high);
        for (size_t i = 0; i < o.n; i++)
            if (o.initial[i] == SILR_NO_LABEL) {
                abstained++;
                right += o.label[i] == o.truth[i];
            }
        assert_true(abstained > 5 && right / abstained > 0.6); /* the classifier's answer */
        small_clear(&o);
    }
}

static void recipe_paper_runs(void **state)
{
    static const char *const how[] = {
        "risk: pn", "risk: uu", "risk: robust-uu", "risk: robust-uu, folds: 2", "risk: pn, loss: logistic"};
    (void)state;

    for (int K = 2; K <= 3; K++)
        for (size_t h = 0; h < sizeof how / sizeof *how; h++) {
            char rest[200], name[32];
            small_corpus c = K == 2 ? two : three;
            small_outcome o;
            snprintf(rest, sizeof rest, "labelled: {count: 60}\nrefine: {recipe: paper, iterations: "
                                        "2, epochs: 12, batch: 16, %s}\n", how[h]);
            snprintf(name, sizeof name, "paper-%d-%zu", K, h);
            c.name = name;
            c.rest = rest;
            small_write(&c);
            go(name, name, &o);
            proper(&o);
            if (!(o.after > o.before + 0.05))
                fail_msg("%s: accuracy %.3f before, %.3f after", how[h], o.before, o.after);
            assert_int_equal(o.iterations, 3);
            small_clear(&o);
        }
}

/* --- the same bytes --------------------------------------------------------------------------- */

static void threads_change_nothing(void **state)
{
    int had = omp_get_max_threads();
    (void)state;

    for (int c = 0; c < ALL; c++) {
        small_outcome a, b;
        char run[32];
        snprintf(run, sizeof run, "one-thread-%d", c);
        omp_set_num_threads(1);
        go(all[c]->name, run, &a);
        omp_set_num_threads(2);
        snprintf(run, sizeof run, "two-threads-%d", c);
        go(all[c]->name, run, &b);
        assert_true(small_same(&a, &b));
        small_clear(&a);
        small_clear(&b);
    }
    omp_set_num_threads(had);
}

/* Copies the store whenever an iteration is in it: what would be left of a process killed there. */
typedef struct {
    const char *run;
    int copies;
} copier;

static void copy_store(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    copier *c = ctx;
    char to[64];
    (void)done, (void)total;
    if (strcmp(what, "refining") != 0)
        return;
    snprintf(to, sizeof to, "%s-killed-%d", c->run, c->copies++);
    small_copy(c->run, to);
}

static void killed_runs_end_alike(const small_corpus *c, int iterations)
{
    small_outcome whole, again;
    copier k = {c->name, 0};
    silr_listener l = {.ctx = &k, .progress = copy_store};

    small_write(c);
    silr_log_listen(&l);
    go(c->name, c->name, &whole);
    silr_log_listen(NULL);
    assert_int_equal(k.copies, iterations + 1); /* before the first one too */
    assert_int_equal(whole.iterations, iterations + 1);
    for (int i = 0; i < k.copies; i++) {
        char run[64];
        snprintf(run, sizeof run, "%s-killed-%d", c->name, i);
        go(c->name, run, &again);
        if (!small_same(&whole, &again))
            fail_msg("%s: another outcome when killed after iteration %d", c->name, i);
        small_clear(&again);
    }
    small_clear(&whole);
}

static void killed_runs_go_on(void **state)
{
    static const struct {
        const char *name, *rest;
        int K, iterations; /* K = 1: two, with log-odds */
    } cases[] = {
        {"k-two", "labelled: {count: 40}\n" QUICK, 2, 2},
        {"k-three", "labelled: {count: 45}\n" QUICK, 3, 2},
        /* every iteration changes fewer than all: one is enough, and stays enough when resumed */
        {"k-settled",
         "labelled: {count: 40}\nrefine: {steps: 30, iterations: 3, stop_flips: 1}\n", 2, 1},
        {"k-odds", "labelled: {count: 40}\n" QUICK, 1, 2},
        {"k-none", "labelled: none\n" QUICK, 2, 2},
        {"k-oracle", "labelled: oracle\n" QUICK, 3, 2},
        {"k-paper",
         "labelled: {count: 40}\nrefine: {recipe: paper, iterations: 3, epochs: 2}\n", 2, 3},
        {"k-folds", "labelled: {count: 60}\nrefine: {recipe: paper, iterations: 2, folds: 2, "
                    "epochs: 2}\n", 3, 2},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        small_corpus c = cases[i].K == 1 ? odds : cases[i].K == 2 ? two : three;
        c.name = cases[i].name;
        c.rest = cases[i].rest;
        killed_runs_end_alike(&c, cases[i].iterations);
    }
}

/* What the guards reject leaves no trace: the labels are those of the iteration before,
 * and the classifier is fitted to them. */
static void rejected_iterations_are_undone(void **state)
{
    const char *const corpora[3] = {"k-two", "k-three", "k-odds"};
    (void)state;

    for (int c = 0; c < 3; c++) {
        char run[64];
        small_outcome whole, o;
        int *before;
        go(corpora[c], corpora[c], &whole);
        before = calloc(whole.n, sizeof *before);
        snprintf(run, sizeof run, "%s-rejected", corpora[c]);
        small_copy(corpora[c], run);
        assert_int_equal(small_reject(corpora[c], run, before), SILR_OK);
        go(corpora[c], run, &o);
        proper(&o);
        assert_false(o.last.accepted);
        for (size_t i = 0; i < o.n; i++)
            if (!o.learned[i] && !o.test[i] && o.initial[i] != SILR_NO_LABEL)
                assert_int_equal(o.label[i], before[i]);
        assert_false(small_same(&whole, &o));
        small_clear(&o);
        small_clear(&whole);
        free(before);
    }
}

/* Stops training at the first step after so many iterations. */
static void stop_after(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    const uint64_t *wanted = ctx;
    (void)total;
    if (strcmp(what, "refining") == 0 && done == *wanted)
        silr_cancel();
}

static void stopped_runs_go_on(void **state)
{
    small_outcome whole, again;
    silr_error err;
    uint64_t wanted = 1;
    silr_listener l = {.ctx = &wanted, .progress = stop_after};
    silr_status st;
    (void)state;

    go("three", "three", &whole); /* nothing to do: the outcome is there */
    silr_log_listen(&l);
    st = small_run("three", "stopped", false, NULL, &err);
    silr_log_listen(NULL);
    silr_cancel_reset();
    assert_int_equal(st, SILR_ECANCEL);
    go("three", "stopped", &again);
    assert_true(small_same(&whole, &again));
    small_clear(&whole);
    small_clear(&again);
}

/* --- what is learned from --------------------------------------------------------------------- */

/* method.md F13: other truths outside the sample, the same outcome. */
static void other_truths_change_nothing(void **state)
{
    (void)state;
    for (int c = 0; c < ALL; c++) {
        const small_corpus *as = all[c];
        small_outcome a, b;
        char name[32];
        snprintf(name, sizeof name, "scrambled-%d", c);
        go(as->name, as->name, &a);
        small_scramble(as, name, a.learned);
        go(name, name, &b);
        assert_true(small_same(&a, &b));
        assert_memory_equal(&a.last.estimated, &b.last.estimated, sizeof a.last.estimated);
        assert_true(b.before < 0.5); /* they were other truths indeed */
        small_clear(&a);
        small_clear(&b);
    }
}

/* The state of variant v in "refine.state": scores and labels of every row. */
static const char *state_of(const silr_buf *b, size_t v, size_t *len, size_t *variants)
{
    uint64_t head[4]; /* u32 magic, u32 done, u64 variants, u64 rows, u64 columns: 32 bytes */
    assert_true(b->len > sizeof head);
    memcpy(head, b->data, sizeof head);
    *variants = (size_t)head[1];
    *len = (size_t)head[2] * ((size_t)head[3] * sizeof(float) + sizeof(int));
    assert_int_equal(b->len, sizeof head + *variants * *len);
    return b->data + sizeof head + v * *len;
}

/* The certificate is honest: when the truth of one labelled text turns, exactly one variant does
 * not notice, in scores and labels to the bit: the one that judges that text. */
static void one_blind_to_each_label(const small_corpus *c)
{
    small_outcome a;
    silr_buf was = {0}, is = {0};

    go(c->name, c->name, &a);
    assert_int_equal(small_fact(c->name, c->name, "refine.state", &was), SILR_OK);
    for (size_t d = 0, turned = 0; d < a.n && turned < 3; d++) {
        size_t len, variants, blind = 0;
        char name[32];
        if (!a.learned[d] || d % 2 == 1)
            continue;
        snprintf(name, sizeof name, "%s-turned-%zu", c->name, turned++);
        small_turn(c, name, d);
        go(name, name, NULL);
        assert_int_equal(small_fact(name, name, "refine.state", &is), SILR_OK);
        assert_int_equal(was.len, is.len);
        state_of(&was, 0, &len, &variants);
        assert_int_equal(variants, 1 + 3);
        for (size_t v = 0; v < variants; v++)
            blind += memcmp(state_of(&was, v, &len, &variants), state_of(&is, v, &len, &variants),
                            len) == 0;
        assert_int_equal(blind, 1);
        assert_true(memcmp(state_of(&was, 0, &len, &variants), state_of(&is, 0, &len, &variants),
                           len) != 0);
        silr_buf_clear(&is);
    }
    silr_buf_clear(&was);
    small_clear(&a);
}

static void one_variant_never_sees_a_label(void **state)
{
    (void)state;
    one_blind_to_each_label(&three);
    one_blind_to_each_label(&odds);
}

/* A classifier that remembers what it was trained on: its score of a text is 0 unless the member
 * has seen it. */
typedef struct {
    silr_classifier c;
    size_t n;
    bool *seen; /* [members][n] */
} memory;

static silr_status m_reset(silr_classifier *c, const silr_adam *adam, uint64_t seed, size_t members,
                           silr_error *err)
{
    memory *m = (memory *)c;
    (void)adam, (void)seed;
    free(m->seen);
    m->seen = calloc(members * m->n, 1);
    c->members = members;
    return m->seen ? SILR_OK : silr_fail_memory(err);
}

static silr_status m_forward(silr_classifier *c, const uint32_t *docs, size_t n, float *scores,
                             silr_error *err)
{
    const memory *m = (const memory *)c;
    (void)err;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < c->members; k++)
            scores[i * c->members + k] = !m->seen[k * m->n + docs[i]] ? 0 : docs[i] % 2 ? 1 : -1;
    return SILR_OK;
}

static silr_status m_backward(silr_classifier *c, const uint32_t *docs, size_t n,
                              const float *dscores, silr_error *err)
{
    memory *m = (memory *)c;
    (void)err;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < c->members; k++)
            m->seen[k * m->n + docs[i]] |= dscores[i * c->members + k] != 0;
    return SILR_OK;
}

static silr_status m_step(silr_classifier *c, double lr, silr_error *err)
{
    (void)c, (void)lr, (void)err;
    return SILR_OK;
}

/* method.md F12. Every member has seen most texts, so a look at the wrong member is a score that is
 * not 0; all scores of the pool are. And folds: groups together, sizes and labels balanced. */
static void nobody_judges_what_he_saw(void **state)
{
    enum { N = 260, V = 2, F = 3 };
    char yaml[128], file[] = "two.yaml";
    silr_task *task = NULL;
    silr_corpus *corpus = NULL;
    silr_error err;
    memory m = {.c = {.kind = "memory", .K = 2, .columns = 1, .max_members = 64,
                      .reset = m_reset, .forward = m_forward, .backward = m_backward,
                      .step = m_step}, .n = N};
    uint32_t row[N], row_of[N], train[N], covered[N], doc[4] = {3, 50, 120, 200};
    int initial[N], human[N], side[N], label[V][N], out[N], truth[4] = {0, 1, 0, 1};
    uint8_t fold[N], label_fold[4];
    bool learns[V][4] = {{true, true, true, true}, {true, true, false, false}};
    double weight[4] = {1, 1, 1, 1}, loss;
    float zbar[V][N] = {{0}};
    silr_variant *v = calloc(V, sizeof *v);
    silr_loop l = {.K = 2, .C = 1, .n = N, .initial = initial, .human = human, .row = row,
                   .row_of = row_of, .n_rows = N, .n_pool = N, .classifier = &m.c,
                   .sample = {4, doc, truth, weight}};
    silr_ours o = {.loop = &l, .F = F, .J = 2, .n_variants = V, .variant = v, .fold = fold,
                   .label_fold = label_fold, .train = train, .covered = covered, .side = side};
    size_t size[F] = {0}, of_label[F][2] = {{0}};
    (void)state;

    assert_int_equal(silr_task_read(&task, small_folder(file, yaml), NULL, 0, &err), SILR_OK);
    assert_int_equal(silr_corpus_read(&corpus, task, NULL, NULL, &err), SILR_OK);
    l.task = task;
    l.corpus = corpus;
    for (uint32_t i = 0; i < N; i++) {
        row[i] = row_of[i] = train[i] = covered[i] = i;
        initial[i] = side[i] = (int)(i / 3) % 2;
        human[i] = SILR_NO_LABEL;
        label[0][i] = label[1][i] = out[i] = side[i];
    }
    o.n_train = o.n_covered = N;
    for (int a = 0; a < V; a++) {
        v[a].learns = learns[a];
        v[a].label = label[a];
        v[a].out = out;
        v[a].zbar = zbar[a];
    }
    assert_int_equal(silr_ours_folds(&o, &err), SILR_OK);
    for (size_t i = 0; i < N; i++) {
        assert_true(fold[i] < F);
        size[fold[i]]++;
        of_label[fold[i]][side[i]]++;
        for (size_t j = 0; j < i; j++)
            if (silr_corpus_group(corpus, i) == silr_corpus_group(corpus, j))
                assert_int_equal(fold[i], fold[j]);
    }
    for (int f = 1; f < F; f++) {
        assert_true(labs((long)size[f] - (long)size[0]) <= 2);
        for (int k = 0; k < 2; k++)
            assert_true(labs((long)of_label[f][k] - (long)of_label[0][k]) <= 1);
    }
    assert_int_equal(silr_ours_train(&o, 1, &loss, &err), SILR_OK);
    for (size_t f = 0; f < (size_t)V * F; f++) {
        size_t seen = 0;
        for (size_t d = 0; d < N; d++)
            seen += m.seen[f * N + d];
        assert_int_equal(seen, N - size[f % F]); /* all but its own fold */
    }
    for (int a = 0; a < V; a++)
        for (size_t i = 0; i < N; i++)
            assert_true(zbar[a][i] == 0);
    /* room for the models of one variant only: the same, one variant after the other */
    m.c.max_members = F + 1;
    assert_int_equal(silr_ours_train(&o, 2, &loss, &err), SILR_OK);
    assert_int_equal(m.c.members, F);
    for (int a = 0; a < V; a++)
        for (size_t i = 0; i < N; i++)
            assert_true(zbar[a][i] == 0);
    m.c.max_members = F - 1;
    assert_int_equal(silr_ours_train(&o, 3, &loss, &err), SILR_EINPUT);
    free(m.seen);
    free(v);
    silr_corpus_free(corpus);
    silr_task_free(task);
}

static int set_up(void **state)
{
    (void)state;
    small_start();
    for (int c = 0; c < ALL; c++)
        small_write(all[c]);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    small_end();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_get_better),
        cmocka_unit_test(recipe_paper_runs),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(killed_runs_go_on),
        cmocka_unit_test(rejected_iterations_are_undone),
        cmocka_unit_test(stopped_runs_go_on),
        cmocka_unit_test(other_truths_change_nothing),
        cmocka_unit_test(one_variant_never_sees_a_label),
        cmocka_unit_test(nobody_judges_what_he_saw),
    };
    if (getenv("SILR_TEST")) /* one of them alone */
        cmocka_set_test_filter(getenv("SILR_TEST"));
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
