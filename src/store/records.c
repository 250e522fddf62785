/* records.c - documents, the labelled sample, the outcome.
 *
 * What comes back from the file is checked as foreign bytes are: an index outside the corpus or a
 * label that is no class means a damaged file, not a crash. */
#include "store/internal.h"
#include <math.h>
#include <string.h>

/* --- documents --------------------------------------------------------------------------------- */

static silr_status count_documents(silr_store *s, size_t *n, silr_error *err)
{
    sqlite3_stmt *q;
    silr_status st = silr_store_query(s, Q_DOCUMENT_COUNT, &q, err);
    int more;

    if (st != SILR_OK)
        return st;
    if ((more = silr_store_next(s, q, err)) > 0)
        *n = (size_t)sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    return more < 0 ? (silr_status)more : SILR_OK;
}

static silr_status add_document(silr_store *s, sqlite3_stmt *q, const silr_corpus *c, size_t i,
                                silr_error *err)
{
    silr_binder b = {.q = q};

    silr_bind_int(&b, (int64_t)i);
    silr_bind_text(&b, silr_corpus_id(c, i));
    silr_bind_int(&b, (int64_t)silr_corpus_hash(c, i));
    silr_bind_int(&b, (int64_t)silr_corpus_split(c, i));
    return silr_store_run(s, q, b.rc, err);
}

silr_status silr_store_documents(silr_store *s, const silr_corpus *c, silr_error *err)
{
    size_t n = silr_corpus_size(c), stored = 0;
    sqlite3_stmt *q;
    bool own;
    silr_status st;

    if ((st = count_documents(s, &stored, err)) != SILR_OK)
        return st;
    if (stored == n)
        return SILR_OK;
    if (stored > 0)
        return silr_fail(err, SILR_EINPUT,
                         "%s: holds %zu documents, the corpus has %zu; use another --out, or delete "
                         "the folder",
                         s->dir, stored, n);
    if ((st = silr_store_enter(s, &own, err)) != SILR_OK)
        return st;
    st = silr_store_query(s, Q_DOCUMENT_ADD, &q, err);
    for (size_t i = 0; st == SILR_OK && i < n; i++)
        st = add_document(s, q, c, i, err);
    return silr_store_leave(s, own, st, err);
}

/* --- the labelled sample ----------------------------------------------------------------------- */

static silr_status replace_sample(silr_store *s, const silr_sample *sample, silr_error *err)
{
    sqlite3_stmt *q;
    silr_status st = silr_store_query(s, Q_SAMPLE_CLEAR, &q, err);

    if (st == SILR_OK)
        st = silr_store_run(s, q, SQLITE_OK, err);
    if (st == SILR_OK)
        st = silr_store_query(s, Q_SAMPLE_ADD, &q, err);
    for (size_t i = 0; st == SILR_OK && i < sample->n; i++) {
        silr_binder b = {.q = q};
        silr_bind_int(&b, sample->doc[i]);
        silr_bind_int(&b, sample->truth[i]);
        silr_bind_real(&b, sample->weight[i]);
        st = silr_store_run(s, q, b.rc, err);
    }
    return st == SILR_OK ? silr_store_set(s, "sample", "drawn", 5, err) : st;
}

silr_status silr_store_sample(silr_store *s, const silr_sample *sample, silr_error *err)
{
    bool own;
    silr_status st = silr_store_enter(s, &own, err);

    if (st != SILR_OK)
        return st;
    return silr_store_leave(s, own, replace_sample(s, sample, err), err);
}

typedef struct {
    silr_sample sample;
    size_t cap[3];
} growing_sample;

static silr_status add_item(growing_sample *g, const silr_store *s, sqlite3_stmt *q, silr_error *err)
{
    silr_sample *t = &g->sample;
    size_t doc;
    int truth;

    if (!silr_store_doc(q, 0, UINT32_MAX, &doc) || !silr_store_label_in(sqlite3_column_int64(q, 1), &truth) ||
        truth == SILR_NO_LABEL)
        return silr_store_damaged(s, "a labelled text of no document or class", err);
    if (!silr_grow(&t->doc, &g->cap[0], t->n + 1, sizeof *t->doc) ||
        !silr_grow(&t->truth, &g->cap[1], t->n + 1, sizeof *t->truth) ||
        !silr_grow(&t->weight, &g->cap[2], t->n + 1, sizeof *t->weight))
        return silr_fail_memory(err);
    t->doc[t->n] = (uint32_t)doc;
    t->truth[t->n] = truth;
    t->weight[t->n++] = sqlite3_column_double(q, 2);
    return SILR_OK;
}

