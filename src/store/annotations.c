/* annotations.c - who said what of each document: the annotator's labels, and beside them what each
 * of several annotators and each round of self-refinement said.
 *
 * What comes back from the file is checked as foreign bytes are. */
#include "store/internal.h"
#include <math.h>
#include <string.h>

enum { RAW_MAX = 4000 }; /* bytes kept of an answer; the ledger has all of it */

/* The whole text where it is short, else its beginning, cut at a character. */
static size_t cut(const char *text)
{
    size_t len = text ? strlen(text) : 0;

    if (len <= RAW_MAX)
        return len;
    for (len = RAW_MAX; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80;)
        len--;
    return len;
}

static void bind_cut(silr_binder *b, const char *text)
{
    if (!text) {
        silr_bind_text(b, NULL);
        return;
    }
    if (b->rc == SQLITE_OK)
        b->rc = sqlite3_bind_text(b->q, ++b->at, text, (int)cut(text), SQLITE_STATIC);
}

static silr_status classes(silr_store *s, size_t *K, silr_error *err)
{
    sqlite3_stmt *q;
    silr_status st = silr_store_query(s, Q_CLASS_COUNT, &q, err);
    int more;

    *K = 0;
    if (st != SILR_OK || s->n_classes > 0) {
        *K = s->n_classes;
        return st;
    }
    if ((more = silr_store_next(s, q, err)) > 0)
        s->n_classes = (size_t)sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    if (more > 0 && (s->n_classes < 1 || s->n_classes > SILR_MAX_CLASSES)) {
        s->n_classes = 0;
        return silr_store_damaged(s, "a number of classes that cannot be", err);
    }
    *K = s->n_classes;
    return more < 0 ? (silr_status)more : SILR_OK;
}

silr_status silr_store_annotation(silr_store *s, int source, size_t doc, const silr_annotation *a,
                                  silr_error *err)
{
    unsigned char logp[SILR_MAX_CLASSES * sizeof(float)];
    silr_binder b = {0};
    size_t K = 0;
    silr_status st = silr_store_query(s, Q_ANNOTATION_ADD, &b.q, err);

    if (st != SILR_OK || (a->logp && (st = classes(s, &K, err)) != SILR_OK))
        return st;
    silr_bind_int(&b, source);
    silr_bind_int(&b, (int64_t)doc);
    silr_bind_int(&b, (int64_t)a->request);
    silr_bind_int(&b, silr_store_label_out(a->label));
    silr_bind_real(&b, (double)a->confidence);
    silr_bind_int(&b, (int64_t)a->basis);
    silr_bind_int(&b, (int64_t)a->votes);
    if (a->logp) {
        silr_store_floats_out(logp, a->logp, K);
        silr_bind_blob(&b, logp, K * sizeof(float));
    } else {
        silr_bind_text(&b, NULL);
    }
    silr_bind_int(&b, a->failed);
    bind_cut(&b, a->raw);
    bind_cut(&b, a->reason);
    return silr_store_run(s, b.q, b.rc, err);
}

silr_status silr_store_annotations(silr_store *s, int source, size_t n, int *label,
                                   float *confidence, bool *done, silr_error *err)
{
    sqlite3_stmt *q;
    int more;
    silr_status st = silr_store_query(s, Q_ANNOTATION_ALL, &q, err);

    for (size_t i = 0; i < n; i++) {
        if (label)
            label[i] = SILR_NO_LABEL;
        if (confidence)
            confidence[i] = NAN;
        if (done)
            done[i] = false;
    }
    if (st != SILR_OK)
        return st;
    sqlite3_bind_int(q, 1, source);
    while ((more = silr_store_next(s, q, err)) > 0) {
        size_t doc;
        int found;
        if (!silr_store_doc(q, 0, n, &doc) ||
            !silr_store_label_in(sqlite3_column_int64(q, 1), &found)) {
            more = silr_store_damaged(s, "an annotation of no document or class", err);
            break;
        }
        if (label)
            label[doc] = found;
        if (confidence && sqlite3_column_type(q, 2) != SQLITE_NULL)
            confidence[doc] = (float)sqlite3_column_double(q, 2);
        if (done)
            done[doc] = true;
    }
    sqlite3_reset(q);
    return more < 0 ? (silr_status)more : SILR_OK;
}

silr_status silr_store_evidence(silr_store *s, int source, size_t n, int K, float *logp,
                                size_t *with, silr_error *err)
{
    size_t bytes = (size_t)K * sizeof(float), doc;
    sqlite3_stmt *q;
    int more;
    silr_status st = silr_store_query(s, Q_EVIDENCE_ALL, &q, err);

    *with = 0;
    for (size_t i = 0; i < n * (size_t)K; i++)
        logp[i] = NAN;
    if (st != SILR_OK)
        return st;
    sqlite3_bind_int(q, 1, source);
    while ((more = silr_store_next(s, q, err)) > 0) {
        const unsigned char *blob = sqlite3_column_blob(q, 1);
        if (!silr_store_doc(q, 0, n, &doc) || !blob || (size_t)sqlite3_column_bytes(q, 1) != bytes) {
            more = silr_store_damaged(s, "log-probabilities of no document or of other classes", err);
            break;
        }
        silr_store_floats_in(logp + doc * (size_t)K, blob, (size_t)K);
        ++*with;
    }
    sqlite3_reset(q);
    return more < 0 ? (silr_status)more : SILR_OK;
}

