/* rows_check.h - what must hold for every row, whatever the bytes: values and names are UTF-8
 * without NUL and end where they say; reading comes to an end; a bad row has a sentence. */
#ifndef SILR_ROWS_CHECK_H
#define SILR_ROWS_CHECK_H

#include "corpus/source.h"
#include <stdlib.h>
#include <string.h>

static inline void must(bool ok)
{
    if (!ok)
        abort();
}

static inline void check_row(const silr_row *row)
{
    for (size_t i = 0; i < row->n; i++) {
        must(row->names[i] && silr_utf8_clean(row->names[i], strlen(row->names[i])));
        must((row->kinds[i] == SILR_VALUE_NULL) == !row->values[i]);
        if (row->values[i])
            must(strlen(row->values[i]) == row->lens[i] &&
                 silr_utf8_clean(row->values[i], row->lens[i]));
    }
}

static inline void check_rows(const uint8_t *data, size_t size, silr_format format)
{
    silr_rows *r = NULL;
    silr_row row;
    silr_error err = {0};
    uint64_t line = 0;
    int how = silr_rows_open_memory(&r, data, size, "fuzz", format, &err);

    while (r && ((how = silr_rows_next(r, &row, &err)) == 1 || how == SILR_EINPUT)) {
        must(row.line > line);
        line = row.line;
        if (how == 1)
            check_row(&row);
        else
            must(err.text[0] != '\0');
    }
    must(how == 0 || err.text[0] != '\0');
    silr_rows_close(r);
}

#endif
