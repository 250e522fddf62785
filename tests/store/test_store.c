/* test_store.c - the run database keeps what it was given, whatever happens to the process.
 *
 * The store knows a task by its hash and its JSON, and a corpus by its digest, ids, hashes and
 * splits. Those few functions are played here by a made-up task and corpus, so that a hundred
 * thousand documents cost nothing and every setting can be turned. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/store.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- a made-up task and corpus ----------------------------------------------------------------- */

struct silr_corpus {
    size_t n;
    silr_sha256 digest;
};
static const char *task_json = "{\"seed\":1,\"threads\":2,\"refine\":{\"margin\":0.6}}";

size_t silr_corpus_size(const silr_corpus *c) { return c->n; }
const char *silr_corpus_id(const silr_corpus *c, size_t i)
{
    static char id[32];
    (void)c;
    snprintf(id, sizeof id, "text-%zu", i);
    return id;
}
uint64_t silr_corpus_hash(const silr_corpus *c, size_t i) { (void)c; return i * 0x9e3779b97f4a7c15u; }
silr_split silr_corpus_split(const silr_corpus *c, size_t i) { (void)c; return (silr_split)(i % 3); }
const silr_sha256 *silr_corpus_digest(const silr_corpus *c) { return &c->digest; }
void silr_task_to_json(const silr_task *task, silr_buf *out) { (void)task; silr_buf_puts(out, task_json); }
const silr_knob *silr_knobs(size_t *n)
{
    static const silr_knob knobs[] = {
        {.path = "seed", .changes_result = true},
        {.path = "threads", .changes_result = false},
        {.path = "refine.margin", .changes_result = true},
    };
    *n = sizeof knobs / sizeof knobs[0];
    return knobs;
}

static char *class_names[] = {"no", "maybe", "yes"};
static silr_task a_task(const char *hash)
{
    silr_task t = {.n_classes = 3, .classes = class_names};
    snprintf(t.hash.hex, sizeof t.hash.hex, "%s", hash);
    return t;
}
static silr_corpus a_corpus(size_t n)
{
    return (silr_corpus){.n = n, .digest = {"0123456789abcdef"}};
}

/* --- a folder a test --------------------------------------------------------------------------- */

static char dir[300], db_path[320];

