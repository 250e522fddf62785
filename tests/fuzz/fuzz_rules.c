/* fuzz_rules.c - the first line as a pattern, the rest as a text: a clear error or an answer, soon.
 *
 * Texts come from the corpus, which is UTF-8 by then; other bytes must be survived all the same.
 * Without a limit of time in silr the fuzzer's own -timeout tells whether a pattern ran away. */
#include "annotate/internal.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, '\n', size);
    size_t len = end ? (size_t)(end - data) : size;
    const char *text = end ? (const char *)end + 1 : "";
    char *pattern = silr_strndup((const char *)data, len);
    silr_rule rule = {.pattern = pattern, .weight = 1, .line = 1};
    silr_pattern *p = NULL;
    silr_matcher *m = silr_matcher_new(10000);
    silr_error err;
    int64_t hits;

    if (!m || !pattern)
        abort();
    if (silr_pattern_new(&p, &rule, "task.yaml", &err) != SILR_OK) {
        if (p || strlen(err.text) == 0)
            abort();
    } else {
        size_t n = end ? size - len - 1 : 0;
        hits = silr_pattern_count(p, m, text, n, true);
        if (hits > (int64_t)n || hits == SILR_OUT_OF_MEMORY)
            abort(); /* matches do not overlap and are not empty */
    }
    silr_pattern_free(p);
    silr_matcher_free(m);
    silr_free(pattern);
    return 0;
}
