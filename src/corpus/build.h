/* build.h - shared inside corpus/: what a corpus is made of while it is read and afterwards. */
#ifndef SILR_CORPUS_BUILD_H
#define SILR_CORPUS_BUILD_H

#include "corpus/source.h"

enum { SILR_KEPT_MAX = 25 }; /* group, the annotators' columns */

typedef struct {
    const char *text, *id;
    uint32_t len, group;
    int32_t truth;
    uint8_t split;
    bool empty;
} silr_document;

typedef struct {
    uint64_t low, high;
} silr_fold; /* 128 bits of a text after folding white space */

/* Strings, each kept once. Number 0 is NULL. */
typedef struct {
    silr_arena arena;
    const char **v; /* v[0] is NULL */
    size_t n, cap;
    uint32_t *table; /* mask + 1 slots of numbers; 0: free */
    size_t mask;
} silr_interned;
silr_status silr_intern(silr_interned *s, const char *value, uint32_t *number);
void silr_interned_clear(silr_interned *s);

/* The values of one column: a number a document. */
typedef struct {
    char *name;
    silr_interned values;
    uint32_t *number;
    size_t cap;
} silr_kept;

/* Documents by id. `next` counts how often the id was asked for again. */
typedef struct {
    struct silr_id_slot {
        uint32_t doc;  /* and 1; 0: free */
        uint32_t hash; /* of the id; most others are told apart without a look at them */
        uint32_t next;
    } * slot;
    size_t mask;
} silr_id_table;

struct silr_corpus {
    silr_document *doc;
    size_t n, cap, groups;
    silr_arena arena; /* ids */
    silr_arena *text; /* one a thread */
    size_t n_text;
    silr_kept kept[SILR_KEPT_MAX];
    size_t n_kept;
    char *text_column; /* NULL: a template */
    silr_id_table ids;
    silr_corpus_stats stats;
    silr_sha256 digest;
};

/* Gives the last document (c->doc[c->n - 1]) its id, made unique. */
silr_status silr_ids_add(silr_corpus *c, const char *id);
size_t silr_ids_find(const silr_corpus *c, const char *id);

/* Groups and split. group: the kept column whose equal values stay together, or NULL. */
silr_status silr_split_draw(silr_corpus *c, const silr_fold *fold, const silr_kept *group,
                            const silr_task *task);

#endif
