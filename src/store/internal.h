/* internal.h - shared by the files of store/, unknown outside. */
#ifndef SILR_STORE_INTERNAL_H
#define SILR_STORE_INTERNAL_H

#include "store/store.h"
#include <sqlite3.h>

/* Every statement that is used more than once an opening is prepared once and kept. */
typedef enum {
    Q_BEGIN,
    Q_COMMIT,
    Q_META_SET,
    Q_META_GET,
    Q_META_UNSET,
    Q_CLASS_ADD,
    Q_DOCUMENT_ADD,
    Q_DOCUMENT_COUNT,
    Q_ANNOTATION_ADD,
    Q_ANNOTATION_ALL,
    Q_SAMPLE_CLEAR,
    Q_SAMPLE_ADD,
    Q_SAMPLE_ALL,
    Q_ITERATION_ADD,
    Q_ITERATION_GET,
    Q_ITERATION_COUNT,
    Q_LABELS_ADD,
    Q_LABELS_GET,
    Q_EPOCH_ADD,
    Q_FINAL_CLEAR,
    Q_FINAL_ADD,
    Q_FINAL_ALL,
    Q_COUNT
} silr_query;

struct silr_store {
    sqlite3 *db;
    char *dir, *path; /* the run's folder, and its run.db */
    int lock;         /* descriptor that holds the lock; -1: read only */
    sqlite3_stmt *stmt[Q_COUNT];
};

/* schema.c */
extern const char *const silr_store_sql[Q_COUNT];
/* Whose file is it? SILR_EINPUT: another program's, or a newer silr's. */
silr_status silr_store_look(silr_store *s, bool *empty, silr_error *err);
/* Gives an empty file the schema, inside the caller's transaction. */
silr_status silr_store_create(silr_store *s, silr_error *err);

/* taskdiff.c: SILR_EINPUT with the settings that differ. */
silr_status silr_store_task_differs(const silr_store *s, const silr_task *task, const char *stored,
                                    size_t len, silr_error *err);

/* store.c: what SQLite's code rc means for us. */
silr_status silr_store_fail(const silr_store *s, int rc, silr_error *err);
silr_status silr_store_damaged(const silr_store *s, const char *what, silr_error *err);
/* The kept statement, reset, with no values bound. */
silr_status silr_store_query(silr_store *s, silr_query q, sqlite3_stmt **out, silr_error *err);
/* Runs a statement that returns no rows, with its binding result `rc`, and resets it. */
silr_status silr_store_run(silr_store *s, sqlite3_stmt *q, int rc, silr_error *err);

/* Values for ?1, ?2, ... one after the other; the first failure stays in rc. Texts and blobs are
 * bound without a copy: they must live until silr_store_run. */
typedef struct {
    sqlite3_stmt *q;
    int at, rc;
} silr_binder;
void silr_bind_int(silr_binder *b, int64_t v);
void silr_bind_real(silr_binder *b, double v);      /* NaN becomes NULL */
void silr_bind_text(silr_binder *b, const char *v); /* NULL becomes NULL */
void silr_bind_blob(silr_binder *b, const void *v, size_t len);
/* What must be all or nothing: begins a transaction unless the caller has; ends it by `st`. */
silr_status silr_store_enter(silr_store *s, bool *own, silr_error *err);
silr_status silr_store_leave(silr_store *s, bool own, silr_status st, silr_error *err);

/* Labels on disk: -1 stands for SILR_NO_LABEL. */
static inline int silr_store_label_out(int label)
{
    return label == SILR_NO_LABEL ? -1 : label;
}
static inline bool silr_store_label_in(int64_t stored, int *label)
{
    if (stored < -1 || stored >= SILR_MAX_CLASSES)
        return false;
    *label = stored < 0 ? SILR_NO_LABEL : (int)stored;
    return true;
}
/* Floats on disk: IEEE 754, little-endian. */
void silr_store_floats_out(unsigned char *to, const float *from, size_t n);
void silr_store_floats_in(float *to, const unsigned char *from, size_t n);

#endif
