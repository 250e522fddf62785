/* corpus.c - what a corpus answers once it is read. */
#include "corpus/build.h"
#include <string.h>

const char *silr_split_name(silr_split s)
{
    static const char *const names[] = {"train", "validation", "test"};
    return (unsigned)s < 3 ? names[s] : "";
}

void silr_corpus_free(silr_corpus *c)
{
    if (!c)
        return;
    for (size_t k = 0; k < SILR_KEPT_MAX; k++) {
        silr_interned_clear(&c->kept[k].values);
        silr_free(c->kept[k].number);
        silr_free(c->kept[k].name);
    }
    for (size_t t = 0; t < c->n_text; t++)
        silr_arena_clear(&c->text[t]);
    silr_free(c->text);
    silr_arena_clear(&c->arena);
    silr_free(c->ids.slot);
    silr_free(c->text_column);
    silr_free(c->doc);
    silr_free(c);
}

size_t silr_corpus_size(const silr_corpus *c)
{
    return c->n;
}

const char *silr_corpus_text(const silr_corpus *c, size_t i, size_t *len)
{
    if (len)
        *len = c->doc[i].len;
    return c->doc[i].text;
}

const char *silr_corpus_id(const silr_corpus *c, size_t i)
{
    return c->doc[i].id;
}

bool silr_corpus_empty(const silr_corpus *c, size_t i)
{
    return c->doc[i].empty;
}

silr_split silr_corpus_split(const silr_corpus *c, size_t i)
{
    return (silr_split)c->doc[i].split;
}

uint32_t silr_corpus_group(const silr_corpus *c, size_t i)
{
    return c->doc[i].group;
}

size_t silr_corpus_groups(const silr_corpus *c)
{
    return c->groups;
}

uint64_t silr_corpus_hash(const silr_corpus *c, size_t i)
{
    const silr_document *d = &c->doc[i];
    return silr_hash64(d->text, d->len, silr_hash64(d->id, strlen(d->id), 0));
}

const char *silr_corpus_column(const silr_corpus *c, size_t i, const char *column)
{
    for (size_t k = 0; k < c->n_kept; k++)
        if (strcmp(c->kept[k].name, column) == 0)
            return c->kept[k].number[i] ? c->kept[k].values.v[c->kept[k].number[i]] : NULL;
    if (c->text_column && strcmp(c->text_column, column) == 0 && c->doc[i].len > 0)
        return c->doc[i].text;
    return NULL;
}

const silr_corpus_stats *silr_corpus_info(const silr_corpus *c)
{
    return &c->stats;
}

const silr_sha256 *silr_corpus_digest(const silr_corpus *c)
{
    return &c->digest;
}

int silr_corpus_truth(const silr_corpus *c, size_t i)
{
    return c->doc[i].truth;
}

size_t silr_corpus_find(const silr_corpus *c, const char *id)
{
    return silr_ids_find(c, id);
}
