/* fuzz_model.c - model.silr, frozen.silr and qlora.json from strangers: refused, or loaded and safe to ask.
 *
 * Each input is tried as it is and, since hardly any has a right checksum, with that put right. */
#include "classify/model.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Its layers on a vector of ones; texts it cannot take, having no encoder. */
static void try_frozen(const silr_model *m)
{
    const size_t d = m->dense.layers.d;
    double logits[SILR_RISK_CLASSES];
    float *v = malloc((d + 1) * sizeof *v);
    silr_error err;

    for (size_t j = 0; v && j < d; j++)
        v[j] = 1;
    if (v && silr_model_vector_logits(m, v, logits, &err) != SILR_OK)
        abort();
    if (silr_model_logits(m, "x", 1, logits, &err) != SILR_EINPUT ||
        silr_model_class(m, silr_model_classes(m) - 1) == NULL)
        abort();
    free(v);
}

/* A fine-tuned one without its model: it has its names, and no answer. */
static void try_tuned(const silr_model *m)
{
    double logits[SILR_RISK_CLASSES];
    silr_error err;

    if (silr_model_logits(m, "x", 1, logits, &err) != SILR_EINPUT ||
        silr_model_class(m, silr_model_classes(m) - 1) == NULL)
        abort();
}

static void try_model(const void *bytes, size_t size)
{
    static const char text[] = "The film is fine; a film, a fine \xc3\xa9t\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac";
    const size_t len = sizeof text - 1;
    double probs[SILR_RISK_CLASSES];
    silr_evidence e[3];
    silr_prediction p;
    silr_model *m;
    silr_error err;

    if (silr_model_parse(&m, bytes, size, "fuzz", &err) != SILR_OK)
        return;
    if (m->frozen || m->tuned) {
        if (m->frozen)
            try_frozen(m);
        else
            try_tuned(m);
        silr_model_free(m);
        return;
    }
    if (silr_predict(m, text, len, &p, probs, &err) != SILR_OK || p.label < 0 ||
        p.label >= silr_model_classes(m) || silr_model_class(m, p.label) == NULL)
        abort();
    if (silr_model_explain(m, text, len, p.label, e, 3, &err) > 3)
        abort();
    silr_model_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy;
    uint64_t sum;

    try_model(data, size);
    if (size < sizeof sum || (copy = malloc(size)) == NULL)
        return 0;
    memcpy(copy, data, size);
    sum = silr_hash64(copy, size - sizeof sum, 0);
    memcpy(copy + size - sizeof sum, &sum, sizeof sum);
    try_model(copy, size);
    free(copy);
    return 0;
}
