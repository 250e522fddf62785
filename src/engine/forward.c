/* forward.c - a group of texts goes through the layers.
 *
 * One description serves all families. With x the states, N norms, A attention, M the MLP:
 *
 *     Llama, Qwen    x += A(N x)          x += M(N x)          at the end N x
 *     Gemma          x += N' A(N x)       x += N' M(N x)       at the end N x
 *     BERT           x = N(x + A x)       x = N(x + M x)       at the start N x
 *
 * A turns queries and keys by their positions (or positions were added at the start), M is
 * down(act(gate x) * up x) or down(act(up x)). */
#include "engine/inside.h"
#include <math.h>
#include <string.h>

/* --- room ---------------------------------------------------------------------------------------- */

size_t silr_qkv_width(const silr_model_spec *s)
{
    return (s->heads + 2 * s->kv_heads) * s->head_dim;
}

size_t silr_mlp_width(const silr_model_spec *s)
{
    return s->gated ? 2 * s->mlp : s->mlp;
}

size_t silr_room_bytes(const silr_model_spec *s, size_t rows, size_t texts, size_t reach)
{
    const size_t row = 2 * s->hidden + silr_qkv_width(s) + s->heads * s->head_dim + silr_mlp_width(s);

    return rows * (row * sizeof(float) + sizeof(uint32_t)) + texts * sizeof(silr_attention_text) +
           2 * reach * s->rope_dims * sizeof(float);
}

silr_status silr_room_init(silr_room *r, const silr_engine *e, size_t rows, size_t texts,
                           size_t reach, silr_error *err)
{
    const silr_model_spec *s = e->spec;
    const size_t width[] = {s->hidden, s->hidden, silr_qkv_width(s), s->heads * s->head_dim, silr_mlp_width(s)};
    size_t n;

    *r = (silr_room){.rows = rows, .texts = texts, .table_rows = reach};
    float **const block[] = {&r->x, &r->h, &r->own.qkv, &r->own.mix, &r->own.mlp};
    for (size_t b = 0; b < 5; b++)
        if (!silr_mul(rows, width[b], &n) || !(*block[b] = silr_alloc_aligned(n, sizeof(float))))
            return silr_fail_memory(err);
    if (!(r->position = silr_alloc(rows, sizeof *r->position)) ||
        !(r->text = silr_alloc(texts, sizeof *r->text)))
        return silr_fail_memory(err);
    for (int local = 0; s->rope && local < 2; local++) {
        if (!silr_mul(reach, s->rope_dims, &n) ||
            !(r->rope[local] = silr_alloc_aligned(n, sizeof(float))))
            return silr_fail_memory(err);
        silr_rope_table(e->turns[local], s->rope_dims, reach, r->rope[local]);
    }
    return SILR_OK;
}

void silr_room_clear(silr_room *r)
{
    float *block[] = {r->x,    r->h,       r->own.qkv, r->own.mix, r->own.mlp,
                      r->act,  r->rope[0], r->rope[1], r->drop,    r->low};

    for (size_t b = 0; b < sizeof block / sizeof *block; b++)
        silr_free(block[b]);
    silr_free(r->position);
    silr_free(r->text);
    silr_free(r->row);
    silr_free(r->last);
    *r = (silr_room){0};
}

silr_status silr_cache_init(silr_cache *c, const silr_engine *e, const size_t *room, size_t n_texts,
                            silr_error *err)
{
    const silr_model_spec *s = e->spec;
    size_t n;

    *c = (silr_cache){.layers = s->layers, .n_texts = n_texts, .kv = s->kv_heads * s->head_dim};
    if (!(c->first = silr_alloc(n_texts, sizeof *c->first)) ||
        !(c->room = silr_alloc(n_texts, sizeof *c->room)))
        return silr_fail_memory(err);
    for (size_t t = 0; t < n_texts; t++) {
        c->first[t] = c->tokens;
        c->room[t] = room[t];
        c->tokens += room[t];
    }
    if (!silr_mul(c->tokens, c->kv * c->layers, &n) ||
        !(c->k = silr_alloc_aligned(n, sizeof(float))) ||
        !(c->v = silr_alloc_aligned(n, sizeof(float))))
        return silr_fail_memory(err);
    return SILR_OK;
}

void silr_cache_clear(silr_cache *c)
{
    silr_free(c->first);
    silr_free(c->room);
    silr_free(c->k);
    silr_free(c->v);
    *c = (silr_cache){0};
}

