/* matrix.c - every text of the corpus becomes a sparse row, once a run.
 *
 * Two passes. The first hashes all texts, block by block in parallel, and counts in how many texts
 * each bucket occurs. The second drops rare buckets, numbers the rest in order of the bucket (so
 * that rows stay sorted, in place, without sorting again), and computes each row's length. Which
 * thread does which block changes nothing: blocks are independent and the counts are integers. */
#include "classify/matrix.h"

#include <math.h>
#include <omp.h>
#include <string.h>

/* --- vocabulary -------------------------------------------------------------------------- */

silr_status silr_vocab_init(silr_vocab *v, int bits, silr_error *err)
{
    *v = (silr_vocab){.words = ((size_t)1 << bits) / 64};
    v->words += v->words == 0;
    v->bit = silr_calloc(v->words, sizeof *v->bit);
    v->before = silr_calloc(v->words, sizeof *v->before);
    if (!v->bit || !v->before) {
        silr_vocab_clear(v);
        silr_fail_memory(err);
        return SILR_ENOMEM;
    }
    return SILR_OK;
}

void silr_vocab_clear(silr_vocab *v)
{
    silr_free(v->bit);
    silr_free(v->before);
    *v = (silr_vocab){0};
}

void silr_vocab_number(silr_vocab *v)
{
    size_t d = 0;

    for (size_t w = 0; w < v->words; w++) {
        v->before[w] = (uint32_t)d;
        d += (size_t)__builtin_popcountll(v->bit[w]);
    }
    v->d = d;
}

/* --- building ---------------------------------------------------------------------------- */

typedef struct {
    silr_matrix *m;
    silr_text_get get;
    const void *ctx;
    uint32_t *df; /* [2^bits] texts that have the bucket */
} builder;

static size_t block_rows(const silr_matrix *m, size_t b)
{
    const size_t first = b * SILR_MATRIX_BLOCK, left = m->n - first;

    return left < SILR_MATRIX_BLOCK ? left : SILR_MATRIX_BLOCK;
}

/* First pass over one block: bucket << 8 | times of every text, ascending. */
static bool count_block(builder *u, size_t b, silr_grams *t)
{
    silr_matrix *m = u->m;
    size_t *start = m->start + b * (SILR_MATRIX_BLOCK + 1);
    size_t cap = 0, used = 0;
    uint32_t *fit;

    start[0] = 0;
    for (size_t r = 0; r < block_rows(m, b); r++) {
        size_t len;
        const char *text = u->get(u->ctx, b * SILR_MATRIX_BLOCK + r, &len);
        if (!silr_grams_count(t, &m->opts, text, len) ||
            !silr_grow(&m->block[b], &cap, used + t->n, sizeof **m->block))
            return false;
        if (t->n)
            memcpy(m->block[b] + used, t->bucket, t->n * sizeof *t->bucket);
        for (size_t e = 0; e < t->n; e++)
            __atomic_fetch_add(&u->df[t->bucket[e] >> 8], 1, __ATOMIC_RELAXED);
        used += t->n;
        start[r + 1] = used;
    }
    if (used && (fit = silr_realloc(m->block[b], used, sizeof *fit)))
        m->block[b] = fit;
    return true;
}

/* Second pass over one block: buckets become columns, rare ones go, lengths are taken. */
static void number_block(silr_matrix *m, size_t b)
{
    size_t *start = m->start + b * (SILR_MATRIX_BLOCK + 1);
    uint32_t *entry = m->block[b], *fit;
    size_t from = 0, used = 0;

    for (size_t r = 0; r < block_rows(m, b); r++) {
        double square = 0;
        const size_t to = start[r + 1];
        for (; from < to; from++) {
            const uint32_t j = silr_vocab_find(&m->vocab, entry[from] >> 8);
            if (j == SILR_NO_COLUMN)
                continue;
            const double v = (double)m->tf[entry[from] & 255] * (double)m->idf[j];
            square += v * v;
            entry[used++] = j << 8 | (entry[from] & 255);
        }
        start[r + 1] = used;
        m->inverse[b * SILR_MATRIX_BLOCK + r] =
            square > 0 ? (float)(SILR_NGRAM_SCALE / sqrt(square)) : 0.0f;
    }
    if (used && (fit = silr_realloc(entry, used, sizeof *fit)))
        m->block[b] = fit;
}

