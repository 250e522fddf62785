/* engine.c - a model of the engine as an encoder.
 *
 * Its identity is the weights, the tokenizer and what says how the two are used: a model whose
 * vectors would differ has another hash. A text is cut into tokens, framed as the model wants it and
 * no longer than it bears; all texts of a call go through the engine together.
 *
 * Pooling is the model's own, or as asked for: then from the hidden states, mean over the tokens, the
 * first or the last of them, and to length 1 where the model says so. */
#include "embed/engine.h"

#include "engine/engine.h"
#include <math.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
    silr_engine *engine;
    const silr_tokenizer *words;
    size_t dim, longest;
    silr_pooling pooling; /* NONE: the model's own */
    bool normalise;
    silr_tokens ids;      /* of a call */
    size_t *start, start_cap;
} encoder;

/* --- identity ------------------------------------------------------------------------------------ */

static silr_status add_file(silr_buf *b, const char *folder, const char *name, silr_error *err)
{
    char *path = silr_path_join(folder, name);
    silr_sha256 h;
    silr_status st = path ? SILR_OK : silr_fail_memory(err);

    if (st == SILR_OK && silr_file_exists(path) && (st = silr_sha256_file(&h, path, err)) == SILR_OK)
        silr_buf_printf(b, "%s %s\n", name, h.hex);
    silr_free(path);
    return st;
}

/* A GGUF file says all of it itself. */
static silr_status hash_of(silr_sha256 *out, const silr_weights *w, const char *path, silr_error *err)
{
    static const char *const beside[] = {"config.json", "tokenizer.json", "tokenizer_config.json",
                                         "modules.json", "sentence_bert_config.json",
                                         "1_Pooling/config.json"};
    silr_buf b = {0};
    struct stat info;
    char *folder = stat(path, &info) == 0 && S_ISDIR(info.st_mode) ? silr_strdup(path)
                                                                   : silr_path_dir(path);
    const size_t len = strlen(path);
    const bool whole = len > 5 && strcmp(path + len - 5, ".gguf") == 0;
    silr_status st = folder ? silr_weights_hash(w, out, err) : silr_fail_memory(err);

    silr_buf_printf(&b, "weights %s\n", out->hex);
    for (size_t i = 0; st == SILR_OK && !whole && i < sizeof beside / sizeof *beside; i++)
        st = add_file(&b, folder, beside[i], err);
    if (st == SILR_OK && !whole)
        st = b.failed ? silr_fail_memory(err) : silr_sha256_bytes(out, b.data, b.len, err);
    silr_buf_clear(&b);
    silr_free(folder);
    return st;
}

silr_status silr_engine_encoder_hash(silr_sha256 *out, const char *path, silr_error *err)
{
    silr_weights *w;
    silr_status st = silr_weights_open(&w, path, err);

    if (st == SILR_OK)
        st = hash_of(out, w, path, err);
    if (st == SILR_OK)
        silr_weights_free(w);
    return st;
}

/* --- texts to tokens ------------------------------------------------------------------------------ */

/* Fills e->ids and e->start with n texts. */
static silr_status cut(encoder *e, const char *const *texts, const size_t *lens, size_t n,
                       silr_error *err)
{
    const silr_encode_opts how = {.frame = true, .max_tokens = e->longest};
    silr_status st = SILR_OK;

    if (!silr_grow(&e->start, &e->start_cap, n + 1, sizeof *e->start))
        return silr_fail_memory(err);
    e->ids.n = 0;
    for (size_t i = 0; i < n && st == SILR_OK; i++) {
        e->start[i] = e->ids.n;
        st = silr_tokenizer_encode(e->words, texts[i], lens[i], &how, &e->ids, err);
    }
    e->start[n] = e->ids.n;
    return st;
}

static silr_status count(void *ctx, const char *const *texts, const size_t *lens, size_t n,
                         uint32_t *tokens, silr_error *err)
{
    encoder *e = ctx;
    silr_status st = cut(e, texts, lens, n, err);

    for (size_t i = 0; i < n && st == SILR_OK; i++)
        tokens[i] = (uint32_t)(e->start[i + 1] - e->start[i]);
    return st;
}

/* --- tokens to vectors ----------------------------------------------------------------------------- */

static void pool(const encoder *e, const float *hidden, size_t tokens, float *out)
{
    const float *row = e->pooling == SILR_POOL_LAST ? hidden + (tokens - 1) * e->dim : hidden;
    double square = 0;

    for (size_t j = 0; j < e->dim; j++) {
        double sum = 0;
        for (size_t i = 0; e->pooling == SILR_POOL_MEAN && i < tokens; i++)
            sum += (double)hidden[i * e->dim + j];
        out[j] = e->pooling == SILR_POOL_MEAN ? (float)(sum / (double)tokens) : row[j];
        square += (double)out[j] * (double)out[j];
    }
    for (size_t j = 0; e->normalise && square > 0 && j < e->dim; j++)
        out[j] = (float)((double)out[j] / sqrt(square));
}

