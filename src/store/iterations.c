/* iterations.c - what each iteration found: its priors, its losses, every document's label. */
#include "store/internal.h"
#include <math.h>
#include <string.h>

/* --- priors as JSON ---------------------------------------------------------------------------- */

/* The arrays of silr_priors by name; `square`: K*K numbers, else K. */
typedef struct {
    const char *name;
    size_t offset;
    bool square;
} array_field;
static const array_field arrays[] = {
    {"theta", offsetof(silr_priors, theta), true},
    {"rho", offsetof(silr_priors, rho), false},
    {"pi", offsetof(silr_priors, pi), false},
    {"n_eff", offsetof(silr_priors, n_eff), false},
    {"hits", offsetof(silr_priors, hits), false},
    {"theta_low", offsetof(silr_priors, theta_low), false},
    {"theta_high", offsetof(silr_priors, theta_high), false},
    {"pi_low", offsetof(silr_priors, pi_low), false},
    {"pi_high", offsetof(silr_priors, pi_high), false},
};
enum { N_ARRAYS = sizeof arrays / sizeof arrays[0] };

static size_t array_length(const array_field *f, int K)
{
    return f->square ? (size_t)K * (size_t)K : (size_t)K;
}

/* silr_buf_number drops the sign of -0. */
static void put_number(silr_buf *b, double v)
{
    if (v == 0 && signbit(v))
        silr_buf_puts(b, "-0.0");
    else
        silr_buf_number(b, v, 17);
}

static void priors_to_json(silr_buf *b, const silr_priors *p)
{
    silr_buf_printf(b, "{\"version\":1,\"K\":%d,\"known\":%s", p->K, p->known ? "true" : "false");
    for (size_t a = 0; a < N_ARRAYS; a++) {
        const double *v = (const double *)(const void *)((const char *)p + arrays[a].offset);
        silr_buf_printf(b, ",\"%s\":[", arrays[a].name);
        for (size_t i = 0; i < array_length(&arrays[a], p->K); i++) {
            if (i > 0)
                silr_buf_putc(b, ',');
            put_number(b, v[i]);
        }
        silr_buf_putc(b, ']');
    }
    silr_buf_puts(b, ",\"p_d_positive\":");
    put_number(b, p->p_d_positive);
    silr_buf_puts(b, ",\"p_d_margin\":");
    put_number(b, p->p_d_margin);
    silr_buf_putc(b, '}');
}

/* The reader takes exactly what the writer writes, in its order: it needs no memory, and anything
 * else is damage. */
static bool take(const char **at, const char *literal)
{
    size_t len = strlen(literal);
    if (strncmp(*at, literal, len) != 0)
        return false;
    *at += len;
    return true;
}

static bool take_number(const char **at, double *out)
{
    char token[32];
    size_t len = strspn(*at, "+-.0123456789eE");

    if (take(at, "null")) {
        *out = (double)NAN;
        return true;
    }
    if (len == 0 || len >= sizeof token)
        return false;
    memcpy(token, *at, len);
    token[len] = '\0';
    *at += len;
    return silr_parse_double(token, out);
}

static bool take_array(const char **at, const char *name, double *v, size_t n)
{
    if (!take(at, ",\"") || !take(at, name) || !take(at, "\":["))
        return false;
    for (size_t i = 0; i < n; i++)
        if ((i > 0 && !take(at, ",")) || !take_number(at, &v[i]))
            return false;
    return take(at, "]");
}

static bool priors_from_json(silr_priors *p, const char *text)
{
    double K;

    *p = (silr_priors){0};
    if (!take(&text, "{\"version\":1,\"K\":") || !take_number(&text, &K) || !(K >= 0) ||
        K > SILR_MAX_CLASSES || !take(&text, ",\"known\":"))
        return false;
    p->K = (int)K;
    p->known = take(&text, "true");
    if (!p->known && !take(&text, "false"))
        return false;
    for (size_t a = 0; a < N_ARRAYS; a++) {
        double *v = (double *)(void *)((char *)p + arrays[a].offset);
        if (!take_array(&text, arrays[a].name, v, array_length(&arrays[a], p->K)))
            return false;
    }
    return take(&text, ",\"p_d_positive\":") && take_number(&text, &p->p_d_positive) &&
           take(&text, ",\"p_d_margin\":") && take_number(&text, &p->p_d_margin) &&
           take(&text, "}") && *text == '\0';
}

