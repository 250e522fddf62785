/* fuzz_utf8.c - repairing: what comes out is valid, what was valid is left alone, a cut falls
 * between characters, and folding twice is folding once. */
#include "rows_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    silr_buf fixed = {0}, folded = {0}, again = {0};
    const char *s = (const char *)data;
    bool bad = false, nul = false;

    silr_utf8_repair(&fixed, s, size, &bad, &nul);
    silr_buf_add(&fixed, "", 0);
    must(silr_utf8_clean(fixed.data, fixed.len));
    must(silr_utf8_clean(s, size) == !(bad || nul));
    if (!bad && !nul)
        must(fixed.len == size && memcmp(fixed.data, s, size) == 0);
    for (size_t max = 0; max < fixed.len && max < 64; max++) {
        size_t cut = silr_utf8_cut(fixed.data, fixed.len, max);
        must(cut <= max && max - cut < 4 && silr_utf8_clean(fixed.data, cut));
    }
    must(silr_utf8_fold(&folded, fixed.data, fixed.len));
    must(silr_utf8_clean(folded.data, folded.len));
    must(silr_utf8_fold(&again, folded.data, folded.len));
    must(again.len == folded.len && memcmp(again.data, folded.data, again.len) == 0);
    silr_buf_clear(&fixed);
    silr_buf_clear(&folded);
    silr_buf_clear(&again);
    return 0;
}