/* --- sources ----------------------------------------------------------------------------------- */

static size_t count_at(sqlite3_stmt *q, int column)
{
    sqlite3_int64 v = sqlite3_column_int64(q, column);
    return v > 0 ? (size_t)v : 0;
}

static void take_source(silr_source_count *out, sqlite3_stmt *q)
{
    const char *name = (const char *)sqlite3_column_text(q, 1);

    *out = (silr_source_count){.source = sqlite3_column_int(q, 0), .asked = count_at(q, 2),
                         .labelled = count_at(q, 3), .abstained = count_at(q, 4),
                         .failed = count_at(q, 5)};
    for (int k = 0; k < 4; k++)
        out->basis[k] = count_at(q, 6 + k);
    sqlite3_snprintf(sizeof out->name, out->name, "%s", name ? name : "");
}

silr_status silr_store_sources(silr_store *s, silr_source_count *out, size_t room, size_t *n,
                               silr_error *err)
{
    sqlite3_stmt *q;
    int more;
    silr_status st = silr_store_query(s, Q_SOURCES, &q, err);

    *n = 0;
    if (st != SILR_OK)
        return st;
    while ((more = silr_store_next(s, q, err)) > 0) {
        if (*n < room)
            take_source(&out[*n], q);
        ++*n;
    }
    sqlite3_reset(q);
    return more < 0 ? (silr_status)more : SILR_OK;
}

silr_status silr_store_source_name(silr_store *s, int source, const char *name, silr_error *err)
{
    silr_binder b = {0};
    silr_status st = silr_store_query(s, Q_SOURCE_NAME, &b.q, err);

    if (st != SILR_OK)
        return st;
    silr_bind_int(&b, source);
    silr_bind_text(&b, name);
    return silr_store_run(s, b.q, b.rc, err);
}

silr_status silr_store_reasons(silr_store *s, bool failed, silr_store_reason each, void *ctx,
                               silr_error *err)
{
    sqlite3_stmt *q;
    int more = 0;
    silr_status st = silr_store_query(s, Q_REASONS, &q, err);

    if (st != SILR_OK)
        return st;
    sqlite3_bind_int(q, 1, failed);
    while (st == SILR_OK && (more = silr_store_next(s, q, err)) > 0) {
        const char *id = (const char *)sqlite3_column_text(q, 2);
        const char *reason = (const char *)sqlite3_column_text(q, 4);
        size_t doc;
        if (!silr_store_doc(q, 1, SIZE_MAX, &doc) || !id)
            st = silr_store_damaged(s, "an annotation of no document", err);
        else
            st = each(ctx, sqlite3_column_int(q, 0), doc, id,
                      (const char *)sqlite3_column_text(q, 3), reason ? reason : "", err);
    }
    sqlite3_reset(q);
    return more < 0 ? (silr_status)more : st;
}

static silr_status forget(silr_store *s, silr_query which, int source, silr_error *err)
{
    sqlite3_stmt *q;
    silr_status st = silr_store_query(s, which, &q, err);

    if (st != SILR_OK)
        return st;
    return silr_store_run(s, q, source >= 0 ? sqlite3_bind_int(q, 1, source) : SQLITE_OK, err);
}

silr_status silr_store_forget_failed(silr_store *s, size_t *n, silr_error *err)
{
    bool own;
    silr_status st = silr_store_enter(s, &own, err);

    *n = 0;
    if (st != SILR_OK)
        return st;
    if ((st = forget(s, Q_FORGET_USED, -1, err)) == SILR_OK) {
        *n = (size_t)sqlite3_changes(s->db);
        st = forget(s, Q_FORGET_FAILED, -1, err);
    }
    return silr_store_leave(s, own, st, err);
}

silr_status silr_store_forget_refinement(silr_store *s, silr_error *err)
{
    static const silr_query what[] = {Q_SAMPLE_CLEAR, Q_FORGET_ITERATIONS, Q_FORGET_LABELS,
                                      Q_FORGET_EPOCHS, Q_FINAL_CLEAR,       Q_FORGET_STATE};
    bool own;
    silr_status st = silr_store_enter(s, &own, err);

    if (st != SILR_OK)
        return st;
    for (size_t i = 0; st == SILR_OK && i < sizeof what / sizeof *what; i++)
        st = forget(s, what[i], -1, err);
    return silr_store_leave(s, own, st, err);
}

silr_status silr_store_forget_source(silr_store *s, int source, silr_error *err)
{
    return forget(s, Q_FORGET_SOURCE, source, err);
}

silr_ledger *silr_store_ledger(silr_store *s)
{
    return s->ledger;
}