silr_status silr_store_sample_get(silr_store *s, silr_sample *sample, bool *present, silr_error *err)
{
    growing_sample g = {0};
    silr_buf mark = {0};
    sqlite3_stmt *q = NULL;
    int more = 0;
    silr_status st = silr_store_get(s, "sample", &mark, err);

    *sample = (silr_sample){0};
    *present = false;
    if (st != SILR_OK || mark.len == 0)
        goto done;
    if ((st = silr_store_query(s, Q_SAMPLE_ALL, &q, err)) != SILR_OK)
        goto done;
    while (st == SILR_OK && (more = silr_store_next(s, q, err)) > 0)
        st = add_item(&g, s, q, err);
    if (more < 0)
        st = (silr_status)more;
    sqlite3_reset(q);
    if (st != SILR_OK)
        goto done;
    *sample = g.sample;
    *present = true;
    g = (growing_sample){0};
done:
    silr_free(g.sample.doc);
    silr_free(g.sample.truth);
    silr_free(g.sample.weight);
    silr_buf_clear(&mark);
    return st;
}

/* --- the outcome ------------------------------------------------------------------------------- */

static silr_status add_final(silr_store *s, sqlite3_stmt *q, size_t i, int K, int label,
                             const float *prob, silr_error *err)
{
    unsigned char bytes[SILR_MAX_CLASSES * sizeof(float)];
    silr_binder b = {.q = q};

    silr_store_floats_out(bytes, prob, (size_t)K);
    silr_bind_int(&b, (int64_t)i);
    silr_bind_int(&b, silr_store_label_out(label));
    silr_bind_real(&b, label >= 0 && label < K ? (double)prob[label] : (double)NAN);
    silr_bind_blob(&b, bytes, (size_t)K * sizeof(float));
    return silr_store_run(s, q, b.rc, err);
}

silr_status silr_store_final(silr_store *s, size_t n, int K, const int *label, const float *prob,
                             silr_error *err)
{
    sqlite3_stmt *q;
    bool own;
    char classes[12];
    silr_status st;

    SILR_ASSERT(K >= 1 && K <= SILR_MAX_CLASSES);
    if ((st = silr_store_enter(s, &own, err)) != SILR_OK)
        return st;
    if ((st = silr_store_query(s, Q_FINAL_CLEAR, &q, err)) == SILR_OK)
        st = silr_store_run(s, q, SQLITE_OK, err);
    if (st == SILR_OK)
        st = silr_store_query(s, Q_FINAL_ADD, &q, err);
    for (size_t i = 0; st == SILR_OK && i < n; i++)
        st = add_final(s, q, i, K, label[i], prob + i * (size_t)K, err);
    sqlite3_snprintf(sizeof classes, classes, "%d", K);
    if (st == SILR_OK)
        st = silr_store_set(s, "final", classes, strlen(classes), err);
    return silr_store_leave(s, own, st, err);
}

static silr_status read_final(silr_store *s, size_t n, int K, int *label, float *prob,
                              silr_error *err)
{
    size_t rows = 0, doc, bytes = (size_t)K * sizeof(float);
    int more, found;
    sqlite3_stmt *q;
    silr_status st = silr_store_query(s, Q_FINAL_ALL, &q, err);

    if (st != SILR_OK)
        return st;
    while ((more = silr_store_next(s, q, err)) > 0) {
        const unsigned char *blob = sqlite3_column_blob(q, 2);
        if (!silr_store_doc(q, 0, n, &doc) || doc != rows ||
            !silr_store_label_in(sqlite3_column_int64(q, 1), &found) ||
            (size_t)sqlite3_column_bytes(q, 2) != bytes || !blob) {
            more = silr_store_damaged(s, "the final labels are not those of this corpus", err);
            break;
        }
        if (label)
            label[doc] = found;
        if (prob)
            silr_store_floats_in(prob + doc * (size_t)K, blob, (size_t)K);
        rows++;
    }
    sqlite3_reset(q);
    if (more < 0)
        return (silr_status)more;
    return rows == n ? SILR_OK : silr_store_damaged(s, "final labels are missing", err);
}

silr_status silr_store_final_get(silr_store *s, size_t n, int K, int *label, float *prob,
                                 bool *present, silr_error *err)
{
    silr_buf mark = {0};
    silr_status st = silr_store_get(s, "final", &mark, err);

    SILR_ASSERT(K >= 1 && K <= SILR_MAX_CLASSES);
    *present = st == SILR_OK && mark.len > 0;
    if (*present)
        st = read_final(s, n, K, label, prob, err);
    *present = *present && st == SILR_OK;
    silr_buf_clear(&mark);
    return st;
}
