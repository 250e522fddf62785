/* frozen.c - classifier `frozen`: a head on an encoder's vectors, n-grams beside it if asked.
 *
 *     z = head(x) + w . ngrams
 *
 * Both parts are classifiers of their own and are trained as one: their scores add up, both get the
 * derivatives of the sum. Each goes at the pace that suits its features: the n-grams' step is as many
 * times the head's as the two kinds' own steps are, their ridge likewise. That is the same as
 * scaling the n-grams by that factor (6 with recipe silr), so that either part alone learns exactly as
 * it would without the other.
 *
 * The block of parameters that others see is the head's; the n-grams keep theirs. */
#include "classify/frozen.h"

#include <string.h>

/* The ridge that suits the head, as SILR_NGRAM_L2 suits n-grams (refine.l2's defaults). */
static const double HEAD_L2 = 0.01;

typedef struct {
    silr_classifier base;
    silr_dense x;
    silr_head *head;
    silr_classifier *bag;   /* NULL: no n-grams */
    double pace;            /* the bag's step over the head's */
    float *scores;          /* the bag's */
    size_t scores_cap;
    silr_frozen_data saved; /* classes, encoder */
} frozen;

static frozen *self(silr_classifier *c)
{
    return (frozen *)(void *)c;
}

/* What the head has changed of what others see. */
static void show(frozen *f)
{
    f->base.members = f->head->base.members;
    f->base.n_params = f->head->base.n_params;
    f->base.params = f->head->base.params;
}

static silr_status frozen_reset(silr_classifier *c, const silr_adam *adam, uint64_t seed,
                                size_t members, silr_error *err)
{
    frozen *f = self(c);
    silr_adam beside = *adam;
    silr_status st = f->head->base.reset(&f->head->base, adam, seed, members, err);

    beside.l2 *= SILR_NGRAM_L2 / HEAD_L2;
    if (st == SILR_OK && f->bag)
        st = f->bag->reset(f->bag, &beside, seed, members, err);
    show(f);
    return st;
}

static silr_status frozen_forward(silr_classifier *c, const uint32_t *docs, size_t n, float *scores,
                                  silr_error *err)
{
    frozen *f = self(c);
    const size_t size = n * c->members * (size_t)c->columns;
    silr_status st = f->head->base.forward(&f->head->base, docs, n, scores, err);

    if (st != SILR_OK || !f->bag)
        return st;
    if (!silr_grow(&f->scores, &f->scores_cap, size + 1, sizeof *f->scores))
        return silr_fail_memory(err);
    st = f->bag->forward(f->bag, docs, n, f->scores, err);
    for (size_t i = 0; i < size && st == SILR_OK; i++)
        scores[i] += f->scores[i];
    return st;
}

static silr_status frozen_backward(silr_classifier *c, const uint32_t *docs, size_t n,
                                   const float *dscores, silr_error *err)
{
    frozen *f = self(c);
    silr_status st = f->head->base.backward(&f->head->base, docs, n, dscores, err);

    return st == SILR_OK && f->bag ? f->bag->backward(f->bag, docs, n, dscores, err) : st;
}

static silr_status frozen_step(silr_classifier *c, double lr, silr_error *err)
{
    frozen *f = self(c);
    silr_status st = f->head->base.step(&f->head->base, lr, err);

    return st == SILR_OK && f->bag ? f->bag->step(f->bag, lr * f->pace, err) : st;
}

static silr_status frozen_snapshot(silr_classifier *c, size_t member, silr_error *err)
{
    frozen *f = self(c);
    silr_status st = f->head->base.snapshot(&f->head->base, member, err);

    return st == SILR_OK && f->bag ? f->bag->snapshot(f->bag, member, err) : st;
}

static silr_status frozen_restore(silr_classifier *c, size_t member, silr_error *err)
{
    frozen *f = self(c);
    silr_status st = f->head->base.restore(&f->head->base, member, err);

    return st == SILR_OK && f->bag ? f->bag->restore(f->bag, member, err) : st;
}

/* --- the blend ----------------------------------------------------------------------------------- */

static silr_status frozen_blend(silr_classifier *c, size_t member, double scale,
                                const double *offset, silr_error *err)
{
    frozen *f = self(c);
    silr_status st = f->head->base.blend(&f->head->base, member, scale, offset, err);

    return st == SILR_OK && f->bag ? f->bag->blend(f->bag, member, scale, NULL, err) : st;
}

/* u64: bytes of the head's; the head's; the bag's. */
static silr_status frozen_blend_get(silr_classifier *c, silr_buf *out, silr_error *err)
{
    frozen *f = self(c);
    silr_buf head = {0}, bag = {0};
    silr_status st = f->head->base.blend_get(&f->head->base, &head, err);
    uint64_t len;

    if (st == SILR_OK && f->bag)
        st = f->bag->blend_get(f->bag, &bag, err);
    if (st == SILR_OK) {
        len = head.len;
        silr_buf_reset(out);
        silr_buf_add(out, &len, sizeof len);
        silr_buf_add(out, head.data, head.len);
        if (bag.len)
            silr_buf_add(out, bag.data, bag.len);
        st = out->failed ? silr_fail_memory(err) : SILR_OK;
    }
    silr_buf_clear(&head);
    silr_buf_clear(&bag);
    return st;
}