/* --- an iteration ------------------------------------------------------------------------------ */

static silr_status write_record(silr_store *s, const silr_iteration *it, silr_error *err)
{
    silr_buf json = {0};
    silr_binder b = {0};
    silr_status st = silr_store_query(s, Q_ITERATION_ADD, &b.q, err);

    if (st != SILR_OK)
        return st;
    priors_to_json(&json, &it->priors);
    silr_bind_int(&b, it->iteration);
    silr_bind_text(&b, json.data);
    silr_bind_real(&b, it->train_loss);
    silr_bind_real(&b, it->validation_loss);
    silr_bind_int(&b, it->best_epoch);
    silr_bind_int(&b, it->accepted);
    silr_bind_real(&b, it->estimated.value);
    silr_bind_real(&b, it->estimated.low);
    silr_bind_real(&b, it->estimated.high);
    silr_bind_int(&b, it->flips);
    silr_bind_real(&b, it->seconds);
    silr_bind_text(&b, it->note);
    st = silr_store_run(s, b.q, json.failed ? SQLITE_NOMEM : b.rc, err);
    silr_buf_clear(&json);
    return st;
}

static silr_status write_labels(silr_store *s, int iteration, size_t n, const int *label,
                                const float *score, silr_error *err)
{
    signed char *labels = silr_alloc(n, 1);
    unsigned char *scores = silr_alloc(n, sizeof(float));
    silr_binder b = {0};
    silr_status st;

    if (!labels || !scores) {
        st = silr_fail_memory(err);
        goto done;
    }
    for (size_t i = 0; i < n; i++)
        labels[i] = (signed char)silr_store_label_out(label[i]);
    silr_store_floats_out(scores, score, n);
    if ((st = silr_store_query(s, Q_LABELS_ADD, &b.q, err)) != SILR_OK)
        goto done;
    silr_bind_int(&b, iteration);
    silr_bind_int(&b, (int64_t)n);
    silr_bind_blob(&b, labels, n);
    silr_bind_blob(&b, scores, n * sizeof(float));
    st = silr_store_run(s, b.q, b.rc, err);
done:
    silr_free(labels);
    silr_free(scores);
    return st;
}

silr_status silr_store_iteration(silr_store *s, const silr_iteration *it, size_t n,
                                 const int *label, const float *score, silr_error *err)
{
    bool own;
    silr_status st;

    SILR_ASSERT(it->priors.K >= 0 && it->priors.K <= SILR_MAX_CLASSES);
    if ((st = silr_store_enter(s, &own, err)) != SILR_OK)
        return st;
    if ((st = write_record(s, it, err)) == SILR_OK)
        st = write_labels(s, it->iteration, n, label, score, err);
    return silr_store_leave(s, own, st, err);
}

silr_status silr_store_iterations(silr_store *s, size_t *n_iterations, silr_error *err)
{
    sqlite3_stmt *q;
    int rc;
    silr_status st = silr_store_query(s, Q_ITERATION_COUNT, &q, err);

    *n_iterations = 0;
    if (st != SILR_OK)
        return st;
    if ((rc = sqlite3_step(q)) == SQLITE_ROW)
        *n_iterations = (size_t)sqlite3_column_int64(q, 0);
    else
        st = silr_store_fail(s, rc, err);
    sqlite3_reset(q);
    return st;
}

/* The step to the one row that must be there. */
static silr_status only_row(silr_store *s, sqlite3_stmt *q, int iteration, silr_error *err)
{
    int rc = sqlite3_bind_int(q, 1, iteration);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    if (rc == SQLITE_DONE)
        return silr_fail(err, SILR_EINPUT, "%s: iteration %d is not there", s->path, iteration);
    return rc == SQLITE_ROW ? SILR_OK : silr_store_fail(s, rc, err);
}