static silr_status choose_columns(builder *u, silr_error *err)
{
    silr_matrix *m = u->m;
    const size_t buckets = (size_t)1 << m->opts.bits;
    const uint32_t least = m->opts.min_count > 1 ? m->opts.min_count : 1;
    const double n = (double)m->n;
    silr_status st;
    size_t j = 0;

    if ((st = silr_vocab_init(&m->vocab, m->opts.bits, err)) != SILR_OK)
        return st;
    for (size_t b = 0; b < buckets; b++)
        if (u->df[b] >= least)
            silr_vocab_add(&m->vocab, (uint32_t)b);
    silr_vocab_number(&m->vocab);
    m->d = m->vocab.d;
    if (!(m->idf = silr_alloc(m->d + 1, sizeof *m->idf)))
        return silr_fail_memory(err);
    for (size_t b = 0; b < buckets; b++)
        if (u->df[b] >= least)
            m->idf[j++] = m->opts.weight == SILR_WEIGHT_TFIDF
                              ? (float)(log((1 + n) / (1 + (double)u->df[b])) + 1)
                              : 1.0f;
    return SILR_OK;
}

void silr_tf_table(float tf[256], silr_term_weight weight)
{
    for (int t = 0; t < 256; t++) {
        const double k = t < 1 ? 1 : t;
        tf[t] = (float)(weight == SILR_WEIGHT_TFIDF      ? 1 + log(k)
                        : weight == SILR_WEIGHT_LOGCOUNT ? log(1 + k)
                                                         : 1);
    }
}

static silr_status count_all(builder *u, silr_error *err)
{
    silr_matrix *m = u->m;
    int no_memory = 0;

#pragma omp parallel
    {
        silr_grams t = {0};
#pragma omp for schedule(dynamic)
        for (size_t b = 0; b < m->n_blocks; b++) {
            int stop;
#pragma omp atomic read
            stop = no_memory;
            if (stop || silr_cancelled())
                continue;
            if (!count_block(u, b, &t)) {
#pragma omp atomic write
                no_memory = 1;
            }
        }
        silr_grams_clear(&t);
    }
    if (no_memory)
        return silr_fail_memory(err);
    if (silr_cancelled())
        return silr_fail(err, SILR_ECANCEL, "stopped while hashing the texts");
    return SILR_OK;
}

silr_status silr_matrix_init(silr_matrix *m, const silr_ngram_opts *o, silr_text_get get,
                             const void *ctx, size_t n, silr_error *err)
{
    builder u = {.m = m, .get = get, .ctx = ctx};
    silr_status st;

    *m = (silr_matrix){.opts = *o, .n = n};
    m->n_blocks = (n + SILR_MATRIX_BLOCK - 1) / SILR_MATRIX_BLOCK;
    silr_tf_table(m->tf, o->weight);
    m->block = silr_calloc(m->n_blocks, sizeof *m->block);
    m->start = silr_calloc(m->n_blocks, (SILR_MATRIX_BLOCK + 1) * sizeof *m->start);
    m->inverse = silr_calloc(n, sizeof *m->inverse);
    u.df = silr_calloc((size_t)1 << o->bits, sizeof *u.df);
    if (!m->block || !m->start || !m->inverse || !u.df) {
        st = silr_fail_memory(err);
        goto done;
    }
    if ((st = count_all(&u, err)) != SILR_OK)
        goto done;
    if ((st = choose_columns(&u, err)) != SILR_OK)
        goto done;
#pragma omp parallel for schedule(dynamic)
    for (size_t b = 0; b < m->n_blocks; b++)
        number_block(m, b);
    for (size_t i = 0; i < n; i++) {
        size_t len;
        silr_matrix_row(m, i, &len);
        m->longest = len > m->longest ? len : m->longest;
    }
done:
    silr_free(u.df);
    if (st != SILR_OK)
        silr_matrix_clear(m);
    return st;
}

