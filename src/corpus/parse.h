/* parse.h - shared by read.c and parse.c: what a task wants of a row, and what a row gave. */
#ifndef SILR_CORPUS_PARSE_H
#define SILR_CORPUS_PARSE_H

#include "corpus/build.h"

typedef enum {
    SILR_ROLE_ID,
    SILR_ROLE_LABEL,
    SILR_ROLE_GROUP,
    SILR_ROLE_ANNOTATOR, /* the first of the annotators' columns */
    SILR_ROLES = SILR_ROLE_ANNOTATOR + SILR_KEPT_MAX - 1
} silr_role;
enum { SILR_WANTED_MAX = 64 }; /* bits of `seen` */

/* The columns that a task names, each once. */
typedef struct {
    const char *name[SILR_WANTED_MAX];
    size_t len[SILR_WANTED_MAX];
    const char *knob[SILR_WANTED_MAX]; /* that names it, for messages */
    bool text[SILR_WANTED_MAX];        /* part of the text */
    size_t n;
    int slot[SILR_ROLES]; /* -1: not asked for */
    const char *template_text;
    bool single;
    size_t max_bytes; /* 0: any */
    silr_arena names;
} silr_wanted;
silr_status silr_wanted_init(silr_wanted *w, const silr_task *task, silr_error *err);
void silr_wanted_clear(silr_wanted *w);

/* One row, as a thread leaves it for the one that puts the corpus together. */
typedef struct {
    silr_status status; /* SILR_EINPUT: a bad row, why; SILR_ENOMEM */
    bool bad_utf8, nul, cut, empty, final;
    int missing; /* slot of a text column that the row lacks; -1: none */
    uint32_t len;
    const char *text; /* in the thread's arena */
    const char *why;
    const char *value[SILR_ROLES]; /* NULL: null, missing, empty; live as long as the batch */
    uint64_t seen;                 /* bit k: slot k is in the row */
    uint64_t line;
    silr_fold fold;
} silr_parsed;

/* A thread's own things. */
typedef struct {
    silr_fields fields;
    silr_buf text, fold, repair;
    silr_arena *texts; /* kept as long as the corpus */
    silr_arena batch;  /* cleared before the next batch */
    bool failed;       /* could not be set up */
} silr_worker;
void silr_parse_row(const silr_wanted *w, const silr_source *s, silr_record *r, silr_worker *own,
                    silr_parsed *out);

#endif