/* --- parts of a layer ----------------------------------------------------------------------------- */

void silr_norm_rows(const silr_engine *e, const norm *w, const float *x, size_t ldx, size_t n,
                    size_t dim, float *y, size_t ldy)
{
    const silr_model_spec *s = e->spec;

    if (s->rms_norm)
        e->ops->rms_norm(x, ldx, w->weight, s->norm_plus_one ? 1.0f : 0.0f, s->norm_epsilon, n, dim, y, ldy);
    else
        e->ops->layer_norm(x, ldx, w->weight, w->bias, s->norm_epsilon, n, dim, y, ldy);
}

/* The norm of every head of a row. */
static void apply_heads(const silr_engine *e, const norm *w, float *x, size_t ldx, size_t n,
                        size_t heads)
{
    for (size_t h = 0; w->weight && h < heads; h++)
        silr_norm_rows(e, w, x + h * e->spec->head_dim, ldx, n, e->spec->head_dim, x + h * e->spec->head_dim, ldx);
}

/* Where a text's keys of layer l begin in the cache, or values. */
static float *kept(const silr_cache *c, float *block, size_t l, size_t t)
{
    return block + (l * c->tokens + c->first[t]) * c->kv;
}

/* Copies the new keys and values of text t to the cache, behind `past` others. */
static void keep(const silr_cache *c, size_t l, size_t slot, size_t past, const float *k,
                 const float *v, size_t ld, size_t n)
{
    float *to_k = kept(c, c->k, l, slot) + past * c->kv, *to_v = kept(c, c->v, l, slot) + past * c->kv;

    for (size_t i = 0; i < n; i++) {
        memcpy(to_k + i * c->kv, k + i * ld, c->kv * sizeof(float));
        memcpy(to_v + i * c->kv, v + i * ld, c->kv * sizeof(float));
    }
}

const layer *silr_layer_of(const silr_engine *e, const silr_pass *p, size_t l)
{
    return p->tune ? &p->tune->layers[l] : &e->layers[l];
}

bool silr_only_last(const silr_pass *p, size_t l)
{
    return p->last_only && l + 1 == p->layers;
}

silr_attention silr_attention_of(const silr_engine *e, size_t l)
{
    const silr_model_spec *s = e->spec;

    return (silr_attention){.heads = s->heads, .kv_heads = s->kv_heads, .head_dim = s->head_dim,
                            .scale = s->attention_scale, .cap = s->attention_cap,
                            .causal = s->causal, .window = e->layers[l].window};
}

silr_attention_strides silr_strides_of(const silr_engine *e, bool cached)
{
    const silr_model_spec *s = e->spec;
    const size_t ld = silr_qkv_width(s), kv = s->kv_heads * s->head_dim;

    return (silr_attention_strides){.q = ld, .out = s->heads * s->head_dim,
                                    .kv = cached ? kv : ld, .prefix = kv};
}

void silr_describe_texts(const silr_engine *e, silr_room *r, const silr_pass *p, size_t l,
                         const silr_kept *to, bool only_last)
{
    const silr_model_spec *s = e->spec;
    const size_t ld = silr_qkv_width(s), q_dim = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim;

    for (size_t t = 0; t < p->n_texts; t++) {
        const size_t row = p->start[t] - p->start[0], n = p->start[t + 1] - p->start[t];
        const size_t past = p->past ? p->past[t] : 0, slot = p->slot ? p->slot[t] : t;
        const float *k = to->qkv + row * ld + q_dim, *v = k + kv;
        const size_t first = only_last ? row + n - 1 : row;
        silr_attention_text *x = &r->text[t];
        *x = (silr_attention_text){.n = only_last ? 1 : n, .q = to->qkv + first * ld,
                                   .out = to->mix + (only_last ? t : row) * q_dim,
                                   .n_own = past + n, .k = k, .v = v};
        if (p->cache) {
            keep(p->cache, l, slot, past, k, v, ld, n);
            x->k = kept(p->cache, p->cache->k, l, slot);
            x->v = kept(p->cache, p->cache->v, l, slot);
        }
        if (p->prefix) {
            x->n_prefix = p->prefix->n;
            x->prefix_k = kept(&p->prefix->cache, p->prefix->cache.k, l, 0);
            x->prefix_v = kept(&p->prefix->cache, p->prefix->cache.v, l, 0);
        }
    }
}