void silr_matrix_clear(silr_matrix *m)
{
    for (size_t b = 0; m->block && b < m->n_blocks; b++)
        silr_free(m->block[b]);
    silr_free(m->block);
    silr_free(m->start);
    silr_free(m->inverse);
    silr_free(m->idf);
    silr_vocab_clear(&m->vocab);
    *m = (silr_matrix){0};
}

/* --- a batch ----------------------------------------------------------------------------- */

bool silr_batch_holds(const silr_batch *b, const uint32_t *docs, size_t n)
{
    return n > 0 && b->n == n && memcmp(b->docs, docs, n * sizeof *docs) == 0;
}

void silr_batch_clear(silr_batch *b)
{
    silr_free(b->docs);
    silr_free(b->row);
    silr_free(b->idx);
    silr_free(b->val);
    silr_free(b->col);
    silr_free(b->text);
    silr_free(b->tval);
    *b = (silr_batch){0};
}

static bool batch_rows(silr_batch *b, const silr_matrix *m, const uint32_t *docs, size_t n)
{
    size_t cap_docs = b->cap_n, cap_row = b->cap_n, cap_val = b->cap_e;

    b->n = 0;
    b->columns = false;
    if (!silr_grow(&b->docs, &cap_docs, n + 1, sizeof *b->docs) ||
        !silr_grow(&b->row, &cap_row, n + 1, sizeof *b->row))
        return false;
    b->cap_n = cap_row;
    b->row[0] = 0;
    for (size_t i = 0; i < n; i++) {
        size_t len;
        silr_matrix_row(m, docs[i], &len);
        b->row[i + 1] = b->row[i] + len;
    }
    b->entries = b->row[n];
    if (!silr_grow(&b->val, &cap_val, b->entries, sizeof *b->val) ||
        !silr_grow(&b->idx, &b->cap_e, b->entries, sizeof *b->idx))
        return false;
#pragma omp parallel for schedule(static) if (b->entries > 20000)
    for (size_t i = 0; i < n; i++) {
        size_t len;
        const uint32_t *entry = silr_matrix_row(m, docs[i], &len);
        silr_matrix_decode(m, docs[i], entry, len, b->idx + b->row[i], b->val + b->row[i]);
    }
    if (n)
        memcpy(b->docs, docs, n * sizeof *docs);
    b->n = n;
    return true;
}

/* A stable counting sort of the entries by column. */
static bool batch_columns(silr_batch *b, size_t d)
{
    size_t cap_tval = b->cap_te;

    if (!silr_grow(&b->col, &b->cap_d, d + 2, sizeof *b->col) ||
        !silr_grow(&b->tval, &cap_tval, b->entries, sizeof *b->tval) ||
        !silr_grow(&b->text, &b->cap_te, b->entries, sizeof *b->text))
        return false;
    memset(b->col, 0, (d + 2) * sizeof *b->col);
    for (size_t e = 0; e < b->entries; e++)
        b->col[b->idx[e] + 2]++;
    for (size_t j = 0; j < d; j++)
        b->col[j + 2] += b->col[j + 1];
    for (size_t i = 0; i < b->n; i++)
        for (size_t e = b->row[i]; e < b->row[i + 1]; e++) {
            const size_t at = b->col[b->idx[e] + 1]++;
            b->text[at] = (uint32_t)i;
            b->tval[at] = b->val[e];
        }
    b->columns = true;
    return true;
}

silr_status silr_batch_make(silr_batch *b, const silr_matrix *m, const uint32_t *docs, size_t n,
                            bool columns, silr_error *err)
{
    if (!silr_batch_holds(b, docs, n) && !batch_rows(b, m, docs, n))
        return silr_fail_memory(err);
    if (columns && !b->columns && !batch_columns(b, m->d))
        return silr_fail_memory(err);
    return SILR_OK;
}