static silr_status embed_pooled(encoder *e, size_t n, float *out, silr_error *err)
{
    const size_t layers = silr_engine_spec(e->engine)->layers;
    float *hidden = silr_alloc(e->ids.n + 1, e->dim * sizeof *hidden);
    silr_status st = hidden ? silr_engine_hidden(e->engine, e->ids.id, e->start, n, layers, hidden, err)
                            : silr_fail_memory(err);

    for (size_t i = 0; i < n && st == SILR_OK; i++)
        pool(e, hidden + e->start[i] * e->dim, e->start[i + 1] - e->start[i], out + i * e->dim);
    silr_free(hidden);
    return st;
}

/* Texts that are no tokens at all (blanks, with a model that frames nothing) are zeros. */
static silr_status embed(void *ctx, const char *const *texts, const size_t *lens, size_t n,
                         float *out, silr_error *err)
{
    encoder *e = ctx;
    size_t m = 0;
    silr_status st;

    if ((st = cut(e, texts, lens, n, err)) != SILR_OK)
        return st;
    for (size_t i = 0; i < n; i++) { /* the starts of those that are some */
        const size_t from = e->start[i], to = e->start[i + 1];
        if (to > from)
            e->start[m++] = from;
    }
    e->start[m] = e->ids.n;
    if (m > 0)
        st = e->pooling == SILR_POOL_NONE
                 ? silr_engine_embed(e->engine, e->ids.id, e->start, m, out, err)
                 : embed_pooled(e, m, out, err);
    if (st != SILR_OK || m == n)
        return st;
    if ((st = cut(e, texts, lens, n, err)) != SILR_OK)
        return st;
    for (size_t i = n; i-- > 0;) /* apart again, from the end */
        if (e->start[i + 1] > e->start[i])
            memmove(out + i * e->dim, out + --m * e->dim, e->dim * sizeof *out);
        else
            memset(out + i * e->dim, 0, e->dim * sizeof *out);
    return SILR_OK;
}

/* --- the door -------------------------------------------------------------------------------------- */

static void release(void *ctx)
{
    encoder *e = ctx;

    if (!e)
        return;
    silr_engine_free(e->engine);
    silr_tokens_clear(&e->ids);
    silr_free(e->start);
    silr_free(e);
}

/* How long a text may be: as asked for, as the model's makers used it, as its positions allow. */
static size_t longest(const silr_engine *engine, const silr_encoder_opts *o)
{
    const size_t bears = silr_engine_max_tokens(engine), used = silr_engine_spec(engine)->max_tokens;
    const size_t want = o->max_tokens ? o->max_tokens : used ? used : bears;

    return want < bears ? want : bears;
}

static char *about(const encoder *e)
{
    static const char *const names[] = {"the model's pooling", "cls pooling", "mean pooling",
                                        "last pooling"};
    silr_buf b = {0};

    silr_buf_printf(&b, "%s, at most %zu tokens", names[e->pooling], e->longest);
    return silr_buf_take(&b);
}

silr_status silr_engine_encoder_open(silr_encoder **out, const char *path,
                                     const silr_encoder_opts *opts, silr_error *err)
{
    static const silr_pooling asked[] = {SILR_POOL_NONE, SILR_POOL_MEAN, SILR_POOL_CLS,
                                         SILR_POOL_LAST};
    silr_encoder *made = silr_calloc(1, sizeof *made);
    encoder *e = silr_calloc(1, sizeof *e);
    silr_status st;

    *out = NULL;
    if (!made || !e) {
        silr_free(made);
        silr_free(e);
        return silr_fail_memory(err);
    }
    *made = (silr_encoder){.ctx = e, .count = count, .embed = embed, .free = release};
    if ((st = silr_engine_open(&e->engine, path, NULL, err)) != SILR_OK ||
        (st = hash_of(&made->model, silr_engine_weights(e->engine), path, err)) != SILR_OK)
        goto done;
    e->words = silr_engine_tokenizer(e->engine);
    made->dim = e->dim = silr_engine_dim(e->engine);
    e->longest = longest(e->engine, opts);
    e->pooling = asked[opts->pooling];
    e->normalise = silr_engine_spec(e->engine)->normalise;
    if (!(made->about = about(e))) {
        st = silr_fail_memory(err);
        goto done;
    }
    *out = made;
    made = NULL;
done:
    silr_encoder_free(made);
    return st;
}