static void remove_all(void)
{
    static const char *const names[] = {"run.db", "run.db-wal", "run.db-shm", "run.db-journal",
                                        ".lock"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[340];
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}
static int new_folder(void **state)
{
    const char *tmp = getenv("TMPDIR");
    (void)state;
    snprintf(dir, sizeof dir, "%s/silr-store-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        return -1;
    snprintf(db_path, sizeof db_path, "%s/run.db", dir);
    return 0;
}
static int drop_folder(void **state)
{
    (void)state;
    silr_mem_fail_at(0, false);
    remove_all();
    return 0;
}

static silr_error err;
#define GOOD(call)                                                                                 \
    do {                                                                                           \
        if ((call) != SILR_OK)                                                                     \
            fail_msg("%s: %s", #call, err.text);                                                   \
    } while (0)
static void says(const char *part)
{
    if (!strstr(err.text, part))
        fail_msg("\"%s\" is not in: %s", part, err.text);
}

static silr_store *reopen(void)
{
    silr_task t = a_task("aa");
    silr_corpus c = a_corpus(5);
    silr_store *s;
    GOOD(silr_store_open(&s, dir, &t, &c, &err));
    return s;
}

/* Runs a sentence of SQL behind the store's back. */
static void sql(const char *text)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* --- a small run, used by several tests --------------------------------------------------------- */

static const int labels5[5] = {0, 1, SILR_NO_LABEL, 2, 1};
static const float scores5[5] = {0.9f, 0.1f, NAN, 0.33333334f, 1e-30f};
static const float prob5[15] = {.8f, .1f, .1f, .2f, .7f, .1f, .3f, .3f, .4f, 0, 0, 1, .1f, .6f, .3f};

static silr_iteration an_iteration(int number)
{
    silr_iteration it = {.iteration = number, .train_loss = 0.1, .validation_loss = NAN, .best_epoch = 3,
                         .accepted = true, .estimated = {0.9, 0.8, 0.95}, .flips = 17, .seconds = 1.5,
                         .note = "as it should be"};
    it.priors.K = 3;
    it.priors.known = true;
    for (int i = 0; i < 9; i++)
        it.priors.theta[i] = 1.0 / (i + 3);
    for (int i = 0; i < 3; i++) {
        it.priors.rho[i] = it.priors.pi[i] = 1.0 / 3;
        it.priors.n_eff[i] = 1e17 + i;
        it.priors.hits[i] = 5;
        it.priors.theta_low[i] = -0.0;
        it.priors.theta_high[i] = NAN;
        it.priors.pi_low[i] = 4e-320;
        it.priors.pi_high[i] = 1;
    }
    it.priors.p_d_positive = 0.1 + 0.2;
    it.priors.p_d_margin = NAN;
    return it;
}

static silr_status write_run(silr_store *s, const silr_corpus *c, silr_error *e)
{
    uint32_t doc[2] = {1, 4};
    int truth[2] = {2, 0};
    double weight[2] = {0.7, 1.3};
    const silr_sample sample = {2, doc, truth, weight};
    const silr_iteration it = an_iteration(0);
    silr_status st;

    if ((st = silr_store_documents(s, c, e)) != SILR_OK || (st = silr_store_begin(s, e)) != SILR_OK)
        return st;
    for (size_t i = 0; st == SILR_OK && i < 5; i++) {
        const silr_annotation a = {.label = labels5[i], .confidence = scores5[i], .raw = "yes",
                                   .reason = i == 2 ? "no value" : NULL, .votes = UINT64_MAX - i};
        st = silr_store_annotation(s, 0, i, &a, e);
    }
    if (st == SILR_OK)
        st = silr_store_sample(s, &sample, e); /* joins the open transaction */
    if (st != SILR_OK) {
        silr_store_rollback(s);
        return st;
    }
    if ((st = silr_store_commit(s, e)) != SILR_OK ||
        (st = silr_store_iteration(s, &it, 5, labels5, scores5, e)) != SILR_OK ||
        (st = silr_store_epoch(s, 0, 1, 2, 0.5, NAN, true, e)) != SILR_OK ||
        (st = silr_store_set(s, "stage", "refined", 7, e)) != SILR_OK)
        return st;
    return silr_store_final(s, 5, 3, labels5, prob5, e);
}

static bool same_double(double a, double b)
{
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}
static bool same_priors(const silr_priors *a, const silr_priors *b)
{
    bool same = a->K == b->K && a->known == b->known && same_double(a->p_d_positive, b->p_d_positive) &&
                same_double(a->p_d_margin, b->p_d_margin);
    for (int i = 0; i < a->K * a->K; i++)
        same = same && same_double(a->theta[i], b->theta[i]);
    for (int i = 0; i < a->K; i++)
        same = same && same_double(a->rho[i], b->rho[i]) && same_double(a->n_eff[i], b->n_eff[i]) &&
               same_double(a->theta_low[i], b->theta_low[i]) &&
               same_double(a->theta_high[i], b->theta_high[i]) && same_double(a->pi_low[i], b->pi_low[i]);
    return same;
}
static bool same_float(float a, float b)
{
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

/* What was written comes back to the bit: NaN, -0, the smallest numbers, 64-bit hashes. */
static void check_run(silr_store *s)
{
    const silr_iteration want = an_iteration(0);
    silr_iteration it;
    silr_sample sample;
    silr_buf b = {0};
    int label[5];
    float score[5], prob[15];
    bool done[5], present;
    size_t n;

    GOOD(silr_store_annotations(s, 0, 5, label, score, done, &err));
    for (int i = 0; i < 5; i++)
        assert_true(done[i] && label[i] == labels5[i] && same_float(score[i], scores5[i]));
    GOOD(silr_store_sample_get(s, &sample, &present, &err));
    assert_true(present && sample.n == 2 && sample.doc[1] == 4 && sample.truth[0] == 2);
    assert_true(same_double(sample.weight[1], 1.3));
    silr_free(sample.doc);
    silr_free(sample.truth);
    silr_free(sample.weight);
    GOOD(silr_store_iterations(s, &n, &err));
    assert_int_equal(n, 1);
    memset(label, 0, sizeof label);
    GOOD(silr_store_iteration_get(s, 0, &it, 5, label, score, &err));
    assert_true(same_priors(&it.priors, &want.priors));
    assert_true(same_double(it.train_loss, 0.1) && isnan(it.validation_loss) && it.best_epoch == 3);
    assert_true(it.accepted && it.flips == 17 && same_double(it.estimated.low, 0.8));
    assert_string_equal(it.note, want.note);
    for (int i = 0; i < 5; i++)
        assert_true(label[i] == labels5[i] && same_float(score[i], scores5[i]));
    GOOD(silr_store_final_get(s, 5, 3, label, prob, &present, &err));
    assert_true(present);
    assert_memory_equal(label, labels5, sizeof label);
    assert_memory_equal(prob, prob5, sizeof prob);
    GOOD(silr_store_get(s, "stage", &b, &err));
    assert_string_equal(b.data, "refined");
    silr_buf_clear(&b);
}

static void comes_back_to_the_bit(void **state)
{
    silr_corpus c = a_corpus(5);
    silr_store *s = reopen();
    silr_sample sample;
    silr_buf b = {0};
    bool present;
    (void)state;

    GOOD(silr_store_sample_get(s, &sample, &present, &err));
    assert_false(present);
    GOOD(silr_store_final_get(s, 5, 3, NULL, NULL, &present, &err));
    assert_false(present);
    GOOD(write_run(s, &c, &err));
    check_run(s);
    silr_store_close(s);
    s = reopen();
    GOOD(silr_store_documents(s, &c, &err)); /* written once: nothing to do */
    check_run(s);
    assert_int_equal(silr_store_iteration_get(s, 7, NULL, 5, (int[5]){0}, NULL, &err), SILR_EINPUT);
    says("iteration 7");
    GOOD(silr_store_unset(s, "stage", &err));
    GOOD(silr_store_get(s, "stage", &b, &err));
    assert_int_equal(b.len, 0);
    silr_buf_clear(&b);
    silr_store_close(s);

    GOOD(silr_store_open(&s, dir, NULL, NULL, &err)); /* a reader sees the same, and cannot write */
    assert_int_equal(silr_store_set(s, "x", "y", 1, &err), SILR_EIO);
    silr_store_close(s);
}

/* The sample of `labelled: given` is empty, and empty is not the same as not drawn yet. */
static void an_empty_sample_is_a_sample(void **state)
{
    silr_store *s = reopen();
    const silr_sample none = {0};
    silr_sample sample;
    bool present = false;
    (void)state;

    GOOD(silr_store_sample(s, &none, &err));
    GOOD(silr_store_sample_get(s, &sample, &present, &err));
    assert_true(present && sample.n == 0);
    silr_store_close(s);
}

/* --- killed ------------------------------------------------------------------------------------ */

/* A child commits `marks` one by one, then dies within a transaction. */
static void die_within_a_transaction(int committed)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        silr_task t = a_task("aa");
        silr_corpus c = a_corpus(5);
        silr_store *s;
        const silr_annotation a = {.label = 1, .confidence = NAN};
        if (silr_store_open(&s, dir, &t, &c, NULL) != SILR_OK ||
            silr_store_documents(s, &c, NULL) != SILR_OK)
            _exit(9);
        for (int i = 0; i < committed; i++)
            if (silr_store_annotation(s, 0, (size_t)i, &a, NULL) != SILR_OK)
                _exit(9);
        if (silr_store_begin(s, NULL) != SILR_OK ||
            silr_store_annotation(s, 0, (size_t)committed, &a, NULL) != SILR_OK)
            _exit(9);
        raise(SIGKILL);
    }
    assert_true(waitpid(pid, &status, 0) == pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* After each kill: what was committed is there, what was not is not, and the lock is free. */
static void a_kill_loses_nothing_committed(void **state)
{
    (void)state;
    for (int committed = 0; committed < 4; committed++) {
        bool done[5];
        silr_store *s;
        die_within_a_transaction(committed);
        s = reopen();
        GOOD(silr_store_annotations(s, 0, 5, NULL, NULL, done, &err));
        for (int i = 0; i < 5; i++)
            assert_int_equal(done[i], i < committed);
        silr_store_close(s);
    }
    die_within_a_transaction(4); /* leaves a WAL: a reader must see through it */
    {
        bool done[5];
        silr_store *s;
        GOOD(silr_store_open(&s, dir, NULL, NULL, &err));
        GOOD(silr_store_annotations(s, 0, 5, NULL, NULL, done, &err));
        assert_true(done[3] && !done[4]);
        silr_store_close(s);
    }
}

/* Killed at any moment of its life, also while the file is being made. */
static void a_kill_at_any_instant(void **state)
{
    (void)state;
    for (int round = 0; round < 25; round++) {
        silr_store *s;
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            silr_task t = a_task("aa");
            silr_corpus c = a_corpus(5);
            for (;;) {
                if (silr_store_open(&s, dir, &t, &c, NULL) != SILR_OK || write_run(s, &c, NULL) != SILR_OK)
                    _exit(9);
                silr_store_close(s);
            }
        }
        usleep((useconds_t)(round * 700));
        kill(pid, SIGKILL);
        assert_true(waitpid(pid, NULL, 0) == pid);
        s = reopen();
        if (round == 24) {
            silr_corpus c = a_corpus(5);
            GOOD(write_run(s, &c, &err));
            check_run(s);
        }
        silr_store_close(s);
        if (round % 3 == 0 && round < 24)
            unlink(db_path);
    }
}

/* --- the wrong folder --------------------------------------------------------------------------- */

static void one_process_at_a_time(void **state)
{
    silr_store *s = reopen(), *other;
    silr_task t = a_task("aa");
    int status;
    pid_t pid;
    (void)state;

    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        silr_error e;
        char want[64];
        bool refused = silr_store_open(&other, dir, &t, NULL, &e) == SILR_EIO && !other;
        snprintf(want, sizeof want, "(process %d)", (int)getppid());
        refused = refused && strstr(e.text, want) && strstr(e.text, "another silr is working on");
        _exit(refused && silr_store_open(&other, dir, NULL, NULL, &e) == SILR_OK ? 0 : 1);
    }
    assert_true(waitpid(pid, &status, 0) == pid);
    assert_int_equal(status, 0); /* the second writer is refused, a reader is not */
    silr_store_close(s);
    silr_store_close(reopen()); /* and the lock goes with its owner */
}

static void another_task_is_named(void **state)
{
    const char *const before = task_json;
    silr_task other = a_task("bb");
    silr_store *s = reopen();
    (void)state;

    silr_store_close(s);
    task_json = "{\"seed\":2,\"threads\":8,\"refine\":{\"margin\":0.5}}";
    assert_int_equal(silr_store_open(&s, dir, &other, NULL, &err), SILR_EINPUT);
    says("seed is 1 there, 2 here");
    says("refine.margin is 0.6 there, 0.5 here");
    says("use another --out, or delete the folder");
    assert_null(strstr(err.text, "threads")); /* changes no result, so it is not the reason */
    task_json = "{\"seed\":2,\"a\":1,\"b\":2,\"c\":[3],\"refine\":{\"margin\":0.6}}";
    assert_int_equal(silr_store_open(&s, dir, &other, NULL, &err), SILR_EINPUT);
    says("a is not set there, 1 here");
    says("and 1 more");
    task_json = before;
}

/* Annotations serve a task that differs in what comes after them, until an iteration was made of
 * them; a prompt with examples of the labelled sample depends on that too. */
static void annotations_serve_later_settings(void **state)
{
    const char *const before = task_json;
    silr_annotation a = {.label = 2, .confidence = NAN};
    silr_iteration it = an_iteration(0);
    silr_task other = a_task("bb");
    silr_store *s = reopen();
    int label[5];
    (void)state;

    GOOD(silr_store_annotation(s, 0, 3, &a, &err));
    silr_store_close(s);
    task_json = "{\"seed\":1,\"labelled\":{\"file\":\"gold.csv\"},\"refine\":{\"margin\":0.5}}";
    other.annotator.chat.draw_examples = 4;
    assert_int_equal(silr_store_open(&s, dir, &other, NULL, &err), SILR_EINPUT);
    other.annotator.chat.draw_examples = 0;
    GOOD(silr_store_open(&s, dir, &other, NULL, &err));
    GOOD(silr_store_annotations(s, 0, 5, label, NULL, NULL, &err));
    assert_int_equal(label[3], 2);
    silr_store_close(s);
    GOOD(silr_store_open(&s, dir, &other, NULL, &err)); /* it is this task's now */
    GOOD(silr_store_iteration(s, &it, 5, labels5, scores5, &err));
    silr_store_close(s);
    task_json = before;
    other = a_task("aa");
    assert_int_equal(silr_store_open(&s, dir, &other, NULL, &err), SILR_EINPUT);
    says("refine.margin is 0.5 there, 0.6 here");
}

static void another_corpus_is_refused(void **state)
{
    silr_task t = a_task("aa");
    silr_corpus c = a_corpus(5);
    silr_store *s = reopen();
    (void)state;

    silr_store_close(s);
    c.digest.hex[0] = 'f';
    assert_int_equal(silr_store_open(&s, dir, &t, &c, &err), SILR_EINPUT);
    says("the corpus has changed");
    assert_null(s);
    GOOD(silr_store_open(&s, dir, &t, NULL, &err)); /* not asked, not checked */
    silr_store_close(s);
}

static void a_newer_schema_is_refused(void **state)
{
    silr_buf before = {0}, after = {0};
    silr_task t = a_task("aa");
    silr_store *s = reopen();
    (void)state;

    silr_store_close(s);
    sql("PRAGMA user_version=7");
    assert_int_equal(silr_store_open(&s, dir, &t, NULL, &err), SILR_EINPUT);
    says("made by a newer silr (schema 7, this one knows 2)");
    assert_int_equal(silr_store_open(&s, dir, NULL, NULL, &err), SILR_EINPUT);
    says("newer silr");
    sql("PRAGMA application_id=1;PRAGMA journal_mode=DELETE");
    GOOD(silr_file_read(&before, db_path, 1 << 24, &err));
    assert_int_equal(silr_store_open(&s, dir, &t, NULL, &err), SILR_EINPUT);
    says("another program");
    GOOD(silr_file_read(&after, db_path, 1 << 24, &err)); /* and is left as it was */
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, after.len);
    silr_buf_clear(&before);
    silr_buf_clear(&after);
}

static void not_a_run_folder(void **state)
{
    char path[340];
    silr_task t = a_task("aa");
    silr_store *s;
    FILE *f;
    (void)state;

    assert_int_equal(silr_store_open(&s, dir, NULL, NULL, &err), SILR_EINPUT);
    says("not a run folder");
    snprintf(path, sizeof path, "%s/.lock", dir);
    assert_non_null(f = fopen(path, "w"));
    fclose(f);
    assert_int_equal(silr_store_open(&s, path, &t, NULL, &err), SILR_EIO);
    says("not a folder");
    assert_non_null(f = fopen(db_path, "w"));
    for (int i = 0; i < 9999; i++)
        fputs("this is not a database ", f);
    fclose(f);
    assert_int_equal(silr_store_open(&s, dir, &t, NULL, &err), SILR_EINPUT);
    says("run.db: not a run database or damaged");
    assert_int_equal(silr_store_open(&s, dir, NULL, NULL, &err), SILR_EINPUT);
    says("not a run database");
}

/* --- foreign bytes ------------------------------------------------------------------------------ */

/* Values that silr never wrote: a clear error, no crash, no index out of the corpus. */
static void impossible_rows_are_refused(void **state)
{
    silr_corpus c = a_corpus(5);
    int label[5];
    float score[15];
    silr_sample sample;
    silr_iteration it;
    bool present;
    silr_store *s = reopen();
    (void)state;

    GOOD(write_run(s, &c, &err));
    silr_store_close(s);
    sql("INSERT INTO annotations VALUES(0,99,1,1,NULL,0,0,NULL,0,NULL,NULL);"
        "UPDATE labels SET label=x'0001020340';UPDATE final SET prob=x'00' WHERE doc=2;"
        "UPDATE sample SET truth=64 WHERE doc=4;"
        "UPDATE iterations SET priors='{\"version\":1,\"K\":65}'");
    s = reopen();
    assert_int_equal(silr_store_annotations(s, 0, 5, label, NULL, NULL, &err), SILR_EINPUT);
    says("run.db: not a run database or damaged");
    assert_int_equal(silr_store_sample_get(s, &sample, &present, &err), SILR_EINPUT);
    assert_int_equal(silr_store_iteration_get(s, 0, NULL, 5, label, NULL, &err), SILR_EINPUT);
    assert_int_equal(silr_store_iteration_get(s, 0, NULL, 6, label, NULL, &err), SILR_EINPUT);
    assert_int_equal(silr_store_iteration_get(s, 0, &it, 5, NULL, NULL, &err), SILR_EINPUT);
    assert_int_equal(silr_store_final_get(s, 5, 3, label, score, &present, &err), SILR_EINPUT);
    assert_false(present);
    silr_store_close(s);
    sql("DROP TABLE epochs");
    s = reopen();
    assert_int_equal(silr_store_epoch(s, 0, 0, 0, 0, 0, false, &err), SILR_EINPUT);
    silr_store_close(s);
}

/* Bytes overwritten all over the file: any answer but a crash or a hang. */
static void a_damaged_file_is_survived(void **state)
{
    silr_corpus c = a_corpus(5);
    silr_task t = a_task("aa");
    silr_buf whole = {0};
    silr_store *s = reopen();
    silr_rng r;
    (void)state;

    GOOD(write_run(s, &c, &err));
    silr_store_close(s);
    GOOD(silr_file_read(&whole, db_path, 1 << 24, &err));
    silr_rng_init(&r, 1, SILR_RNG_TEST, 0, 0);
    for (int round = 0; round < 60; round++) {
        FILE *f = fopen(db_path, "wb");
        int label[5];
        float score[15];
        bool present;
        silr_sample sample = {0};
        size_t n, keep = round % 4 == 0 ? silr_rng_below(&r, whole.len) : whole.len;
        assert_non_null(f);
        assert_int_equal(fwrite(whole.data, 1, keep, f), keep);
        for (int k = 0; k < 40; k++) {
            fseek(f, (long)silr_rng_below(&r, whole.len), SEEK_SET);
            fputc((int)silr_rng_below(&r, 256), f);
        }
        fclose(f);
        if (silr_store_open(&s, dir, &t, &c, &err) == SILR_OK) {
            silr_store_annotations(s, 0, 5, label, score, NULL, &err);
            silr_store_iterations(s, &n, &err);
            silr_store_iteration_get(s, 0, &(silr_iteration){0}, 5, label, score, &err);
            silr_store_final_get(s, 5, 3, label, score, &present, &err);
            if (silr_store_sample_get(s, &sample, &present, &err) == SILR_OK) {
                silr_free(sample.doc);
                silr_free(sample.truth);
                silr_free(sample.weight);
            }
        }
        silr_store_close(s);
    }
    silr_buf_clear(&whole);
}

/* --- disks -------------------------------------------------------------------------------------- */

/* A file-size limit stands for a full disk. The store says so, and what was stored goes on. */
static void a_full_disk_is_said_and_survived(void **state)
{
    enum { N = 20000 };
    silr_corpus big = a_corpus(N);
    silr_task t = a_task("aa");
    silr_store *s;
    int status;
    pid_t pid = fork();
    (void)state;

    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit limit = {200000, 200000};
        silr_error e = {0};
        signal(SIGXFSZ, SIG_IGN);
        if (silr_store_open(&s, dir, &t, &big, &e) != SILR_OK || setrlimit(RLIMIT_FSIZE, &limit) != 0)
            _exit(1);
        if (silr_store_set(s, "before", "kept", 4, &e) != SILR_OK)
            _exit(2);
        if (silr_store_documents(s, &big, &e) != SILR_EIO || !strstr(e.text, "run.db") ||
            !strstr(e.text, "same command again"))
            _exit(3);
        silr_store_close(s);
        _exit(0);
    }
    assert_true(waitpid(pid, &status, 0) == pid);
    assert_int_equal(status, 0);
    {
        silr_buf b = {0};
        GOOD(silr_store_open(&s, dir, &t, &big, &err));
        GOOD(silr_store_get(s, "before", &b, &err));
        assert_string_equal(b.data, "kept");
        silr_buf_clear(&b);
        GOOD(silr_store_documents(s, &big, &err)); /* there is room again */
        silr_store_close(s);
    }
}

