/* share.c - a fine-tuned classifier for transformers and peft: written, read back, compared.
 *
 * The adapter is the run's own, with another name for the base. Merged, a matrix is W + scale B A, row by
 * row as the file is written; what was trained itself stands in place of the base's. */
#include "classify/share_inside.h"
#include "formats/hf_write.h"
#include "formats/peft.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

/* --- which token fills up a batch -------------------------------------------------------------- */

/* pad_token_id of the base's config.json; -1: it has none. */
static silr_status pad_of_config(int64_t *id, const silr_sharing *s, silr_error *err)
{
    const uint64_t refused = silr_mem_refused();
    char *path = s->folder ? silr_path_join(s->folder, "config.json") : NULL;
    json_t *json = path ? json_load_file(path, 0, NULL) : NULL;
    const json_t *pad = json_object_get(json, "pad_token_id");

    *id = json_is_integer(pad) ? json_integer_value(pad) : -1;
    json_decref(json);
    silr_free(path);
    return silr_mem_refused() != refused ? silr_fail_memory(err) : SILR_OK;
}

/* transformers reads the last token that is not this one: so it must not be the token that ends every
 * framed text. */
static silr_status find_pad(silr_sharing *s, silr_error *err)
{
    static const char *const names[] = {"<pad>", "[PAD]", "<|pad|>", "<|finetune_right_pad_id|>", "<|endoftext|>"};
    enum { NAMES = sizeof names / sizeof *names };
    const silr_tokenizer *t = s->m->scorer.words;
    int64_t may[NAMES + 3];
    silr_tokens framed = {0};
    silr_status st = pad_of_config(&may[0], s, err);

    if (st == SILR_OK)
        st = silr_scorer_tokens(&s->m->scorer, "a", 1, &framed, err);
    for (size_t i = 0; i < NAMES; i++)
        may[1 + i] = silr_tokenizer_special(t, names[i]);
    may[NAMES + 1] = s->eos;
    may[NAMES + 2] = s->bos;
    s->pad = -1;
    for (size_t i = 0; st == SILR_OK && i < NAMES + 3 && s->pad < 0; i++)
        if (may[i] >= 0 && may[i] < (int64_t)silr_tokenizer_vocab(t) && may[i] != framed.id[framed.n - 1])
            s->pad = may[i];
    silr_tokens_clear(&framed);
    return st;
}

/* --- merged rows -------------------------------------------------------------------------------- */

typedef struct {
    silr_tune *tune;
    const silr_weights *base;
    const silr_tuned *table;
    const float *params;
    size_t n;
} merging;

static merging merging_of(const silr_model *m)
{
    merging g = {.tune = m->scorer.tune, .base = silr_engine_weights(m->scorer.engine)};
    size_t params;

    g.table = silr_tune_table(g.tune, &g.n);
    g.params = silr_tune_params(g.tune, &params);
    return g;
}

/* What was trained, row-major; NULL: it was not. */
static const float *trained(const merging *g, silr_part part, size_t layer, int what, size_t *rows)
{
    for (size_t i = 0; i < g->n; i++) {
        const silr_tuned *p = &g->table[i];
        if (p->part == part && p->layer == layer && (int)p->what == what) {
            *rows = p->rows;
            return g->params + p->offset;
        }
    }
    return NULL;
}

/* The engine adds the first token type to the positions when it loads them: trained ones have it too. */
static silr_status without_type(const merging *g, size_t n, size_t columns, float *out, silr_error *err)
{
    const silr_tensor *types = silr_weights_part(g->base, SILR_PART_TYPES, 0, false);
    float *type = types ? silr_alloc(columns, sizeof *type) : NULL;

    if (!types)
        return SILR_OK;
    if (!type)
        return silr_fail_memory(err);
    silr_tensor_rows(types, 0, 1, type);
    for (size_t i = 0; i < n * columns; i++)
        out[i] -= type[i % columns];
    silr_free(type);
    return SILR_OK;
}

static void add_lora(const merging *g, silr_part part, size_t layer, size_t first, size_t n, size_t columns, float *out)
{
    size_t rank = 0, rows;
    const float *a = trained(g, part, layer, SILR_TUNED_LORA_A, &rank), *b = trained(g, part, layer, SILR_TUNED_LORA_B, &rows);
    const double scale = silr_tune_scale(g->tune, layer, part);

    for (size_t i = 0; a && b && i < n; i++)
        for (size_t r = 0; r < rank; r++) {
            const float c = (float)(scale * (double)b[(first + i) * rank + r]);
            for (size_t k = 0; k < columns; k++)
                out[i * columns + k] += c * a[r * columns + k];
        }
}

