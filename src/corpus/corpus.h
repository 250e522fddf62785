/* corpus.h - texts, and where they came from.
 *
 * A corpus owns its texts. What a getter returns is borrowed: it lives until silr_corpus_free.
 * Any number of threads may read one corpus. Documents keep the order of the input.
 *
 * The truth (a person's label) is here because it comes with the rows, but only priors/ (for the
 * labelled sample) and report/ (for evaluation) may call silr_corpus_truth. A test scrambles it. */
#ifndef SILR_CORPUS_H
#define SILR_CORPUS_H

#include "task/task.h"

typedef struct silr_corpus silr_corpus;

typedef enum { SILR_TRAIN, SILR_VALIDATION, SILR_TEST } silr_split;
const char *silr_split_name(silr_split s); /* "train", "validation", "test" */

/* What was found on the way in; shown by doctor and the report. */
typedef struct {
    size_t rows, documents;
    size_t empty;          /* texts of nothing but white space: kept, but never labelled or trained on */
    size_t bad_rows;       /* rows that could not be read; in failed.jsonl */
    size_t bad_utf8;       /* texts with bytes that were replaced by U+FFFD */
    size_t nul;            /* texts with NUL bytes, replaced by a space */
    size_t cut;            /* texts cut at corpus.max_bytes */
    size_t duplicates;     /* texts equal to an earlier one after folding white space */
    size_t missing_ids, duplicate_ids; /* got an id of their own: "row-7", "x#2" */
    size_t truths;         /* documents with a true label */
} silr_corpus_stats;

/* One bad row, reported as it is met: file, 1-based line, why. */
typedef silr_status (*silr_bad_row)(void *ctx, const char *file, uint64_t line, const char *why,
                                    silr_error *err);

/* Reads all files of the task: format by extension or task, .gz and .zst unpacked, "-" is stdin.
 * Keeps the columns that text (if it is one), group and the annotator name. Draws the split: whole
 * groups (equal texts after folding white space; equal `group`) by seed. Documents keep order.
 * bad NULL: the first bad row is an error. SILR_EINPUT: nothing readable, a column that does not
 * exist (with those that do), more than max_bad bad rows. */
silr_status silr_corpus_read(silr_corpus **out, const silr_task *task, silr_bad_row bad, void *ctx,
                             silr_error *err);
void silr_corpus_free(silr_corpus *c);

size_t silr_corpus_size(const silr_corpus *c);
const char *silr_corpus_text(const silr_corpus *c, size_t i, size_t *len);
const char *silr_corpus_id(const silr_corpus *c, size_t i);
bool silr_corpus_empty(const silr_corpus *c, size_t i); /* nothing but white space */
silr_split silr_corpus_split(const silr_corpus *c, size_t i);
/* Documents that must stay together have equal groups; 0 .. silr_corpus_groups()-1. */
uint32_t silr_corpus_group(const silr_corpus *c, size_t i);
size_t silr_corpus_groups(const silr_corpus *c);
uint64_t silr_corpus_hash(const silr_corpus *c, size_t i); /* of id and text */
/* Value of a kept column as text; NULL: null, missing or empty. Never that of `label`, unless it is
 * the annotator's column too. */
const char *silr_corpus_column(const silr_corpus *c, size_t i, const char *column);
const silr_corpus_stats *silr_corpus_info(const silr_corpus *c);
/* SHA-256 over the files' bytes as they are on disk, in order: the identity of the corpus, the same
 * with and without `limit`. Of standard input: over what was read of it. */
const silr_sha256 *silr_corpus_digest(const silr_corpus *c);

/* The true class of document i, or SILR_NO_LABEL. Only for priors/ and report/. */
int silr_corpus_truth(const silr_corpus *c, size_t i);

/* Finds a document by id; SIZE_MAX: none. */
size_t silr_corpus_find(const silr_corpus *c, const char *id);

/* The digest alone, without parsing (for a resume with nothing to do). SILR_EINPUT for stdin. */
silr_status silr_corpus_digest_files(silr_sha256 *out, const silr_task *task, silr_error *err);

/* --- rows without a task: predict, init ------------------------------------------------------ */

/* One row at a time, for streams that do not fit in memory and for guessing a format. A row is a
 * list of (column, value) pairs; values of JSON strings are unescaped, others as written; NULL is
 * null. Pointers live until the next call. */
typedef struct silr_rows silr_rows;
typedef enum { SILR_VALUE_NONE, SILR_VALUE_NULL, SILR_VALUE_STRING, SILR_VALUE_NUMBER,
               SILR_VALUE_BOOL, SILR_VALUE_NESTED } silr_value_kind;
typedef struct {
    size_t n;
    const char *const *names;
    const char *const *values; /* end with NUL, are valid UTF-8 */
    const size_t *lens;
    const unsigned char *kinds; /* silr_value_kind; may be NULL in a row made by hand */
    uint64_t line;
} silr_row;
/* path "-": stdin. format AUTO: by extension, else by the first bytes. */
silr_status silr_rows_open(silr_rows **out, const char *path, silr_format format, silr_error *err);
/* 1: a row; 0: the end; negative: a silr_status. SILR_EINPUT: this row is bad, the next call goes
 * on behind it; anything else is final, also a truncated or damaged file and a quote that is never
 * closed (SILR_EIO). */
int silr_rows_next(silr_rows *r, silr_row *row, silr_error *err);
silr_format silr_rows_format(const silr_rows *r);
void silr_rows_close(silr_rows *r);
/* The text of a row by the task's column or template. SILR_EINPUT: a column is missing. */
silr_status silr_row_text(const silr_row *row, const char *text_template, silr_buf *out,
                          silr_error *err);

#endif