/* Root may write everywhere, so the child steps down first. */
static void a_read_only_folder(void **state)
{
    silr_store *s = reopen();
    silr_corpus c = a_corpus(5);
    int status;
    pid_t pid;
    (void)state;

    GOOD(write_run(s, &c, &err));
    silr_store_close(s);
    assert_int_equal(chmod(dir, 0555), 0);
    assert_int_equal(chmod(db_path, 0444), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        silr_task t = a_task("aa");
        silr_error e = {0};
        int label[5];
        bool present;
        if (geteuid() == 0 && setuid(65534) != 0)
            _exit(77);
        if (silr_store_open(&s, dir, &t, NULL, &e) != SILR_EIO || !strstr(e.text, "another --out"))
            _exit(1);
        /* but a finished run can be shown from an archive */
        if (silr_store_open(&s, dir, NULL, NULL, &e) != SILR_OK ||
            silr_store_final_get(s, 5, 3, label, NULL, &present, &e) != SILR_OK || label[3] != 2)
            _exit(2);
        silr_store_close(s);
        _exit(0);
    }
    assert_true(waitpid(pid, &status, 0) == pid);
    chmod(dir, 0755);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip(); /* cannot become an ordinary user here */
    assert_int_equal(status, 0);
}

/* --- memory ------------------------------------------------------------------------------------- */