static silr_status merged_rows(void *ctx, silr_part part, size_t layer, bool bias, size_t first, size_t n, float *out,
                               silr_error *err)
{
    const merging *g = ctx;
    const silr_tensor *t = silr_weights_part(g->base, part, layer, bias);
    const size_t columns = t->dim[t->n_dims - 1];
    size_t rows;
    const float *own = trained(g, part, layer, bias ? SILR_TUNED_BIAS : SILR_TUNED_WEIGHT, &rows);

    if (silr_cancelled())
        return silr_fail(err, SILR_ECANCEL, "stopped while the model was written");
    if (own)
        memcpy(out, own + first * columns, n * columns * sizeof *out);
    else
        silr_tensor_rows(t, first, n, out);
    if (own && part == SILR_PART_POSITIONS)
        return without_type(g, n, columns, out, err);
    if (!bias)
        add_lora(g, part, layer, first, n, columns, out);
    return SILR_OK;
}

/* --- writing ------------------------------------------------------------------------------------ */

/* What makes the tokens, as the base's folder has it. */
static silr_status copy_tokenizer(const silr_sharing *s, silr_error *err)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                                        "tokenizer.model", "vocab.txt", "vocab.json", "merges.txt",
                                        "added_tokens.json", "chat_template.jinja"};
    silr_buf bytes = {0};
    silr_status st = SILR_OK;

    for (size_t i = 0; i < sizeof names / sizeof *names && st == SILR_OK; i++) {
        char *from = silr_path_join(s->folder, names[i]), *to = silr_path_join(s->dir, names[i]);
        if (!from || !to)
            st = silr_fail_memory(err);
        else if (silr_file_exists(from) && (st = silr_file_read(&bytes, from, (size_t)1 << 30, err)) == SILR_OK)
            st = silr_file_write(to, bytes.data ? bytes.data : "", bytes.len, err);
        silr_free(from);
        silr_free(to);
    }
    silr_buf_clear(&bytes);
    return st;
}

static silr_status write_merged(const silr_sharing *s, silr_error *err)
{
    merging g = merging_of(s->m);
    size_t rows;
    const silr_hf_model hf = {.type = s->o->type, .by_token = s->by_token, .columns = (size_t)s->m->columns,
                              .head = trained(&g, SILR_PARTS, 0, SILR_TUNED_WEIGHT, &rows),
                              .bias = trained(&g, SILR_PARTS, 0, SILR_TUNED_BIAS, &rows),
                              .labels = (const char *const *)s->m->classes,
                              .pad = s->pad, .bos = s->bos, .eos = s->eos, .rows = merged_rows, .ctx = &g};
    silr_status st = silr_hf_write(s->dir, g.base, &hf, err);

    return st == SILR_OK && s->folder ? copy_tokenizer(s, err) : st;
}

static silr_status write_adapter(const silr_sharing *s, silr_error *err)
{
    const char *name = s->o->base_name ? s->o->base_name : s->m->about.base.name;
    merging g = merging_of(s->m);

    if (s->m->about.full)
        return silr_fail(err, SILR_EINPUT, "all weights of this classifier were trained (classifier.tune: full), so "
                         "there is no adapter: export it with --to merged");
    for (size_t i = 0; i < g.n; i++)
        if (g.table[i].part != SILR_PARTS && g.table[i].what >= SILR_TUNED_WEIGHT)
            return silr_fail(err, SILR_EINPUT, "%s was trained beside the LoRA factors, which an adapter has no "
                             "place for: export it with --to merged", g.table[i].name);
    return silr_qlora_write_adapter(s->m->scorer.tune, s->m->scorer.dropout, name, s->dir, err);
}

/* --- reading back ------------------------------------------------------------------------------- */

static silr_status open_head(silr_tune *t, const silr_weights *w, silr_error *err)
{
    const char *const stem = silr_weights_spec(w)->causal ? "score" : "classifier";
    size_t n, params;
    const silr_tuned *p = silr_tune_table(t, &n);
    float *block = silr_tune_params(t, &params);

    for (size_t i = 0; i < n; i++) {
        char name[32];
        const silr_tensor *x;
        snprintf(name, sizeof name, "%s.%s", stem, p[i].what == SILR_TUNED_BIAS ? "bias" : "weight");
        x = silr_weights_find(w, name);
        if (!x || x->type == SILR_TYPE_OTHER || x->dim[x->n_dims - 1] != p[i].columns ||
            (x->n_dims > 1 ? x->dim[0] : 1) != p[i].rows)
            return silr_fail(err, SILR_EBUG, "the head that was written cannot be read back: %s", name);
        silr_tensor_rows(x, 0, p[i].rows, block + p[i].offset);
    }
    return SILR_OK;
}

