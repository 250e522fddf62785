/* internal.h - shared by the files of store/, unknown outside. */
#ifndef SILR_STORE_INTERNAL_H
#define SILR_STORE_INTERNAL_H

#include "db/db.h"
#include "store/store.h"

/* Every statement that is used more than once an opening is prepared once and kept. */
typedef enum {
    Q_BEGIN,
    Q_COMMIT,
    Q_META_SET,
    Q_META_GET,
    Q_META_UNSET,
    Q_CLASS_ADD,
    Q_CLASS_COUNT,
    Q_DOCUMENT_ADD,
    Q_DOCUMENT_COUNT,
    Q_ANNOTATION_ADD,
    Q_ANNOTATION_ALL,
    Q_EVIDENCE_ALL,
    Q_SOURCES,
    Q_SOURCE_NAME,
    Q_REASONS,
    Q_FORGET_USED,
    Q_FORGET_FAILED,
    Q_FORGET_SOURCE,
    Q_FORGET_ITERATIONS,
    Q_FORGET_LABELS,
    Q_FORGET_EPOCHS,
    Q_FORGET_STATE,
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
    silr_ledger *ledger;
    size_t n_classes; /* 0: not asked for yet */
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

/* Whether there are differences, and all in settings that the annotations do not depend on. */
silr_status silr_store_task_later(const silr_task *task, const char *stored, size_t len, bool *later,
                                  silr_error *err);

/* store.c: what SQLite's code rc means for us. */
silr_status silr_store_fail(const silr_store *s, int rc, silr_error *err);
silr_status silr_store_damaged(const silr_store *s, const char *what, silr_error *err);
/* The kept statement, reset, with no values bound. */
silr_status silr_store_query(silr_store *s, silr_query q, sqlite3_stmt **out, silr_error *err);
/* Runs a statement that returns no rows, with its binding result `rc`, and resets it. */
silr_status silr_store_run(silr_store *s, sqlite3_stmt *q, int rc, silr_error *err);

/* The next row: 1; the end: 0; else a negative status. */
int silr_store_next(silr_store *s, sqlite3_stmt *q, silr_error *err);
/* The document in column `column`; false: not one of n. */
bool silr_store_doc(sqlite3_stmt *q, int column, size_t n, size_t *doc);
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

#endif
