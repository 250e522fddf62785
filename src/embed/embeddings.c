/* embeddings.c - which texts lack a vector, and how they get one.
 *
 * Equal texts are one text. What the file has is taken from it; the others are worked on in the
 * order of the corpus, some thousands at a time, of these those of like length together, in blocks
 * of at most 256 texts and some ten thousand tokens, so that a block takes seconds and a kill loses
 * no more. Progress counts tokens: they are what takes time.
 *
 * Of several ranks each makes a share of as many blocks as there are ranks, a wave. The blocks are those
 * of one rank and are added in its order, so that the file has the same bytes. */
#include "embed/crew.h"
#include "embed/file.h"
#include "embed/half.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { STRETCH = 4096, BLOCK_TOKENS = 16384 };

struct silr_embeddings {
    size_t n, dim, made;
    uint64_t *at;   /* [n] where text i's halves lie in the file; 0: nowhere */
    char *map;
    size_t mapped;
};

void silr_embeddings_free(silr_embeddings *v)
{
    if (!v)
        return;
    if (v->map)
        munmap(v->map, v->mapped);
    silr_free(v->at);
    silr_free(v);
}

size_t silr_embeddings_size(const silr_embeddings *v)
{
    return v->n;
}

size_t silr_embeddings_dim(const silr_embeddings *v)
{
    return v->dim;
}

size_t silr_embeddings_made(const silr_embeddings *v)
{
    return v->made;
}

const uint16_t *silr_embeddings_row(const silr_embeddings *v, size_t i)
{
    return v->at[i] ? (const uint16_t *)(const void *)(v->map + v->at[i]) : NULL;
}

/* --- equal texts are one ------------------------------------------------------------------------ */

/* A text that is worked on, for all that are equal to it. */
typedef struct {
    silr_embed_key key;
    uint32_t doc;     /* the first */
    uint32_t tokens;
    uint64_t at;      /* 0: it has no vector yet */
} unique;

typedef struct {
    const silr_encoder *e;
    silr_embed_get get;
    const void *ctx;
    silr_embed_file file;
    unique *text;     /* [n_texts] by key, once they are found */
    size_t n_texts, n_missing;
    uint32_t *missing; /* [n_missing] -> text, in the order of the corpus */
    uint64_t done, total; /* tokens */
    silr_encoder own;  /* *e, for the crew */
    silr_crew *crew;
    /* Of a wave, room for ranks * SILR_EMBED_BLOCK texts: */
    const char **wave_text;
    size_t *wave_len;
    uint32_t *wave_tokens;
    float *vector;     /* [texts][dim] */
    size_t *block;     /* [ranks + 1] where its blocks begin in `missing` */
    uint16_t *half;    /* of one block */
} maker;

static int hex_digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

static silr_status key_of(silr_embed_key *key, const char *text, size_t len, silr_error *err)
{
    silr_sha256 sum;
    const silr_status st = silr_sha256_bytes(&sum, text, len, err);

    for (size_t i = 0; st == SILR_OK && i < sizeof key->byte; i++)
        key->byte[i] = (uint8_t)(hex_digit(sum.hex[2 * i]) << 4 | hex_digit(sum.hex[2 * i + 1]));
    return st;
}

static int by_key(const void *pa, const void *pb)
{
    const unique *a = pa, *b = pb;
    const int c = memcmp(&a->key, &b->key, sizeof a->key);

    return c ? c : a->doc < b->doc ? -1 : a->doc > b->doc;
}