/* Queries and keys of n rows by their heads' norms; as they were into raw, where that is kept. */
static void norm_heads(const silr_engine *e, const layer *y, const silr_kept *to, size_t n)
{
    const silr_model_spec *s = e->spec;
    const size_t ld = silr_qkv_width(s), q_dim = s->heads * s->head_dim;
    const size_t qk = q_dim + s->kv_heads * s->head_dim;

    for (size_t i = 0; to->raw && i < n; i++)
        memcpy(to->raw + i * qk, to->qkv + i * ld, qk * sizeof(float));
    apply_heads(e, &y->q, to->qkv, ld, n, s->heads);
    apply_heads(e, &y->k, to->qkv + q_dim, ld, n, s->kv_heads);
}

/* From h, attention's answer into k->mix: n rows, or with only_last one a text. */
static silr_status attend(const silr_engine *e, silr_room *r, const silr_pass *p, size_t l,
                          const silr_kept *k, size_t n, const float *h, bool only_last,
                          silr_error *err)
{
    const silr_model_spec *s = e->spec;
    const layer *y = silr_layer_of(e, p, l);
    const size_t ld = silr_qkv_width(s), q_dim = s->heads * s->head_dim;
    const silr_attention a = silr_attention_of(e, l);
    const silr_attention_strides strides = silr_strides_of(e, p->cache);
    silr_status st = silr_project(e, r, p, l, SILR_GROUP_QKV, h, s->hidden, n, r->row, k->qkv, ld,
                                  false, err);

    if (st != SILR_OK)
        return st;
    norm_heads(e, y, k, n);
    if (s->rope) {
        const float *table = r->rope[y->local_rope ? 1 : 0];
        e->ops->rope(k->qkv, ld, n, s->heads, s->head_dim, s->rope_dims, r->position, table,
                     s->rope_interleaved);
        e->ops->rope(k->qkv + q_dim, ld, n, s->kv_heads, s->head_dim, s->rope_dims, r->position,
                     table, s->rope_interleaved);
    }
    silr_describe_texts(e, r, p, l, k, only_last);
    return e->ops->attention(&a, &strides, r->text, p->n_texts, err);
}

/* x += from through a group, and through a second norm where the family has one; what goes into that
 * norm is left in `before`, NULL: nowhere. */
static silr_status add_to_x(const silr_engine *e, silr_room *r, const silr_pass *p, size_t l,
                            silr_group g, const norm *post, float *before, const float *from,
                            size_t ld, size_t n, silr_error *err)
{
    const size_t dim = e->spec->hidden;
    const uint64_t *row = silr_only_last(p, l) ? r->last : r->row;
    float *o = before ? before : r->h;
    silr_status st;

    if (!e->spec->post_norms)
        return silr_project(e, r, p, l, g, from, ld, n, row, r->x, dim, true, err);
    if ((st = silr_project(e, r, p, l, g, from, ld, n, row, o, dim, false, err)) != SILR_OK)
        return st;
    silr_norm_rows(e, post, o, dim, n, dim, r->h, dim);
    e->ops->add(r->x, r->h, n * dim);
    return SILR_OK;
}

/* The MLP of n rows of h, added to x. */
static silr_status think(const silr_engine *e, silr_room *r, const silr_pass *p, size_t l,
                         const silr_kept *k, const float *h, size_t n, silr_error *err)
{
    const silr_model_spec *s = e->spec;
    const size_t width = silr_mlp_width(s), wide = r->act ? s->mlp : width;
    float *act = r->act ? r->act : k->mlp;
    silr_status st = silr_project(e, r, p, l, SILR_GROUP_UP, h, s->hidden, n,
                                  silr_only_last(p, l) ? r->last : r->row, k->mlp, width, false, err);

    if (st != SILR_OK)
        return st;
    e->ops->activate(s->activation, k->mlp, s->gated ? k->mlp + s->mlp : NULL, width, n, s->mlp, act,
                     wide);
    return add_to_x(e, r, p, l, SILR_GROUP_DOWN, &silr_layer_of(e, p, l)->mlp_post, k->m, act, wide,
                    n, err);
}

static void leave(float *to, const float *x, size_t count)
{
    if (to)
        memcpy(to, x, count * sizeof(float));
}

