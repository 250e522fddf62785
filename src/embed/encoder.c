/* encoder.c - what every encoder has, whoever made it: its identity, its vectors in halves. */
#include "embed/engine.h"
#include "embed/half.h"

#include <math.h>
#include <string.h>

/* Raised when the engine computes other numbers than before: older vectors are then made anew. */
enum { ENGINE_VERSION = 1 };

static const silr_encoder_door engine = {silr_engine_encoder_open, silr_engine_encoder_hash};
static silr_encoder_door door = {silr_engine_encoder_open, silr_engine_encoder_hash};

void silr_encoder_through(const silr_encoder_door *d)
{
    door = d ? *d : engine;
}

silr_status silr_encoder_open(silr_encoder **out, const char *path, const silr_encoder_opts *opts,
                              silr_error *err)
{
    silr_status st = door.open(out, path, opts, err);

    if (st != SILR_OK)
        return st;
    (*out)->opts = opts ? *opts : (silr_encoder_opts){0};
    if (!((*out)->path = silr_strdup(path))) {
        silr_encoder_free(*out);
        *out = NULL;
        return silr_fail_memory(err);
    }
    return SILR_OK;
}

silr_status silr_encoder_hash(silr_sha256 *out, const char *path, silr_error *err)
{
    return door.hash(out, path, err);
}

void silr_encoder_free(silr_encoder *e)
{
    if (!e)
        return;
    if (e->free)
        e->free(e->ctx);
    silr_free(e->about);
    silr_free(e->path);
    silr_free(e);
}

silr_status silr_encoder_identity(silr_sha256 *out, const silr_encoder *e, silr_error *err)
{
    silr_buf b = {0};
    silr_status st;

    silr_buf_printf(&b, "silr vectors %d\nmodel %s\n%s\n%zu values\n", ENGINE_VERSION, e->model.hex,
                    e->about, e->dim);
    st = b.failed ? silr_fail_memory(err) : silr_sha256_bytes(out, b.data, b.len, err);
    silr_buf_clear(&b);
    return st;
}

/* Texts without a byte are left out of the call and get zeros. */
static silr_status encode_full(const silr_encoder *e, const char *const *texts, const size_t *lens,
                               size_t n, float *out, silr_error *err)
{
    const char **text = silr_alloc(n + 1, sizeof *text);
    size_t *len = silr_alloc(n + 1, sizeof *len), m = 0;
    silr_status st = SILR_OK;

    if (!text || !len) {
        st = silr_fail_memory(err);
        goto done;
    }
    for (size_t i = 0; i < n; i++)
        if (lens[i]) {
            text[m] = texts[i];
            len[m++] = lens[i];
        }
    if (m && (st = e->embed(e->ctx, text, len, m, out, err)) != SILR_OK)
        goto done;
    for (size_t i = n; i-- > 0;) /* apart again, from the end */
        if (lens[i])
            memmove(out + i * e->dim, out + --m * e->dim, e->dim * sizeof *out);
        else
            memset(out + i * e->dim, 0, e->dim * sizeof *out);
done:
    silr_free(text);
    silr_free(len);
    return st;
}

silr_status silr_encode(const silr_encoder *e, const char *const *texts, const size_t *lens,
                        size_t n, float *out, silr_error *err)
{
    uint16_t *half = silr_alloc(e->dim + 1, sizeof *half);
    silr_status st = half ? encode_full(e, texts, lens, n, out, err) : silr_fail_memory(err);

    for (size_t i = 0; i < n && st == SILR_OK; i++) {
        float *v = out + i * e->dim;
        for (size_t j = 0; j < e->dim; j++)
            if (!(fabsf(v[j]) < 65520))
                st = silr_fail(err, SILR_EDOMAIN, "the encoder's vector of a text has a value that is "
                               "no number or too large for half precision");
        silr_half_from(v, e->dim, half);
        silr_half_to(half, e->dim, v);
    }
    silr_free(half);
    return st;
}
