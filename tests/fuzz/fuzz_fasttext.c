/* fuzz_fasttext.c - `__label__x text` lines. The text of a row never keeps a label: that would be
 * the truth, and a classifier would learn to read it. */
#include "rows_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    silr_rows *r = NULL;
    silr_row row;
    int how = 0;

    check_rows(data, size, SILR_FORMAT_FASTTEXT);
    if (silr_rows_open_memory(&r, data, size, "fuzz", SILR_FORMAT_FASTTEXT, NULL) != SILR_OK)
        return 0;
    while ((how = silr_rows_next(r, &row, NULL)) == 1 || how == SILR_EINPUT) {
        if (how != 1 || !row.values[0])
            continue;
        must(strcmp(row.names[0], "text") == 0);
        must(strncmp(row.values[0], "__label__", 9) != 0);
        must(!strstr(row.values[0], "\t__label__"));
    }
    silr_rows_close(r);
    return 0;
}