static unique *find(const maker *k, const silr_embed_key *key)
{
    size_t low = 0, high = k->n_texts;

    while (low < high) {
        const size_t mid = (low + high) / 2;
        const int c = memcmp(&k->text[mid].key, key, sizeof *key);
        if (c == 0)
            return &k->text[mid];
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

/* Fills k->text, by key, and keys [n] of all texts. */
static silr_status find_texts(maker *k, silr_embed_key *keys, size_t n, silr_error *err)
{
    silr_status st = SILR_OK;
    size_t m = 0;

    for (size_t i = 0; i < n && st == SILR_OK; i++) {
        size_t len;
        const char *text = k->get(k->ctx, i, &len);
        if (len == 0)
            continue;
        if (i % STRETCH == 0 && silr_cancelled())
            return silr_fail(err, SILR_ECANCEL, "stopped before the texts were embedded");
        st = key_of(&keys[i], text, len, err);
        k->text[m++] = (unique){.key = keys[i], .doc = (uint32_t)i};
    }
    qsort(k->text, m, sizeof *k->text, by_key);
    for (size_t i = 0; i < m; i++)
        if (k->n_texts == 0 ||
            memcmp(&k->text[k->n_texts - 1].key, &k->text[i].key, sizeof k->text->key) != 0)
            k->text[k->n_texts++] = k->text[i];
    return st;
}

static void seen(void *ctx, const silr_embed_key *key, uint64_t at)
{
    unique *u = find(ctx, key);

    if (u)
        u->at = at;
}

static silr_status look(maker *k, silr_error *err)
{
    size_t broken = 0;
    const silr_status st = silr_embed_scan(&k->file, seen, k, &broken, err);

    if (broken)
        silr_log(SILR_LOG_WARN, "%s: a part of it is damaged; what it held is computed again",
                 k->file.path);
    return st;
}

/* --- making vectors ------------------------------------------------------------------------------ */

static int by_doc(const void *pa, const void *pb)
{
    const uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;
    return a < b ? -1 : a > b;
}

static silr_status list_missing(maker *k, silr_error *err)
{
    uint64_t *order = silr_alloc(k->n_texts + 1, sizeof *order);
    size_t n = 0;

    if (!order)
        return silr_fail_memory(err);
    for (size_t i = 0; i < k->n_texts; i++)
        if (!k->text[i].at)
            order[n++] = (uint64_t)k->text[i].doc << 32 | i;
    qsort(order, n, sizeof *order, by_doc);
    for (size_t i = 0; i < n; i++)
        k->missing[i] = (uint32_t)order[i];
    k->n_missing = n;
    silr_free(order);
    return SILR_OK;
}

static void take(const maker *k, const uint32_t *which, size_t n, const char **text, size_t *len)
{
    for (size_t i = 0; i < n; i++)
        text[i] = k->get(k->ctx, k->text[which[i]].doc, &len[i]);
}

static silr_status count_tokens(maker *k, silr_error *err)
{
    const char *text[SILR_EMBED_BLOCK] = {0};
    size_t len[SILR_EMBED_BLOCK] = {0};
    uint32_t tokens[SILR_EMBED_BLOCK];
    silr_status st = SILR_OK;

    for (size_t at = 0; at < k->n_missing && st == SILR_OK; at += SILR_EMBED_BLOCK) {
        const size_t left = k->n_missing - at, n = left < SILR_EMBED_BLOCK ? left : SILR_EMBED_BLOCK;
        if (silr_cancelled())
            return silr_fail(err, SILR_ECANCEL, "stopped before the texts were embedded");
        take(k, k->missing + at, n, text, len);
        st = k->e->count(k->e->ctx, text, len, n, tokens, err);
        for (size_t i = 0; i < n && st == SILR_OK; i++) {
            k->text[k->missing[at + i]].tokens = tokens[i];
            k->total += tokens[i];
        }
    }
    return st;
}

static silr_status check_numbers(const maker *k, const uint32_t *which, size_t n, silr_error *err)
{
    for (size_t i = 0; i < n * k->e->dim; i++)
        if (!(fabsf(k->vector[i]) < 65520)) /* what rounds to no more than 65504 */
            return silr_fail(err, SILR_EDOMAIN,
                             "the encoder's vector of text number %u has a value (%g) that is no "
                             "number or too large for half precision: the model is damaged, or not "
                             "an encoder", k->text[which[i / k->e->dim]].doc + 1, (double)k->vector[i]);
    return SILR_OK;
}

static silr_status stopped(silr_error *err)
{
    return silr_fail(err, SILR_ECANCEL, "stopped while embedding; the vectors made so far are kept");
}

/* Adds block `which` [n], whose vectors are made, to the file. */
static silr_status keep_block(maker *k, const uint32_t *which, size_t n, const float *vector, silr_error *err)
{
    silr_embed_key keys[SILR_EMBED_BLOCK];
    uint64_t at;
    silr_status st;

    for (size_t i = 0; i < n; i++)
        keys[i] = k->text[which[i]].key;
    silr_half_from(vector, n * k->e->dim, k->half);
    if ((st = silr_embed_append(&k->file, keys, k->half, n, &at, err)) != SILR_OK)
        return st;
    for (size_t i = 0; i < n; i++) {
        k->text[which[i]].at = at + i * k->e->dim * 2;
        k->done += k->text[which[i]].tokens;
    }
    return SILR_OK;
}

/* The blocks k->block[0 .. blocks]. */
static silr_status make_wave(maker *k, size_t blocks, silr_error *err)
{
    const size_t from = k->block[0], n = k->block[blocks] - from;
    silr_status st;

    take(k, k->missing + from, n, k->wave_text, k->wave_len);
    for (size_t i = 0; i < n; i++)
        k->wave_tokens[i] = k->text[k->missing[from + i]].tokens;
    st = silr_embed_crew_work(k->crew, k->e, k->wave_text, k->wave_len, k->wave_tokens, n, k->vector, err);
    if (st == SILR_ECANCEL)
        return stopped(err);
    if (st == SILR_OK)
        st = check_numbers(k, k->missing + from, n, err);
    for (size_t b = 0; b < blocks && st == SILR_OK; b++)
        st = keep_block(k, k->missing + k->block[b], k->block[b + 1] - k->block[b],
                        k->vector + (k->block[b] - from) * k->e->dim, err);
    return st;
}

/* Long ones first: a call's largest need of memory comes at once. */
static void sort_stretch(const maker *k, uint32_t *which, size_t n)
{
    uint64_t order[STRETCH];

    for (size_t i = 0; i < n; i++)
        order[i] = (uint64_t)(UINT32_MAX - k->text[which[i]].tokens) << 32 | which[i];
    qsort(order, n, sizeof *order, by_doc);
    for (size_t i = 0; i < n; i++)
        which[i] = (uint32_t)order[i];
}

static size_t block_texts(const maker *k, const uint32_t *which, size_t left)
{
    size_t n = 0, tokens = 0;

    while (n < left && n < SILR_EMBED_BLOCK && (n == 0 || tokens + k->text[which[n]].tokens <= BLOCK_TOKENS))
        tokens += k->text[which[n++]].tokens;
    return n;
}

static bool make_room(maker *k)
{
    const size_t ranks = (size_t)silr_dist_size(), most = ranks * SILR_EMBED_BLOCK;

    k->wave_text = silr_alloc(most, sizeof *k->wave_text);
    k->wave_len = silr_alloc(most, sizeof *k->wave_len);
    k->wave_tokens = silr_alloc(most, sizeof *k->wave_tokens);
    k->vector = silr_alloc(most, k->e->dim * sizeof *k->vector);
    k->block = silr_alloc(ranks + 1, sizeof *k->block);
    k->half = silr_alloc(SILR_EMBED_BLOCK * k->e->dim, sizeof *k->half);
    return k->wave_text && k->wave_len && k->wave_tokens && k->vector && k->block && k->half;
}

/* Cuts the next wave; no block reaches over a stretch. Returns how many blocks there are. */
static size_t cut_wave(maker *k, size_t at)
{
    size_t blocks = 0;

    while (blocks < (size_t)silr_dist_size() && at < k->n_missing) {
        const size_t stretch = (at / STRETCH + 1) * STRETCH;
        const size_t end = stretch < k->n_missing ? stretch : k->n_missing;
        k->block[blocks++] = at;
        at += block_texts(k, k->missing + at, end - at);
    }
    k->block[blocks] = at;
    return blocks;
}

static silr_status make_missing(maker *k, silr_error *err)
{
    silr_status st = make_room(k) ? count_tokens(k, err) : silr_fail_memory(err);

    if (st != SILR_OK || k->n_missing == 0)
        return st;
    for (size_t at = 0; at < k->n_missing; at += STRETCH)
        sort_stretch(k, k->missing + at, k->n_missing - at < STRETCH ? k->n_missing - at : STRETCH);
    k->own = *k->e;
    st = silr_embed_crew_open(&k->crew, &k->own, err);
    for (size_t at = 0; at < k->n_missing && st == SILR_OK;) {
        const size_t blocks = cut_wave(k, at);
        silr_progress("embedding, tokens", k->done, k->total);
        st = silr_cancelled() ? stopped(err) : make_wave(k, blocks, err);
        at = k->block[blocks];
    }
    silr_crew_free(k->crew);
    if (st == SILR_OK)
        silr_progress("embedding, tokens", k->total, k->total);
    return st;
}

/* --- the door ---------------------------------------------------------------------------------- */

static silr_status map_file(silr_embeddings *v, const silr_embed_file *f, silr_error *err)
{
    v->mapped = (size_t)f->end;
    v->map = mmap(NULL, v->mapped, PROT_READ, MAP_SHARED, f->fd, 0);
    if (v->map == MAP_FAILED) {
        const int why = errno;
        v->map = NULL;
        return silr_fail(err, why == ENOMEM ? SILR_ENOMEM : SILR_EIO, "%s: cannot be mapped: %s",
                         f->path, strerror(why));
    }
    return SILR_OK;
}

static silr_status fill(maker *k, silr_embeddings *v, const char *dir, silr_embed_key *keys,
                        silr_error *err)
{
    silr_status st;

    if ((st = find_texts(k, keys, v->n, err)) != SILR_OK ||
        (st = silr_embed_open(&k->file, k->e, dir, err)) != SILR_OK || (st = look(k, err)) != SILR_OK ||
        (st = list_missing(k, err)) != SILR_OK)
        return st;
    if (k->n_missing) /* whoever writes may be writing just these */
        if ((st = silr_embed_lock(&k->file, err)) != SILR_OK || (st = look(k, err)) != SILR_OK ||
            (st = list_missing(k, err)) != SILR_OK || (st = make_missing(k, err)) != SILR_OK)
            return st;
    v->made = k->n_missing;
    for (size_t i = 0; i < v->n; i++) {
        size_t len;
        k->get(k->ctx, i, &len);
        v->at[i] = len ? find(k, &keys[i])->at : 0;
    }
    return map_file(v, &k->file, err);
}

silr_status silr_embeddings_make(silr_embeddings **out, const silr_encoder *e, const char *dir,
                                 silr_embed_get get, const void *ctx, size_t n, silr_error *err)
{
    maker k = {.e = e, .get = get, .ctx = ctx, .file = {.fd = -1}};
    silr_embeddings *v = silr_calloc(1, sizeof *v);
    silr_embed_key *keys = silr_alloc(n + 1, sizeof *keys);
    silr_status st;

    *out = NULL;
    k.text = silr_alloc(n + 1, sizeof *k.text);
    k.missing = silr_alloc(n + 1, sizeof *k.missing);
    if (!v || !keys || !k.text || !k.missing || !(v->at = silr_calloc(n + 1, sizeof *v->at))) {
        st = silr_fail_memory(err);
        goto done;
    }
    v->n = n;
    v->dim = e->dim;
    if ((st = fill(&k, v, dir, keys, err)) != SILR_OK)
        goto done;
    *out = v;
    v = NULL;
done:
    silr_embed_close(&k.file);
    silr_free(k.text);
    silr_free(k.missing);
    silr_free(k.wave_text);
    silr_free(k.wave_len);
    silr_free(k.wave_tokens);
    silr_free(k.block);
    silr_free(k.vector);
    silr_free(k.half);
    silr_free(keys);
    silr_embeddings_free(v);
    return st;
}