/* Each allocation of a small run fails once; always the same clear error, and the folder opens
 * and goes on afterwards. */
static void each_allocation_fails_in_turn(void **state)
{
    silr_task t = a_task("aa");
    silr_corpus c = a_corpus(5);
    silr_status st = SILR_ENOMEM;
    (void)state;

    for (uint64_t n = 1; n < 5000; n += 1 + n / 60) {
        silr_store *s = NULL;
        silr_error e = {0};
        silr_mem_fail_at(n, false);
        st = silr_store_open(&s, dir, &t, &c, &e);
        if (st == SILR_OK)
            st = write_run(s, &c, &e);
        silr_mem_fail_at(0, false);
        silr_store_close(s);
        if (st != SILR_OK && st != SILR_ENOMEM)
            fail_msg("allocation %d: status %d: %s", (int)n, st, e.text);
        if (st == SILR_ENOMEM)
            assert_string_not_equal(e.text, "");
    }
    {
        silr_store *s = reopen();
        GOOD(write_run(s, &c, &err));
        check_run(s);
        silr_store_close(s);
    }
}

/* The same for reading: an answer that could not be brought is no memory, never "damaged". */
static void reading_without_memory(void **state)
{
    silr_corpus c = a_corpus(5);
    silr_task t = a_task("aa");
    silr_store *s = reopen();
    (void)state;

    GOOD(write_run(s, &c, &err));
    silr_store_close(s);
    for (uint64_t n = 1; n < 3000; n += 1 + n / 60) {
        silr_iteration it;
        silr_sample sample = {0};
        silr_error e = {0};
        int label[5];
        float score[15];
        bool present;
        silr_status st;
        s = NULL;
        silr_mem_fail_at(n, true);
        if ((st = silr_store_open(&s, dir, &t, &c, &e)) == SILR_OK &&
            (st = silr_store_annotations(s, 0, 5, label, score, NULL, &e)) == SILR_OK &&
            (st = silr_store_iteration_get(s, 0, &it, 5, label, score, &e)) == SILR_OK &&
            (st = silr_store_final_get(s, 5, 3, label, score, &present, &e)) == SILR_OK)
            st = silr_store_sample_get(s, &sample, &present, &e);
        silr_mem_fail_at(0, false);
        silr_free(sample.doc);
        silr_free(sample.truth);
        silr_free(sample.weight);
        silr_store_close(s);
        if (st != SILR_OK && st != SILR_ENOMEM)
            fail_msg("allocation %d: status %d: %s", (int)n, st, e.text);
    }
}