static double column_number(sqlite3_stmt *q, int at)
{
    return sqlite3_column_type(q, at) == SQLITE_NULL ? (double)NAN : sqlite3_column_double(q, at);
}

static silr_status read_record(silr_store *s, int iteration, silr_iteration *it, silr_error *err)
{
    sqlite3_stmt *q;
    const char *text;
    silr_status st = silr_store_query(s, Q_ITERATION_GET, &q, err);

    if (st != SILR_OK)
        return st;
    if ((st = only_row(s, q, iteration, err)) != SILR_OK)
        goto done;
    *it = (silr_iteration){.iteration = iteration};
    text = (const char *)sqlite3_column_text(q, 0);
    if (!text || !priors_from_json(&it->priors, text)) {
        st = silr_store_damaged(s, "the priors of an iteration cannot be read", err);
        goto done;
    }
    it->train_loss = column_number(q, 1);
    it->validation_loss = column_number(q, 2);
    it->best_epoch = sqlite3_column_int(q, 3);
    it->accepted = sqlite3_column_int(q, 4) != 0;
    it->estimated = (silr_interval){column_number(q, 5), column_number(q, 6), column_number(q, 7)};
    it->flips = sqlite3_column_int64(q, 8);
    it->seconds = column_number(q, 9);
    text = (const char *)sqlite3_column_text(q, 10);
    if (text)
        sqlite3_snprintf(sizeof it->note, it->note, "%s", text);
    else
        st = silr_store_damaged(s, "an iteration without a note", err);
done:
    sqlite3_reset(q);
    return st;
}

static silr_status read_labels(silr_store *s, int iteration, size_t n, int *label, float *score,
                               silr_error *err)
{
    sqlite3_stmt *q;
    const signed char *labels;
    const unsigned char *scores;
    silr_status st = silr_store_query(s, Q_LABELS_GET, &q, err);

    if (st != SILR_OK)
        return st;
    if ((st = only_row(s, q, iteration, err)) != SILR_OK)
        goto done;
    labels = sqlite3_column_blob(q, 1);
    scores = sqlite3_column_blob(q, 2);
    if (sqlite3_column_int64(q, 0) != (sqlite3_int64)n || (size_t)sqlite3_column_bytes(q, 1) != n ||
        (size_t)sqlite3_column_bytes(q, 2) / sizeof(float) != n || (n > 0 && (!labels || !scores))) {
        st = silr_store_damaged(s, "the labels of an iteration are not those of this corpus", err);
        goto done;
    }
    for (size_t i = 0; label && i < n; i++)
        if (!silr_store_label_in(labels[i], &label[i])) {
            st = silr_store_damaged(s, "an iteration holds a label that is no class", err);
            goto done;
        }
    if (score)
        silr_store_floats_in(score, scores, n);
done:
    sqlite3_reset(q);
    return st;
}

silr_status silr_store_iteration_get(silr_store *s, int iteration, silr_iteration *it, size_t n,
                                     int *label, float *score, silr_error *err)
{
    silr_status st = SILR_OK;

    if (it)
        st = read_record(s, iteration, it, err);
    if (st == SILR_OK && (label || score))
        st = read_labels(s, iteration, n, label, score, err);
    return st;
}

silr_status silr_store_epoch(silr_store *s, int iteration, int member, int epoch, double train_loss,
                             double validation_loss, bool best, silr_error *err)
{
    silr_binder b = {0};
    silr_status st = silr_store_query(s, Q_EPOCH_ADD, &b.q, err);

    if (st != SILR_OK)
        return st;
    silr_bind_int(&b, iteration);
    silr_bind_int(&b, member);
    silr_bind_int(&b, epoch);
    silr_bind_real(&b, train_loss);
    silr_bind_real(&b, validation_loss);
    silr_bind_int(&b, best);
    return silr_store_run(s, b.q, b.rc, err);
}