static silr_status frozen_blend_set(silr_classifier *c, const void *bytes, size_t len,
                                    silr_error *err)
{
    frozen *f = self(c);
    const char *at = bytes;
    uint64_t head = 0;
    silr_status st;

    if (len >= sizeof head)
        memcpy(&head, at, sizeof head);
    if (len > 0 && (len < sizeof head || head > len - sizeof head ||
                    (!f->bag && head != len - sizeof head)))
        return silr_fail(err, SILR_EINPUT, "the classifier's stored state does not fit: start again "
                                           "in a new folder");
    at = len > 0 ? at + sizeof head : NULL;
    st = f->head->base.blend_set(&f->head->base, at, (size_t)head, err);
    if (st == SILR_OK && f->bag)
        st = f->bag->blend_set(f->bag, at ? at + head : NULL,
                               len > 0 ? len - sizeof head - (size_t)head : 0, err);
    return st;
}

static silr_status frozen_save(silr_classifier *c, const char *dir, const double *A,
                               const double *b, double blends, silr_error *err)
{
    frozen *f = self(c);
    silr_frozen_data out = f->saved;
    double *zero = silr_calloc((size_t)c->columns, sizeof *zero);
    silr_status st = SILR_OK;

    SILR_ASSERT(blends > 0);
    out.layers = (silr_layers){0};
    if (!zero)
        return silr_fail_memory(err);
    if (f->bag)
        st = f->bag->save(f->bag, dir, A, zero, blends, err);
    if (st == SILR_OK)
        st = f->head->fold(f->head, A, b, blends, &out.layers, err);
    if (st == SILR_OK)
        st = silr_frozen_write(&out, dir, err);
    silr_layers_clear(&out.layers);
    silr_free(zero);
    return st;
}

/* --- making one ---------------------------------------------------------------------------------- */

void silr_encoder_name_clear(silr_encoder_name *n)
{
    silr_free(n->name);
    silr_free(n->place);
    n->name = n->place = NULL;
}

static void frozen_free(silr_classifier *c)
{
    frozen *f = self(c);

    if (f->head)
        f->head->base.free(&f->head->base);
    silr_classifier_free(f->bag);
    silr_dense_clear(&f->x);
    silr_frozen_clear(&f->saved);
    silr_free(f->scores);
    silr_free(f);
}

static silr_status copy_names(silr_frozen_data *to, const silr_frozen_opts *o, int K,
                              const char *const *classes, silr_error *err)
{
    to->K = K;
    to->columns = K == 2 ? 1 : K;
    to->ngrams = o->ngrams != NULL;
    to->encoder.model = o->encoder.model;
    to->encoder.opts = o->encoder.opts;
    to->encoder.name = silr_strdup(o->encoder.name);
    to->encoder.place = silr_strdup(o->encoder.place);
    to->classes = silr_calloc((size_t)K, sizeof *to->classes);
    if (!to->encoder.name || !to->encoder.place || !to->classes)
        return silr_fail_memory(err);
    for (int k = 0; k < K; k++)
        if (!(to->classes[k] = silr_strdup(classes[k])))
            return silr_fail_memory(err);
    return SILR_OK;
}

silr_status silr_frozen_new(silr_classifier **out, const silr_frozen_opts *o, int K,
                            const char *const *classes, silr_embeddings *vectors, silr_text_get get,
                            const void *ctx, silr_error *err)
{
    const size_t n = silr_embeddings_size(vectors);
    frozen *f = silr_calloc(1, sizeof *f);
    silr_status st;

    *out = NULL;
    if (!f) {
        silr_embeddings_free(vectors);
        return silr_fail_memory(err);
    }
    f->base.free = frozen_free;
    if ((st = silr_dense_take(&f->x, vectors, err)) != SILR_OK ||
        (st = copy_names(&f->saved, o, K, classes, err)) != SILR_OK)
        goto done;
    st = o->head == SILR_HEAD_MLP ? silr_mlp_head(&f->head, &f->x, K, o->hidden, err)
                                  : silr_linear_head(&f->head, &f->x, K, err);
    if (st == SILR_OK && o->ngrams)
        st = silr_ngram_new(&f->bag, o->ngrams, K, classes, get, ctx, n, err);
    if (st != SILR_OK)
        goto done;
    f->base = f->head->base;
    f->base.reset = frozen_reset;
    f->base.forward = frozen_forward;
    f->base.backward = frozen_backward;
    f->base.step = frozen_step;
    f->base.snapshot = frozen_snapshot;
    f->base.restore = frozen_restore;
    f->base.blend = frozen_blend;
    f->base.blend_get = frozen_blend_get;
    f->base.blend_set = frozen_blend_set;
    f->base.save = frozen_save;
    f->base.free = frozen_free;
    if (f->bag) {
        f->pace = f->bag->rate[o->recipe] / f->base.rate[o->recipe];
        if (f->bag->max_members < f->base.max_members)
            f->base.max_members = f->bag->max_members;
    }
    *out = &f->base;
    f = NULL;
done:
    if (f)
        frozen_free(&f->base);
    return st;
}