static silr_status open_merged(silr_scorer *out, const silr_sharing *s, silr_error *err)
{
    const silr_engine_opts engine = {.bare = true};
    const silr_tune_opts tune = {.columns = (size_t)s->m->columns, .head_bias = s->by_token, .pooling = s->pooling};
    silr_status st;

    *out = (silr_scorer){0};
    if ((st = silr_engine_open(&out->engine, s->dir, &engine, err)) != SILR_OK ||
        (st = silr_tune_new(&out->tune, out->engine, &tune, err)) != SILR_OK)
        return st;
    return open_head(out->tune, silr_engine_weights(out->engine), err);
}

/* Scores of the texts by what was written, against those of before. The texts are tokens by now. */
static silr_status compare(const silr_sharing *s, const silr_tune_batch *b, const float *was, double *difference,
                           silr_error *err)
{
    const size_t values = b->n * (size_t)s->m->columns;
    float *now = silr_alloc(values, sizeof *now);
    silr_scorer again = {0};
    silr_status st = now ? SILR_OK : silr_fail_memory(err);

    silr_scorer_clear(&s->m->scorer);
    if (st == SILR_OK)
        st = s->o->form == SILR_SHARE_MERGED ? open_merged(&again, s, err)
                                             : silr_qlora_open(&again, &s->m->about, s->dir, s->m->place, err);
    if (st == SILR_OK)
        st = silr_tune_scores(again.tune, b, now, err);
    *difference = NAN;
    for (size_t i = 0; i < values && st == SILR_OK; i++) {
        const double apart = fabs((double)now[i] - (double)was[i]);
        if (isnan(apart))
            st = silr_fail(err, SILR_EBUG, "a score of what was written is not a number");
        *difference = i == 0 || apart > *difference ? apart : *difference;
    }
    silr_scorer_clear(&again);
    silr_free(now);
    return st;
}

/* --- the door ------------------------------------------------------------------------------------ */

/* What the rest goes by. */
static silr_status look(silr_sharing *s, silr_error *err)
{
    const silr_scorer *x = &s->m->scorer;
    size_t rows;
    merging g;

    if (!s->m->tuned)
        return silr_fail(err, SILR_EINPUT, "this run's classifier is not of kind qlora: only fine-tuned models can "
                         "be exported as models");
    if (!x->tune)
        return silr_fail(err, SILR_EINPUT, "the classifier was loaded without its model");
    g = merging_of(s->m);
    s->folder = silr_weights_folder(g.base);
    s->pooling = silr_tune_pooling(x->tune);
    s->by_token = !silr_engine_spec(x->engine)->causal || s->pooling != SILR_POOL_LAST ||
                  trained(&g, SILR_PARTS, 0, SILR_TUNED_BIAS, &rows);
    s->bos = silr_tokenizer_bos(x->words);
    s->eos = silr_tokenizer_eos(x->words);
    return find_pad(s, err);
}

static silr_status write_all(const silr_sharing *s, silr_shared *out, silr_error *err)
{
    const bool merged = s->o->form == SILR_SHARE_MERGED;
    silr_status st = merged ? write_merged(s, err) : write_adapter(s, err);

    out->no_tokenizer = merged && !s->folder;
    out->foreign_base = !merged && !s->folder;
    return st == SILR_OK ? silr_share_about(s, err) : st;
}

silr_status silr_model_share(silr_model *m, const silr_share_opts *o, const char *dir, const char *const *texts,
                             const size_t *lens, size_t n, silr_shared *out, silr_error *err)
{
    silr_sharing s = {.m = m, .o = o, .dir = dir};
    silr_tokens ids = {0};
    size_t *start = silr_alloc(n + 1, sizeof *start);
    float *was = NULL;
    silr_status st = start ? look(&s, err) : silr_fail_memory(err);

    *out = (silr_shared){.difference = NAN};
    if (st != SILR_OK)
        goto done;
    if (!(was = silr_alloc(n, (size_t)m->columns * sizeof *was))) {
        st = silr_fail_memory(err);
        goto done;
    }
    if ((st = silr_scorer_texts(&m->scorer, texts, lens, n, &ids, start, err)) != SILR_OK)
        goto done;
    const silr_tune_batch b = {.ids = ids.id, .start = start, .n = n};
    if ((st = silr_tune_scores(m->scorer.tune, &b, was, err)) == SILR_OK &&
        (st = write_all(&s, out, err)) == SILR_OK)
        st = compare(&s, &b, was, &out->difference, err);
done:
    silr_tokens_clear(&ids);
    silr_free(start);
    silr_free(was);
    return st;
}
