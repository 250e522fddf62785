/* fuzz_config.c - the JSON files of a model's folder. The first byte says which of them the rest
 * is. */
#include "formats_walk.h"
#include "formats/config.h"

#include <math.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever a plan says, sizes of all parts can be multiplied, and names fit. */
static void walk_plan(const silr_plan *p)
{
    char name[256];
    size_t dim[2], product;

    for (int i = 0; i < 2 * SILR_PARTS; i++) {
        silr_part part = (silr_part)(i / 2);
        bool bias = i % 2 == 1;
        if (silr_part_need(p, part, bias) != SILR_NEED_MUST)
            continue;
        if (!silr_part_name(p, part, p->spec.layers - 1, bias, false, name, sizeof name))
            abort();
        if (silr_part_shape(&p->spec, part, bias, dim) == 1)
            dim[1] = 1;
        if (dim[0] == 0 || dim[1] == 0 || !silr_mul(dim[0], dim[1], &product) ||
            !silr_mul(product, 4 * p->spec.layers, &product))
            abort();
    }
    if (!isfinite(p->spec.attention_scale) || p->spec.heads % p->spec.kv_heads != 0 ||
        p->spec.positions == 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char pooling[256];
    silr_plan p;
    silr_error err = {0};
    json_t *json;
    silr_status st;

    silr_plan_family(&p, SILR_FAMILY_BERT);
    if (size == 0)
        return 0;
    walk_refusal(st = silr_json_object(&json, (const char *)data + 1, size - 1, "fuzz", &err),
                 &err);
    if (st != SILR_OK)
        return 0;
    switch (data[0] % 4) {
    case 0:
        if ((st = silr_plan_from_config(&p, json, "fuzz", &err)) == SILR_OK)
            walk_plan(&p);
        break;
    case 1:
        st = silr_config_modules(&p.spec, json_object_get(json, "m"), pooling, sizeof pooling,
                                 "fuzz", &err);
        if (st == SILR_OK && pooling[0] && !silr_json_plain_name(pooling))
            abort();
        break;
    case 2:
        st = silr_config_pooling(&p.spec, json, "fuzz", &err);
        if (st == SILR_OK && p.spec.pooling == SILR_POOL_NONE)
            abort();
        break;
    default:
        st = silr_config_sentence(&p.spec, json, "fuzz", &err);
    }
    walk_refusal(st, &err);
    json_decref(json);
    return 0;
}
