/* source.h - shared inside corpus/: bytes, records, fields. Unknown outside.
 *
 *     bytes.c   a file, standard input or memory, unpacked            -> bytes
 *     source.c  a stretch of bytes that holds one row                 -> records
 *     json.c csv.c lines.c   one record, taken apart where it stands  -> fields
 *
 * Records are cut one after the other, which is cheap; they are taken apart by any number of
 * threads, which is not. A parser writes into its own record only: it unescapes in place and ends
 * every value with NUL, which is why a record has one writable byte behind it. */
#ifndef SILR_CORPUS_SOURCE_H
#define SILR_CORPUS_SOURCE_H

#include "corpus/corpus.h"
#include <openssl/evp.h>

enum {
    SILR_RECORD_MAX = 8 << 20, /* bytes of one row: more is a damaged file, not a document */
    SILR_COLUMNS_MAX = 4096,   /* columns of one row, where all of them are asked for */
    SILR_DEPTH_MAX = 64        /* objects in arrays in objects ... */
};

/* --- bytes.c ---------------------------------------------------------------------------------- */

typedef struct silr_bytes silr_bytes;
/* path "-": standard input. gzip and zstd are known by their first bytes. Every byte of the file
 * as it stands on disk is added to digest, when there is one. */
silr_status silr_bytes_open(silr_bytes **out, const char *path, EVP_MD_CTX *digest,
                            silr_error *err);
silr_status silr_bytes_open_memory(silr_bytes **out, const void *bytes, size_t len,
                                   const char *name, silr_error *err);
/* Up to cap bytes; *n = 0 is the end. SILR_EINPUT: truncated or damaged packing. */
silr_status silr_bytes_read(silr_bytes *b, void *to, size_t cap, size_t *n, silr_error *err);
silr_status silr_bytes_drain(silr_bytes *b, silr_error *err); /* the rest, for the digest alone */
void silr_bytes_close(silr_bytes *b);

/* The files of a task in the order in which they are read. silr_files_free them. */
silr_status silr_files_list(char ***out, size_t *n, const silr_task *task, silr_error *err);
void silr_files_free(char **paths, size_t n);
const char *silr_file_label(const char *path); /* as it stands in messages: "-" is "stdin" */

/* --- source.c --------------------------------------------------------------------------------- */

typedef struct {
    char *s;
    size_t len;
    uint64_t line;   /* of its first byte, 1-based */
    const char *bad; /* not NULL: it cannot be a row, and why */
    bool final;      /* and what follows cannot be trusted either */
} silr_record;

typedef struct silr_source {
    const char *name; /* for messages; owned */
    silr_bytes *in;
    silr_format format;
    char delimiter; /* of CSV and TSV */
    size_t n_header;
    char **header; /* columns of CSV and TSV */
    char *buf;     /* cap bytes and one more */
    size_t cap, at, scan,
        end;              /* record begins at `at`, looked through up to `scan`, filled to `end` */
    uint64_t line, lines; /* of the record at `at`; line ends met in it so far */
    int state;            /* of the CSV cutter */
    uint64_t quote_line;  /* where its last quote began */
    bool eof, skipping, started;
    char *owned_name;
} silr_source;

silr_status silr_source_open(silr_source **out, const char *path, silr_format format,
                             EVP_MD_CTX *digest, silr_error *err);
silr_status silr_source_open_memory(silr_source **out, const void *bytes, size_t len,
                                    const char *name, silr_format format, silr_error *err);
void silr_source_close(silr_source *s);
enum { SILR_END = 0, SILR_RECORD = 1, SILR_MORE = 2 };
/* SILR_RECORD, SILR_END, or negative. fill false: SILR_MORE where reading on would move the
 * records handed out before. fill true: those are gone. */
int silr_source_next(silr_source *s, silr_record *r, bool fill, silr_error *err);
silr_status silr_source_fill(silr_source *s, size_t want, silr_error *err);

/* --- fields ----------------------------------------------------------------------------------- */

typedef struct {
    const char *name;
    size_t name_len;
    char *value; /* ends with NUL; NULL: null */
    size_t len;
    silr_value_kind kind;
    bool surrogate; /* half of a surrogate pair stood here; now U+FFFD */
} silr_field;

/* What a parser fills. wanted: only these columns, in this order, `kind` SILR_VALUE_NONE where
 * the row lacks one; NULL: all, in the order of the row. */
typedef struct {
    const char *const *wanted;
    const size_t *wanted_len;
    size_t n, cap;
    silr_field *field;
    char why[200]; /* what is wrong with the row */
} silr_fields;

silr_status silr_fields_init(silr_fields *f, const char *const *wanted, const size_t *wanted_len,
                             size_t n);
void silr_fields_clear(silr_fields *f);
/* SILR_OK; SILR_EINPUT: a bad row, f->why; SILR_ENOMEM. */
silr_status silr_source_parse(const silr_source *s, silr_record *r, silr_fields *f);
/* A place for the column, or NULL: not wanted, or (then *st is set) no room. */
silr_field *silr_fields_place(silr_fields *f, const char *name, size_t len, silr_status *st);
silr_status silr_json_parse(silr_record *r, silr_fields *f);
silr_status silr_csv_parse(const silr_source *s, silr_record *r, silr_fields *f);
silr_status silr_csv_header(silr_source *s, silr_error *err);
silr_status silr_fasttext_parse(silr_record *r, silr_fields *f);
silr_status silr_plain_parse(silr_record *r, silr_fields *f);
enum { SILR_CSV_NEED, SILR_CSV_DONE };
/* Moves s->scan to the line end that ends the record; SILR_CSV_NEED: it is not in the buffer. */
int silr_csv_cut(silr_source *s);
bool silr_csv_open(const silr_source *s); /* inside quotes */

/* --- utf8.c ----------------------------------------------------------------------------------- */

bool silr_utf8_clean(const char *s, size_t len); /* valid, and without NUL */
/* Adds s with every maximal bad sequence as U+FFFD and every NUL as a space. */
void silr_utf8_repair(silr_buf *out, const char *s, size_t len, bool *bad, bool *nul);
size_t silr_utf8_cut(const char *s, size_t len, size_t max); /* bytes of whole characters */
/* s without white space at its ends and with one space for every run of it. false: no memory. */
bool silr_utf8_fold(silr_buf *out, const char *s, size_t len);

/* --- template.c ------------------------------------------------------------------------------- */

/* A template is a run of parts: literal text, or the name of a column. Without braces it is the
 * name of one column. *p moves on; 0 at the end; negative: a brace is not closed. */
typedef struct {
    const char *s;
    size_t len;
    bool column;
} silr_part;
bool silr_template_single(const char *text);
int silr_template_next(const char **p, silr_part *part);
silr_status silr_template_check(const char *text, silr_error *err);

/* --- rows.c ----------------------------------------------------------------------------------- */

silr_status silr_rows_open_memory(silr_rows **out, const void *bytes, size_t len, const char *name,
                                  silr_format format, silr_error *err);

#endif