silr_status silr_layer(const silr_engine *e, silr_room *r, const silr_pass *p, size_t l,
                       const silr_kept *k, size_t *n, silr_error *err)
{
    const silr_model_spec *s = e->spec;
    const layer *y = silr_layer_of(e, p, l);
    const size_t dim = s->hidden, q_dim = s->heads * s->head_dim;
    const bool only_last = silr_only_last(p, l);
    const float *h = s->pre_norm ? r->h : r->x;
    silr_status st;

    leave(k->x, r->x, *n * dim);
    if (s->pre_norm)
        silr_norm_rows(e, &y->attention, r->x, dim, *n, dim, r->h, dim);
    if ((st = attend(e, r, p, l, k, *n, h, only_last, err)) != SILR_OK)
        return st;
    if (only_last) {
        for (size_t t = 0; t < p->n_texts; t++) /* rows only move towards the front */
            memmove(r->x + t * dim, r->x + (p->start[t + 1] - p->start[0] - 1) * dim, dim * sizeof(float));
        *n = p->n_texts;
    }
    if ((st = add_to_x(e, r, p, l, SILR_GROUP_OUT, &y->attention_post, k->o, k->mix, q_dim, *n, err)) !=
        SILR_OK)
        return st;
    leave(k->mid, r->x, *n * dim);
    if (s->pre_norm)
        silr_norm_rows(e, &y->mlp, r->x, dim, *n, dim, r->h, dim);
    else
        silr_norm_rows(e, &y->attention, r->x, dim, *n, dim, r->x, dim);
    if ((st = think(e, r, p, l, k, h, *n, err)) != SILR_OK)
        return st;
    leave(k->sum, r->x, *n * dim);
    if (!s->pre_norm)
        silr_norm_rows(e, &y->mlp, r->x, dim, *n, dim, r->x, dim);
    return SILR_OK;
}

/* --- the way in ------------------------------------------------------------------------------------ */

/* Who the rows are, for dropout: the text's number, the place in it. */
static void name_rows(silr_room *r, const silr_pass *p)
{
    for (size_t t = 0; p->number && t < p->n_texts; t++) {
        const uint64_t text = (uint64_t)p->number[t] << 32;
        const size_t row = p->start[t] - p->start[0], n = p->start[t + 1] - p->start[t];
        for (size_t i = 0; i < n; i++)
            r->row[row + i] = text | i;
        r->last[t] = text | (n - 1);
    }
}

void silr_embed_rows(const silr_engine *e, silr_room *r, const silr_pass *p, size_t n)
{
    const silr_model_spec *s = e->spec;
    const silr_tune *tune = p->tune;
    const size_t before = p->prefix ? p->prefix->n : 0, dim = s->hidden;
    const silr_tensor *tokens = silr_weights_part(e->weights, SILR_PART_TOKENS, 0, false);
    const float *positions = tune && tune->positions ? tune->positions : e->positions;

    for (size_t t = 0; t < p->n_texts; t++)
        for (size_t i = p->start[t]; i < p->start[t + 1]; i++)
            r->position[i - p->start[0]] = (uint32_t)(before + (p->past ? p->past[t] : 0) + i -
                                                      p->start[t] + s->position_offset);
    e->ops->gather(tune && tune->tokens.data ? &tune->tokens : tokens, p->ids + p->start[0], n,
                   (float)s->embedding_scale, r->x);
    for (size_t i = 0; positions && i < n; i++)
        e->ops->add(r->x + i * dim, positions + r->position[i] * dim, dim);
}

silr_status silr_forward(const silr_engine *e, silr_room *r, const silr_pass *p, silr_error *err)
{
    const norm *first = p->tune ? &p->tune->embedding : &e->embedding;
    const norm *last = p->tune ? &p->tune->final : &e->final;
    const size_t dim = e->spec->hidden;
    size_t n = p->start[p->n_texts] - p->start[0];
    silr_status st = SILR_OK;

    SILR_ASSERT(n <= r->rows && p->n_texts <= r->texts && p->layers <= e->spec->layers);
    name_rows(r, p);
    silr_embed_rows(e, r, p, n);
    if (first->weight)
        silr_norm_rows(e, first, r->x, dim, n, dim, r->x, dim);
    for (size_t l = 0; st == SILR_OK && l < p->layers; l++)
        st = silr_cancelled() ? silr_fail(err, SILR_ECANCEL, "stopped while texts were read")
                              : silr_layer(e, r, p, l, p->kept ? &p->kept[l] : &r->own, &n, err);
    if (st == SILR_OK && p->layers == e->spec->layers && last->weight && !p->no_final)
        silr_norm_rows(e, last, r->x, dim, n, dim, r->x, dim);
    return st == SILR_OK ? silr_weights_intact(e->weights, err) : st;
}
