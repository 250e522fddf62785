/* model.h - small models of every family in a buffer, for tests and fuzzing. */
#ifndef SILR_TESTS_FORMATS_MODEL_H
#define SILR_TESTS_FORMATS_MODEL_H

#include "formats/inside.h"
#include "write.h"

#include <math.h>
#include <stdio.h>

/* Sizes that no two extents share, so that a shape turned round is seen; whole blocks of 32 in a
 * row where `blocks`. */
static inline silr_plan small_plan(silr_family family, silr_layout layout, bool blocks)
{
    silr_plan p;
    silr_model_spec *s = &p.spec;

    silr_plan_family(&p, family);
    p.layout = layout;
    s->layers = 2;
    s->hidden = blocks ? 32 : 12;
    s->heads = 4;
    s->kv_heads = s->causal ? 2 : 4;
    s->head_dim = blocks ? 8 : s->causal ? 4 : 3;
    s->mlp = blocks ? 64 : 20;
    s->vocab = 7;
    s->positions = 9;
    s->types = s->causal ? 0 : 2;
    s->rope_dims = s->head_dim;
    s->rope_theta = s->rope_theta_local = 1e4;
    s->norm_epsilon = 1e-6;
    s->attention_scale = 1 / sqrt((double)s->head_dim);
    s->tied = true;
    return p;
}

/* Calls put for every part that the plan must have. */
static inline void each_part(const silr_plan *p,
                             void (*put)(void *ctx, const char *name, int n, const size_t *dim),
                             void *ctx)
{
    for (size_t layer = 0; layer < p->spec.layers; layer++)
        for (int i = 0; i < 2 * SILR_PARTS; i++) {
            silr_part part = (silr_part)(i / 2);
            bool bias = i % 2 == 1;
            char name[256];
            size_t dim[2];
            if ((layer > 0 && !silr_part_of_layer(part)) ||
                silr_part_need(p, part, bias) != SILR_NEED_MUST ||
                !silr_part_name(p, part, layer, bias, false, name, sizeof name))
                continue;
            put(ctx, name, silr_part_shape(&p->spec, part, bias, dim), dim);
        }
}

/* --- GGUF --------------------------------------------------------------------------------------
 */

typedef struct {
    silr_buf *file;
    uint64_t n, offset;
    uint32_t type; /* of matrices; vectors are F32 */
    size_t block, bytes;
} gguf_writer;

static inline void gguf_put_part(void *ctx, const char *name, int n, const size_t *dim)
{
    gguf_writer *w = ctx;
    uint64_t turned[2] = {dim[n - 1], n == 2 ? dim[0] : 0}, bytes;
    bool plain = n == 1 || dim[n - 1] % w->block != 0;

    bytes = (n == 2 ? dim[0] : 1) * (plain ? dim[n - 1] * 4 : dim[n - 1] / w->block * w->bytes);
    if (w->file)
        gguf_tensor(w->file, name, (uint32_t)n, turned, plain ? 0 : w->type, w->offset);
    w->n++;
    w->offset += (bytes + 31) / 32 * 32;
}

static inline void gguf_put_u32(silr_buf *b, const char *arch, const char *key, size_t v)
{
    char name[128];
    snprintf(name, sizeof name, "%s.%s", arch, key);
    gguf_u32(b, name, (uint32_t)v);
}

static inline void gguf_put_float(silr_buf *b, const char *arch, const char *key, double v)
{
    char name[128];
    snprintf(name, sizeof name, "%s.%s", arch, key);
    gguf_float(b, name, (float)v);
}

/* type: GGUF's number of the matrices' type, block and bytes its sizes. more: a pair to be added,
 * or NULL. */
static inline void gguf_model_with(silr_buf *b, const char *arch, const silr_plan *p, uint32_t type,
                                   size_t block, size_t bytes, const silr_buf *more)
{
    const silr_model_spec *s = &p->spec;
    gguf_writer w = {NULL, 0, 0, type, block, bytes};
    bool gemma = s->post_norms;

    each_part(p, gguf_put_part, &w);
    gguf_header(b, w.n, 11U + (gemma ? 1 : 0) + (more ? 1 : 0));
    gguf_string(b, "general.architecture", arch);
    gguf_put_u32(b, arch, "block_count", s->layers);
    gguf_put_u32(b, arch, "embedding_length", s->hidden);
    gguf_put_u32(b, arch, "attention.head_count", s->heads);
    gguf_put_u32(b, arch, "attention.head_count_kv", s->kv_heads);
    gguf_put_u32(b, arch, "attention.key_length", s->head_dim);
    gguf_put_u32(b, arch, "feed_forward_length", s->mlp);
    gguf_put_u32(b, arch, "context_length", s->positions);
    gguf_put_float(
        b, arch, s->rms_norm ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon",
        s->norm_epsilon);
    gguf_put_float(b, arch, "rope.freq_base", s->rope_theta);
    gguf_array(b, "tokenizer.ggml.tokens", 8, 2);
    put_string(b, "<s>");
    put_string(b, "a");
    if (gemma)
        gguf_put_u32(b, arch, "attention.sliding_window", 5);
    if (more)
        silr_buf_add(b, more->data, more->len);
    w = (gguf_writer){b, 0, 0, type, block, bytes};
    each_part(p, gguf_put_part, &w);
    put_padding(b, 32);
    put_zeros(b, w.offset);
}

static inline void gguf_model(silr_buf *b, const char *arch, const silr_plan *p, uint32_t type,
                              size_t block, size_t bytes)
{
    gguf_model_with(b, arch, p, type, block, bytes, NULL);
}

/* --- safetensors -------------------------------------------------------------------------------
 */

typedef struct {
    silr_buf json;
    size_t offset;
} safetensors_writer;

static inline void safetensors_put_part(void *ctx, const char *name, int n, const size_t *dim)
{
    safetensors_writer *w = ctx;
    size_t bytes = 4 * dim[0] * (n == 2 ? dim[1] : 1);

    silr_buf_printf(&w->json, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%zu", w->json.len ? "," : "{",
                    name, dim[0]);
    if (n == 2)
        silr_buf_printf(&w->json, ",%zu", dim[1]);
    silr_buf_printf(&w->json, "],\"data_offsets\":[%zu,%zu]}", w->offset, w->offset + bytes);
    w->offset += bytes;
}

static inline void safetensors_model(silr_buf *b, const silr_plan *p)
{
    safetensors_writer w = {0};

    each_part(p, safetensors_put_part, &w);
    silr_buf_putc(&w.json, '}');
    safetensors_file(b, w.json.data, w.offset);
    silr_buf_clear(&w.json);
}

#endif
