/* fuzz_lexicon.c - any bytes as a lexicon, and the same bytes as the text it scores. */
#include "annotate/internal.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    silr_lexicon *l;
    silr_buf word = {0};
    silr_error err;

    if (silr_lexicon_parse(&l, (const char *)data, size, "words.tsv", &err) != SILR_OK) {
        if (l || strlen(err.text) == 0)
            abort();
        return 0;
    }
    (void)silr_lexicon_score(l, (const char *)data, size, &word);
    if (word.failed)
        abort();
    silr_buf_clear(&word);
    silr_lexicon_free(l);
    return 0;
}