/* --- size --------------------------------------------------------------------------------------- */

/* 100,000 documents: a resume that only looks must be far below a second. The bounds are wide,
 * because the machine may be busy; they catch a transaction a row. */
static void a_hundred_thousand_documents(void **state)
{
    enum { N = 100000 };
    silr_corpus c = a_corpus(N);
    silr_task t = a_task("aa");
    silr_store *s;
    int *label = calloc(N, sizeof *label);
    float *prob = calloc(N * 2, sizeof *prob);
    bool *done = calloc(N, sizeof *done), present;
    const silr_iteration it = an_iteration(0);
    double start = silr_now(), wrote, read;
    (void)state;

    assert_true(label && prob && done);
    GOOD(silr_store_open(&s, dir, &t, &c, &err));
    GOOD(silr_store_documents(s, &c, &err));
    GOOD(silr_store_begin(s, &err));
    for (size_t i = 0; i < N; i++) {
        const silr_annotation a = {.label = (int)(i % 2), .confidence = 0.5f};
        GOOD(silr_store_annotation(s, 0, i, &a, &err));
    }
    GOOD(silr_store_commit(s, &err));
    GOOD(silr_store_iteration(s, &it, N, label, prob, &err));
    GOOD(silr_store_final(s, N, 2, label, prob, &err));
    silr_store_close(s);
    wrote = silr_now() - start;
    start = silr_now();
    GOOD(silr_store_open(&s, dir, &t, &c, &err));
    GOOD(silr_store_documents(s, &c, &err));
    GOOD(silr_store_annotations(s, 0, N, label, NULL, done, &err));
    assert_true(done[N - 1] && label[N - 1] == 1);
    GOOD(silr_store_iteration_get(s, 0, NULL, N, label, prob, &err));
    GOOD(silr_store_final_get(s, N, 2, label, prob, &present, &err));
    silr_store_close(s);
    read = silr_now() - start;
    print_message("100,000 documents: written in %.2f s, read in %.2f s\n", wrote, read);
    assert_true(wrote < 30 && read < 10);
    free(label);
    free(prob);
    free(done);
}

int main(void)
{
#define IN_A_FOLDER(f) cmocka_unit_test_setup_teardown(f, new_folder, drop_folder)
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(comes_back_to_the_bit),
        IN_A_FOLDER(an_empty_sample_is_a_sample),
        IN_A_FOLDER(a_kill_loses_nothing_committed),
        IN_A_FOLDER(a_kill_at_any_instant),
        IN_A_FOLDER(one_process_at_a_time),
        IN_A_FOLDER(another_task_is_named),
        IN_A_FOLDER(annotations_serve_later_settings),
        IN_A_FOLDER(another_corpus_is_refused),
        IN_A_FOLDER(a_newer_schema_is_refused),
        IN_A_FOLDER(not_a_run_folder),
        IN_A_FOLDER(impossible_rows_are_refused),
        IN_A_FOLDER(a_damaged_file_is_survived),
        IN_A_FOLDER(a_full_disk_is_said_and_survived),
        IN_A_FOLDER(a_read_only_folder),
        IN_A_FOLDER(each_allocation_fails_in_turn),
        IN_A_FOLDER(reading_without_memory),
        IN_A_FOLDER(a_hundred_thousand_documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
