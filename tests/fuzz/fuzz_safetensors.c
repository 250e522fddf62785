/* fuzz_safetensors.c - safetensors files from strangers: as they are (first byte 0), or a header to
 * which the right length, and as many bytes of tensors as the first two bytes say, are added. */
#include "formats_walk.h"
#include "../formats/write.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_file(const void *bytes, size_t size)
{
    silr_safetensors *s;
    silr_error err = {0};
    void *block = malloc(size ? size : 1); /* of exactly its size */
    size_t filled = 0;
    silr_status st;

    if (!block)
        return;
    if (size)
        memcpy(block, bytes, size);
    walk_refusal(st = silr_safetensors_parse(&s, block, size, "fuzz", &err), &err);
    if (st == SILR_OK) {
        for (size_t i = 0; i < silr_safetensors_count(s); i++) {
            const silr_tensor *t = &silr_safetensors_entry(s, i)->tensor;
            walk_tensor(t);
            filled += t->bytes;
        }
        if (filled > size)
            abort();
        silr_safetensors_free(s);
    }
    free(block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    silr_buf b = {0};

    if (size > 0 && data[0] == 0) {
        try_file(data + 1, size - 1);
        return 0;
    }
    if (size < 2)
        return 0;
    put_u64(&b, size - 2);
    silr_buf_add(&b, data + 2, size - 2);
    put_zeros(&b, (size_t)(data[0] - 1) * 256 + data[1]);
    if (b.failed)
        abort();
    try_file(b.data, b.len);
    silr_buf_clear(&b);
    return 0;
}
