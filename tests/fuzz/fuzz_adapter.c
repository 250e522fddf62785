/* fuzz_adapter.c - adapters from strangers. The first byte chooses the base's family, the next two say
 * how many bytes of tensors there are (zeros); the config follows, and behind a byte 0 the tensors' JSON. */
#include "formats_walk.h"
#include "../formats/model.h"
#include "formats/peft.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All that was accepted is there, finite, and of the base's shapes. */
static void walk(const silr_adapter *a, const silr_model_spec *base)
{
    size_t out, in;
    float sum = 0;

    for (size_t i = 0; i < base->layers * SILR_PARTS; i++) {
        const silr_lora *l = &a->lora[i];
        if (l->r == 0)
            continue;
        if (!silr_adapter_fits(base, (silr_part)(i % SILR_PARTS), &out, &in) ||
            !(silr_adapter_scale(a, l) > 0))
            abort();
        for (size_t k = 0; k < l->r * in; k++)
            sum += l->a[k];
        for (size_t k = 0; k < l->r * out; k++)
            sum += l->b[k];
    }
    for (size_t k = 0; k < a->classes * base->hidden; k++)
        sum += a->head[k];
    for (size_t k = 0; a->bias && k < a->classes; k++)
        sum += a->bias[k];
    if (!isfinite(sum))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    silr_plan p;
    const uint8_t *end;
    silr_buf b = {0};
    silr_adapter a;
    silr_error err = {0};
    void *block;
    silr_status st;

    if (size < 3 || !(end = memchr(data + 3, 0, size - 3)))
        return 0;
    p = small_plan((silr_family)(data[0] % 7), SILR_LAYOUT_LLAMA, false);
    p.spec.rope_interleaved = data[0] / 7 % 2 == 1;
    put_u64(&b, (size_t)(data + size - end - 1));
    silr_buf_add(&b, end + 1, (size_t)(data + size - end - 1));
    put_zeros(&b, (size_t)data[1] * 256 + data[2]);
    if (b.failed || !(block = malloc(b.len)))
        abort();
    memcpy(block, b.data, b.len); /* of exactly its size */
    walk_refusal(st = silr_adapter_parse(&a, (const char *)data + 3, (size_t)(end - data - 3), block, b.len,
                                         &p.spec, &err),
                 &err);
    if (st == SILR_OK)
        walk(&a, &p.spec);
    silr_adapter_clear(&a);
    free(block);
    silr_buf_clear(&b);
    return 0;
}
